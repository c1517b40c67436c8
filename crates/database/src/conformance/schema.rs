//! Migrations and constraints of the schema.

use std::time::Duration;

use chrono::{DurationRound, TimeDelta};
use jobs::message::{Cancelled, Event};
use jobs::{Clock, JobId, Message, State, StoredRecipe, Transition, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
};
use uuid::Uuid;

use super::case::Case;
use crate::connection::{Database, Rules};
use crate::error::Error;
use crate::rows::{job, notification, user};

pub(super) async fn migrates_once(name: &str, open: &impl AsyncFn(&str, Clock, Rules) -> Database) {
    let connect = || open(name, Clock::default(), Rules::default());
    let (one, two, three) = tokio::join!(connect(), connect(), connect());
    for database in [&one, &two, &three] {
        assert!(matches!(database.check().await, Err(Error::Schema)), "no migration has run");
    }

    let migrations = [&one, &two, &three].map(|database| {
        let database = database.clone();
        tokio::spawn(async move { database.migrate().await })
    });
    for migration in migrations {
        migration
            .await
            .expect("a migration does not panic")
            .expect("concurrent migrations succeed");
    }
    let case = Case { database: one, other: two, clock: Clock::default() };
    let job = case.queued().await;
    let before = case.rows().await;
    three.migrate().await.expect("a migration can be repeated");
    three.check().await.expect("the schema is up to date");
    assert_eq!(case.rows().await, before);
    assert_eq!(before.job(job).status, "QUEUED");

    let newer =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m99991231_000001_later', 0)";
    case.database.write.execute_unprepared(newer).await.expect("a later migration is recorded");
    three.check().await.expect("the schema of a later program is accepted");
    assert!(matches!(three.migrate().await, Err(Error::LaterSchema)), "it is not migrated back");
}

/// Row of a job that is valid in every state: it has an archive and an error code, and no lease.
fn any(user: UserId, state: &str) -> job::ActiveModel {
    let now = Clock::default().now();
    job::ActiveModel {
        id: ActiveValue::Set(JobId::generate().0),
        user_id: ActiveValue::Set(user.0),
        status: ActiveValue::Set(state.to_owned()),
        filename: ActiveValue::Set("praia.mp4".to_owned()),
        video_format: ActiveValue::Set("mp4".to_owned()),
        video_path: ActiveValue::Set("input.mp4".to_owned()),
        video_size_bytes: ActiveValue::Set(0),
        zip_path: ActiveValue::Set(Some("output.zip".to_owned())),
        error_code: ActiveValue::Set(Some("INTERNAL_ERROR".to_owned())),
        created_at: ActiveValue::Set(now),
        expires_at: ActiveValue::Set(now),
        ..Default::default()
    }
}

pub(super) async fn allows_exactly_the_legal_transitions(case: &Case) {
    let (user, write) = (case.user().await, &case.database.write);
    for from in State::ALL {
        for to in State::ALL {
            let before = any(user, from.name())
                .insert(write)
                .await
                .expect("the row is valid in every state");
            let changed = job::Entity::update_many()
                .col_expr(job::Column::Status, Expr::value(to.name()))
                .filter(job::Column::Id.eq(before.id))
                .exec(write)
                .await;
            let legal = Transition::ALL
                .iter()
                .any(|transition| (transition.from(), transition.to()) == (from, to));
            let after = case.rows().await.job(JobId(before.id)).clone();
            match changed {
                Ok(changed) => {
                    assert!(legal, "the change from {from} to {to} is illegal");
                    assert_eq!(changed.rows_affected, 1);
                    assert_eq!(
                        after,
                        job::Model {
                            status: to.name().to_owned(),
                            waiting_since: after.waiting_since,
                            ..before
                        }
                    );
                }
                Err(error) => {
                    assert!(!legal, "the change from {from} to {to} is legal: {error}");
                    assert!(error.to_string().contains("illegal change of status"), "{error}");
                    assert_eq!(after, before);
                }
            }
        }
    }
}

/// Assert that a check constraint rejected a row.
fn assert_rejected<T: std::fmt::Debug>(inserted: Result<T, sea_orm::DbErr>, why: &str) {
    let error = inserted.expect_err(why).to_string();
    assert!(error.to_lowercase().contains("check constraint"), "{why}: {error}");
}

pub(super) async fn rejects_inconsistent_jobs(case: &Case) {
    let (user, write) = (case.user().await, &case.database.write);
    for state in State::ALL {
        let mut without_archive = any(user, state.name());
        without_archive.zip_path = ActiveValue::Set(None);
        let mut without_code = any(user, state.name());
        without_code.error_code = ActiveValue::Set(None);
        let mut leased = any(user, state.name());
        leased.lease_until = ActiveValue::Set(Some(case.clock.now()));
        for (row, is_valid, what) in [
            (without_archive, state != State::Done, "without an archive"),
            (without_code, state != State::Failed, "without a code"),
            (leased, state == State::Processing, "with a lease"),
        ] {
            let inserted = row.insert(write).await;
            if is_valid {
                inserted.expect("the row is valid");
            } else {
                assert_rejected(inserted, &format!("a job in state {state} {what}"));
            }
        }
    }
    for state in ["", "done", "RUNNING"] {
        assert_rejected(any(user, state).insert(write).await, "an unknown state");
    }
    let mut rows = [(); 3].map(|()| any(user, "QUEUED"));
    rows[0].video_size_bytes = ActiveValue::Set(-1);
    rows[1].attempt = ActiveValue::Set(-1);
    rows[2].fence = ActiveValue::Set(-1);
    for row in rows {
        assert_rejected(row.insert(write).await, "a negative number");
    }
    let unknown_user =
        any(UserId::generate(), "QUEUED").insert(write).await.expect_err("an unknown user");
    assert!(
        unknown_user.to_string().to_lowercase().contains("foreign key constraint"),
        "{unknown_user}"
    );
}

