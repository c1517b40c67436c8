//! The schema: it comes up once, whoever asks, and refuses what cannot be.

use std::time::Duration;

use chrono::{DurationRound, TimeDelta};
use jobs::message::{Cancelled, Event};
use jobs::{Clock, JobId, Message, Recipe, State, Transition, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
};
use uuid::Uuid;

use super::case::Case;
use crate::rows::{job, notification, user};
use crate::{Database, Error, Rules};

pub(super) async fn comes_up_once(name: &str, open: &impl AsyncFn(&str, Clock, Rules) -> Database) {
    let connect = || open(name, Clock::default(), Rules::default());
    let (one, two, three) = tokio::join!(connect(), connect(), connect());
    for database in [&one, &two, &three] {
        assert!(matches!(database.check().await, Err(Error::Schema)), "there is no schema yet");
    }

    let migrations = [&one, &two, &three].map(|database| {
        let database = database.clone();
        tokio::spawn(async move { database.migrate().await })
    });
    for migration in migrations {
        migration
            .await
            .expect("a migration does not panic")
            .expect("migrations at once all end well");
    }
    let case = Case { database: one, other: two, clock: Clock::default() };
    let job = case.queued().await;
    let before = case.rows().await;
    three.migrate().await.expect("a migration can be repeated");
    three.check().await.expect("the schema is there");
    assert_eq!(case.rows().await, before);
    assert_eq!(before.job(job).status, "QUEUED");

    let newer =
        "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m99991231_000001_later', 0)";
    case.database.write.execute_unprepared(newer).await.expect("a migration can be noted");
    three.check().await.expect("the schema of a later program has all that this one needs");
    assert!(matches!(three.migrate().await, Err(Error::LaterSchema)), "and cannot be brought back");
}

/// A job that could be in any state, but for its lease.
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

pub(super) async fn follows_the_vocabulary(case: &Case) {
    let (user, write) = (case.user().await, &case.database.write);
    for from in State::ALL {
        for to in State::ALL {
            let before =
                any(user, from.name()).insert(write).await.expect("a job may be in any state");
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
                    assert!(legal, "a job went from {from} to {to}");
                    assert_eq!(changed.rows_affected, 1);
                    assert_eq!(after, job::Model { status: to.name().to_owned(), ..before });
                }
                Err(error) => {
                    assert!(!legal, "no job can go from {from} to {to}: {error}");
                    assert!(error.to_string().contains("illegal change of status"), "{error}");
                    assert_eq!(after, before);
                }
            }
        }
    }
}

/// Assert that a row was refused, and by a rule about its contents.
fn refused<T: std::fmt::Debug>(inserted: Result<T, sea_orm::DbErr>, why: &str) {
    let error = inserted.expect_err(why).to_string();
    assert!(error.to_lowercase().contains("check constraint"), "{why}: {error}");
}

pub(super) async fn refuses_impossible_jobs(case: &Case) {
    let (user, write) = (case.user().await, &case.database.write);
    for state in State::ALL {
        let mut without_archive = any(user, state.name());
        without_archive.zip_path = ActiveValue::Set(None);
        let mut without_reason = any(user, state.name());
        without_reason.error_code = ActiveValue::Set(None);
        let mut leased = any(user, state.name());
        leased.lease_until = ActiveValue::Set(Some(case.clock.now()));
        for (row, possible, what) in [
            (without_archive, state != State::Done, "without an archive"),
            (without_reason, state != State::Failed, "without a reason"),
            (leased, state == State::Processing, "with a lease"),
        ] {
            let inserted = row.insert(write).await;
            if possible {
                inserted.expect("the job is possible");
            } else {
                refused(inserted, &format!("a job is {state} {what}"));
            }
        }
    }
    for state in ["", "done", "RUNNING"] {
        refused(any(user, state).insert(write).await, "a job is in no state");
    }
    let mut rows = [(); 3].map(|()| any(user, "QUEUED"));
    rows[0].video_size_bytes = ActiveValue::Set(-1);
    rows[1].attempt = ActiveValue::Set(-1);
    rows[2].fence = ActiveValue::Set(-1);
    for row in rows {
        refused(row.insert(write).await, "a job counts below zero");
    }
    let nobody =
        any(UserId::generate(), "QUEUED").insert(write).await.expect_err("a job belongs to nobody");
    assert!(nobody.to_string().to_lowercase().contains("foreign key constraint"), "{nobody}");
}

pub(super) async fn refuses_impossible_neighbours(case: &Case) {
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
    account("ana@example.org", "pt").insert(write).await.expect("the user is possible");
    refused(account("Bea@example.org", "pt").insert(write).await, "an address has capital letters");
    refused(account("bea@example.org", "tlh").insert(write).await, "a user speaks what we do not");

    let mail = |status: &str| notification::ActiveModel {
        id: ActiveValue::Set(Uuid::now_v7()),
        job_id: ActiveValue::Set(job.0),
        event_type: ActiveValue::Set(format!("job.{status}")),
        status: ActiveValue::Set(status.to_owned()),
        attempts: ActiveValue::Set(0),
        created_at: ActiveValue::Set(now),
        next_attempt_at: ActiveValue::Set(now),
        ..Default::default()
    };
    mail("SENT").insert(write).await.expect("the notification is possible");
    refused(mail("LOST").insert(write).await, "a notification is in no state");
}

pub(super) async fn tells_moments_apart(case: &Case) {
    // A whole second, and what differs from it in thousandths and millionths: where moments are
    // text, these differ in length.
    let second = (case.clock.now() - Duration::from_mins(1))
        .duration_trunc(TimeDelta::seconds(1))
        .expect("seconds are whole");
    let microseconds = [0, 1, 10, 999, 1000, 1001, 100_000, 999_999, 1_000_000];
    let mut expected = Vec::new();
    for number in 0..microseconds.len() {
        // Every other one first, so that they are not put in their order.
        let after = microseconds[number * 2 % microseconds.len()];
        let event = Event::Cancelled(Cancelled {
            job_id: JobId::generate(),
            user_id: UserId::generate(),
            filename: String::new(),
        });
        let message = Message::new(event, case.clock.now(), 0, 3);
        expected.push((after, message.event_id));
        let at = second + Duration::from_micros(after);
        crate::outbox::insert(&case.database.write, message, None, at)
            .await
            .expect("the message can be put");
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

    let job = any(id, "QUEUED").insert(&case.database.write).await.expect("the job is accepted");
    assert_eq!(job.recipe, None);
    let job = case.database.job(JobId(job.id)).await.expect("the database answers");
    assert_eq!(job.expect("it exists").recipe, Recipe::default());
}