pub(super) async fn rejects_invalid_users_and_notifications(case: &Case) {
    let (job, now, write) = (case.queued().await, case.clock.now(), &case.database.write);
    let account = |email: &str, language: &str| user::ActiveModel {
        id: ActiveValue::Set(Uuid::now_v7()),
        email: ActiveValue::Set(email.to_owned()),
        name: ActiveValue::Set("Ana".to_owned()),
        password_hash: ActiveValue::Set("hash".to_owned()),
        language: ActiveValue::Set(language.to_owned()),
        created_at: ActiveValue::Set(now),
        ..Default::default()
    };
    account("ana@example.org", "pt").insert(write).await.expect("the user is valid");
    assert_rejected(
        account("Bea@example.org", "pt").insert(write).await,
        "an address in upper case",
    );
    assert_rejected(
        account("bea@example.org", "tlh").insert(write).await,
        "an unsupported language",
    );
    let mut bea = account("bea@example.org", "pt");
    bea.mails = ActiveValue::Set("SOMETIMES".to_owned());
    assert_rejected(bea.insert(write).await, "an unknown choice of mails");

    let with_status = |status: &str| notification::ActiveModel {
        id: ActiveValue::Set(Uuid::now_v7()),
        job_id: ActiveValue::Set(job.0),
        event_type: ActiveValue::Set(format!("job.{status}")),
        status: ActiveValue::Set(status.to_owned()),
        attempts: ActiveValue::Set(0),
        created_at: ActiveValue::Set(now),
        next_attempt_at: ActiveValue::Set(now),
        ..Default::default()
    };
    with_status("SENT").insert(write).await.expect("the notification is valid");
    assert_rejected(with_status("LOST").insert(write).await, "an unknown status");
}

pub(super) async fn orders_times_by_microsecond(case: &Case) {
    // SQLite stores times as text, whose length depends on the digits of the fraction.
    let second = (case.clock.now() - Duration::from_mins(1))
        .duration_trunc(TimeDelta::seconds(1))
        .expect("the time is in range");
    let microseconds = [0, 1, 10, 999, 1000, 1001, 100_000, 999_999, 1_000_000];
    let mut expected = Vec::new();
    for number in 0..microseconds.len() {
        // Not in ascending order: every other time first.
        let after = microseconds[number * 2 % microseconds.len()];
        let event = Event::Cancelled(Cancelled {
            job_id: JobId::generate(),
            user_id: UserId::generate(),
            filename: String::new(),
        });
        let message = Message::new(event, case.clock.now(), 0, 3);
        expected.push((after, message.event_id));
        let at = second + Duration::from_micros(after);
        crate::outbox::insert(&case.database.write, &message, None, at)
            .await
            .expect("the message is inserted");
    }
    expected.sort_unstable();
    for (after, id) in expected {
        let next = case.database.next_outgoing().await.expect("the database answers");
        assert_eq!(next, Some(second + Duration::from_micros(after)));
        let taken = case
            .database
            .take_outgoing(1, Duration::from_mins(1))
            .await
            .expect("the database answers");
        assert_eq!(
            taken.iter().map(|outgoing| outgoing.id).collect::<Vec<_>>(),
            [id],
            "{after} microseconds after a second"
        );
        case.database.mark_published([id]).await.expect("the database answers");
    }
}

/// A program of the previous release inserts rows without the newest columns.
pub(super) async fn accepts_rows_of_the_previous_release(case: &Case) {
    let id = UserId::generate();
    let now = case.clock.now();
    let row = user::ActiveModel {
        id: ActiveValue::Set(id.0),
        email: ActiveValue::Set("ana@example.org".to_owned()),
        name: ActiveValue::Set("Ana".to_owned()),
        password_hash: ActiveValue::Set("hash".to_owned()),
        language: ActiveValue::Set("pt".to_owned()),
        created_at: ActiveValue::Set(now),
        ..Default::default()
    };
    row.insert(&case.database.write).await.expect("the user is accepted");
    let user = case.database.user(id).await.expect("the database answers").expect("it exists");
    assert_eq!((user.is_active, user.generation, user.updated_at), (true, 0, now));
    assert!(user.confirmed, "users of earlier versions need not confirm their address");

    let job = any(id, "QUEUED").insert(&case.database.write).await.expect("the job is accepted");
    assert_eq!(job.recipe, None);
    let job = case.database.job(JobId(job.id)).await.expect("the database answers");
    assert_eq!(job.expect("it exists").recipe, StoredRecipe::default());
    // It precedes all rounds, and counts for the quotas of its user.
    let claim = super::case::claim_next(&case.database, JobId::generate(), "w").await;
    assert_eq!(claim.map(|claim| claim.job.user_id), Some(id));
}
