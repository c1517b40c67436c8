//! Webhooks, and the deliveries of outcomes to them.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::case::{Case, archive, expire};
use crate::connection::Database;
use crate::rows::{webhook as webhook_row, webhook_delivery};
use crate::webhook_delivery::{AfterFailure, DueDelivery, TryResult};
use crate::webhook_events::{NewDelivery, TEST_EVENT};
use crate::webhook_log::{DeliveryStatus, Redelivery};
use crate::webhooks::{
    DELIVERED, Destination, DisabledBecause, PENDING, ROTATION, Webhook, WebhookChange,
    WebhookEvent,
};

const HOLD: Duration = Duration::from_mins(3);
const URL: Destination<'_> =
    Destination { url: "https://hooks.example/fiapx", host: "hooks.example" };

/// Create a webhook for all events.
async fn webhook(case: &Case, user: UserId) -> Webhook {
    let secret = "whsec_c2VjcmV0".to_owned().into();
    let created = case.database.create_webhook(user, URL, &WebhookEvent::ALL, &secret, 10).await;
    created.expect("the database answers").expect("the user exists")
}

/// Take everything that is due to the host of the webhooks.
async fn take(database: &Database) -> Vec<DueDelivery> {
    let mut taken = Vec::new();
    for due in database.due_webhook_hosts(&[], &[], 100).await.expect("the database answers") {
        assert_eq!(due.host, URL.host);
        let of_host = database.take_webhook_deliveries(&due, 100, HOLD).await;
        taken.extend(of_host.expect("the database answers"));
    }
    taken
}

/// All deliveries: type, outcome and status.
async fn rows(case: &Case) -> Vec<webhook_delivery::Model> {
    let query = webhook_delivery::Entity::find().order_by_asc(webhook_delivery::Column::Id);
    query.all(&case.other.read).await.expect("rows can be read")
}

fn accepted() -> TryResult {
    TryResult { status: Some(204), ..TryResult::default() }
}

fn rejected() -> TryResult {
    let (body, error_code) = (Some("out of order".to_owned()), Some("ANSWER_STATUS"));
    TryResult { status: Some(500), body, error_code }
}

async fn fail(database: &Database, due: &DueDelivery) -> Option<DisabledBecause> {
    let after = AfterFailure::Retry(Duration::from_secs(5));
    let recorded = database.record_webhook_failure(due, &rejected(), after).await;
    recorded.expect("the database answers")
}

/// Each outcome is written once, in the transaction of the outcome.
pub(super) async fn get_every_outcome_once(case: &Case) {
    let user = case.user().await;
    let of_user = webhook(case, user).await;
    webhook(case, case.user().await).await;
    let only_failures =
        WebhookChange { events: Some(&[WebhookEvent::Failed]), ..Default::default() };
    let second = webhook(case, user).await;
    case.database.change_webhook(user, second.id, &only_failures).await.expect("a change");

    let done = case.queued_for(user).await;
    let claim = case.claim(done).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    let again = case.database.finish(&claim, &archive(&claim)).await;
    assert_eq!(again.expect("the database answers"), AttemptOutcome::Lost);
    let failed = case.queued_for(user).await;
    let claim = case.claim(failed).await;
    let outcome = case.database.fail(&claim, FailureCode::NoVideoStream, "only sound").await;
    assert_eq!(outcome.expect("the database answers"), AttemptOutcome::Failed);
    let cancelled = case.queued_for(user).await;
    case.database.cancel(cancelled, State::Queued).await.expect("the database answers");
    case.clock.advance(case.database.rules().retention);
    expire(&case.database).await.expect("the database answers");

    let written: Vec<_> = rows(case)
        .await
        .into_iter()
        .map(|row| (row.webhook_id, row.job_id.map(JobId), row.event_type))
        .collect();
    let expected = [
        (of_user.id, done, "job.completed"),
        (of_user.id, failed, "job.failed"),
        (second.id, failed, "job.failed"),
        (of_user.id, cancelled, "job.cancelled"),
        (of_user.id, done, "job.expired"),
    ];
    let expected = expected.map(|(webhook, job, event)| (webhook, Some(job), event.to_owned()));
    assert_eq!(written, expected);
}

/// The outcome of a job that was queued again is another one.
pub(super) async fn get_second_outcomes(case: &Case) {
    let user = case.user().await;
    webhook(case, user).await;
    let id = case.queued_for(user).await;
    for _ in 0..2 {
        let claim = case.claim(id).await;
        let failed = case.database.fail(&claim, FailureCode::NoVideoStream, "only sound").await;
        assert_eq!(failed.expect("the database answers"), AttemptOutcome::Failed);
        // Its message arrives late, and twice.
        for _ in 0..2 {
            let created = case.database.create_webhook_deliveries(id, "job.failed").await;
            created.expect("the database answers");
        }
        case.database.requeue(id).await.expect("the database answers");
    }
    let outcomes: HashSet<i64> = rows(case).await.iter().map(|row| row.outcome).collect();
    assert_eq!((rows(case).await.len(), outcomes.len()), (2, 2));
}

/// Outcomes that a program of the previous release decides are written when their messages arrive,
/// for the webhooks that existed before.
pub(super) async fn get_outcomes_of_earlier_programs(case: &Case) {
    let user = case.user().await;
    let earlier = webhook(case, user).await;
    let id = case.queued_for(user).await;
    case.database.cancel(id, State::Queued).await.expect("the database answers");
    // That program writes no deliveries.
    let deleted = webhook_delivery::Entity::delete_many().exec(&case.database.write).await;
    assert_eq!(deleted.expect("the database answers").rows_affected, 1);
    case.advance(1);
    webhook(case, user).await;
    for event in ["job.completed", "job.cancelled", "job.cancelled"] {
        let created = case.run_concurrently(4, move |_, database| async move {
            database.create_webhook_deliveries(id, event).await
        });
        for created in created.await {
            created.expect("a repetition has no effect");
        }
    }
    let [row] = &rows(case).await[..] else { panic!("the outcome is written once") };
    assert_eq!((row.webhook_id, row.event_type.as_str()), (earlier.id, "job.cancelled"));
    let unknown = case.database.create_webhook_deliveries(JobId::generate(), "job.failed").await;
    unknown.expect("a deleted job has no outcome");
}

pub(super) async fn are_delivered_at_least_once(case: &Case) {
    let user = case.user().await;
    let webhook = webhook(case, user).await;
    let test = case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    let [first] = &take(&case.database).await[..] else { panic!("one delivery is due") };
    assert_eq!((first.id, first.tries), (test.id, 1));
    assert!(take(&case.other).await.is_empty(), "another process holds it");
    // Its process is lost.
    case.advance(HOLD.as_secs());
    let [second] = &take(&case.other).await[..] else { panic!("it is due again") };
    assert_eq!((second.id, second.tries, &second.body), (test.id, 2, &first.body));
    // It returns, and changes nothing.
    assert_eq!(fail(&case.database, first).await, None);
    let row = rows(case).await.remove(0);
    assert_eq!((row.tries, row.failures, row.error_code), (2, 0, None));
    case.other.mark_webhook_delivered(second, &accepted()).await.expect("the database answers");
    case.advance(24 * 3600);
    assert!(take(&case.database).await.is_empty());
    let listed = case.database.webhook_deliveries(user, webhook.id, None, 10).await;
    let listed = listed.expect("the database answers").remove(0);
    assert_eq!((listed.status, listed.answer_status), (DeliveryStatus::Delivered, Some(204)));

    let again = case.database.redeliver(user, webhook.id, test.id).await;
    let Redelivery::Due(again) = again.expect("the database answers") else { panic!("it is due") };
    assert_eq!((again.answer_status, again.error_code), (None, None), "of the try before");
    let again = case.database.redeliver(user, webhook.id, test.id).await;
    assert_eq!(again.expect("the database answers"), Redelivery::Pending);
    assert_eq!(take(&case.database).await[0].tries, 3);
}

pub(super) async fn are_taken_once(case: &Case) {
    let user = case.user().await;
    let webhook = webhook(case, user).await;
    for _ in 0..30 {
        case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    }
    let taken = case.run_concurrently(6, |_, database| async move {
        let mut ids: Vec<Uuid> = Vec::new();
        loop {
            let due = database.due_webhook_hosts(&[], &[], 1).await;
            let Some(due) = due.expect("the database answers").pop() else { return ids };
            let taken = database.take_webhook_deliveries(&due, 4, HOLD).await;
            let taken = taken.expect("the database answers");
            assert!(taken.len() <= 4, "the limit is respected");
            ids.extend(taken.iter().map(|due| due.id));
        }
    });
    let taken = taken.await.concat();
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (30, 30));
}

pub(super) async fn are_not_due_while_busy(case: &Case) {
    let user = case.user().await;
    let webhook = webhook(case, user).await;
    case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    let due = async |users: &[UserId], hosts: &[String]| {
        let due = case.database.due_webhook_hosts(users, hosts, 10).await;
        due.expect("the database answers").len()
    };
    assert_eq!(due(&[], &["other.example".to_owned()]).await, 1);
    assert_eq!(due(&[], &[URL.host.to_owned()]).await, 0);
    assert_eq!(due(&[user], &[]).await, 0);
}

pub(super) async fn are_disabled_after_days_of_failures(case: &Case) {
    let user = case.user().await;
    let webhook = webhook(case, user).await;
    case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    for day in 0..6 {
        let due = take(&case.database).await;
        assert_eq!(due.len(), 2, "day {day}");
        let disabled = fail(&case.database, &due[0]).await;
        assert_eq!(disabled, (day == 5).then_some(DisabledBecause::Failing), "day {day}");
        if day < 5 {
            assert_eq!(fail(&case.database, &due[1]).await, None);
        }
        case.advance(24 * 3600);
    }
    assert!(take(&case.database).await.is_empty(), "its deliveries have ended");
    let webhook = case.database.webhook(user, webhook.id).await.expect("the database answers");
    assert_eq!(webhook.expect("it exists").disabled, Some(DisabledBecause::Failing));
    let mails = case.database.take_account_mails(10, HOLD).await.expect("the database answers");
    let kinds: Vec<_> = mails.iter().map(|mail| mail.kind.name()).collect();
    assert_eq!(kinds, ["WEBHOOK_DISABLED"]);
}

/// A webhook is deleted while a job of its user ends: neither fails.
pub(super) async fn are_deleted_beside_outcomes(case: &Case) {
    let user = case.user().await;
    for _ in 0..10 {
        let webhook = webhook(case, user).await;
        let id = case.queued_for(user).await;
        let claim = case.claim(id).await;
        let outcomes = case.run_concurrently(2, move |number, database| {
            let (claim, id) = (claim.clone(), webhook.id);
            async move {
                if number == 0 {
                    let finished = database.finish(&claim, &archive(&claim)).await;
                    finished.map(|outcome| outcome == AttemptOutcome::Completed)
                } else {
                    database.delete_webhook(user, id).await
                }
            }
        });
        for outcome in outcomes.await {
            assert!(outcome.expect("no transaction fails"));
        }
    }
    assert_eq!(rows(case).await.len(), 0);
}

pub(super) async fn are_due_again_after_a_restart(case: &Case) {
    let user = case.user().await;
    let webhook = webhook(case, user).await;
    for _ in 0..2 {
        case.database.test_webhook(&webhook, URL.host).await.expect("a test");
    }
    let due = take(&case.database).await;
    fail(&case.database, &due[0]).await;
    case.database.release_holds().await.expect("the database answers");
    let again = take(&case.database).await;
    assert_eq!(again.iter().map(|due| due.id).collect::<Vec<_>>(), [due[1].id]);
}

/// Of each webhook, the newest thousand finished deliveries are kept.
pub(super) async fn keep_their_newest_deliveries(case: &Case) {
    const FINISHED: usize = 2100;
    let owner = case.user().await;
    let (busy, quiet) = (webhook(case, owner).await, webhook(case, owner).await);
    let row = |webhook: &Webhook, status: &str| {
        let delivery = NewDelivery {
            webhook: webhook.id,
            user: owner,
            host: URL.host,
            event: TEST_EVENT,
            job: None,
            data: &json!({}),
            traceparent: None,
        };
        let row = delivery.row(case.clock.now());
        webhook_delivery::ActiveModel { status: ActiveValue::Set(status.to_owned()), ..row }
    };
    let mut written = vec![row(&busy, PENDING), row(&quiet, DELIVERED)];
    written.extend((0..FINISHED).map(|_| row(&busy, DELIVERED)));
    let mut ids: Vec<Uuid> = written.iter().map(|row| row.id.clone().unwrap()).collect();
    // A statement has a limited number of values.
    for page in written.chunks(300) {
        let inserted = webhook_delivery::Entity::insert_many(page.to_vec());
        inserted.exec_without_returning(&case.database.write).await.expect("rows are inserted");
    }
    case.database.purge_expired().await.expect("the database answers");
    let kept: HashSet<Uuid> = rows(case).await.iter().map(|row| row.id).collect();
    // The oldest ones, besides the one that is pending and the one of the other webhook.
    ids.drain(2..2 + FINISHED - 1000);
    assert_eq!(kept, ids.into_iter().collect::<HashSet<_>>());
    case.advance(31 * 24 * 3600);
    case.database.purge_expired().await.expect("the database answers");
    let [pending] = &rows(case).await[..] else { panic!("all others are old") };
    assert_eq!(pending.status, PENDING);
    assert!(case.database.delete_webhook(owner, busy.id).await.expect("the database answers"));
    assert!(!case.database.delete_webhook(owner, busy.id).await.expect("the database answers"));
    assert_eq!(rows(case).await.len(), 0);
}

/// A secret that receivers may use still is not replaced by a second rotation, and it is erased
/// after a day.
pub(super) async fn keep_the_previous_secret_for_a_day(case: &Case) {
    case.clock.pause();
    let owner = case.user().await;
    let created = webhook(case, owner).await;
    let rotate = async |secret: &str| {
        let secret = secret.to_owned().into();
        let rotated = case.database.rotate_webhook_secret(owner, created.id, &secret).await;
        let rotated = rotated.expect("the database answers").expect("it exists");
        let previous = rotated.previous.expect("there is a previous one");
        let text = |secret: &SecretString| secret.expose_secret().to_owned();
        (text(&rotated.secret), text(&previous.0), previous.1)
    };
    let first = created.secret.expose_secret().to_owned();
    let until = case.clock.now() + ROTATION;
    assert_eq!(rotate("second").await, ("second".to_owned(), first.clone(), until));
    case.advance(3600);
    assert_eq!(rotate("third").await, ("third".to_owned(), first, until));
    case.database.purge_expired().await.expect("the database answers");
    let previous = async || {
        let webhook = case.other.webhook(owner, created.id).await.expect("the database answers");
        webhook.expect("it exists").previous
    };
    assert!(previous().await.is_some(), "it signs still");
    case.advance(23 * 3600);
    let until = case.clock.now() + ROTATION;
    assert_eq!(rotate("fourth").await, ("fourth".to_owned(), "third".to_owned(), until));
    case.clock.advance(ROTATION);
    case.database.purge_expired().await.expect("the database answers");
    assert!(previous().await.is_none());
}

pub(super) async fn of_disabled_users_get_nothing(case: &Case) {
    let owner = case.user().await;
    let created = webhook(case, owner).await;
    let id = case.queued_for(owner).await;
    case.database.test_webhook(&created, URL.host).await.expect("a test");
    let email = case.user_with(owner).await.email;
    case.database.disable_user(&email).await.expect("the database answers");
    assert!(take(&case.database).await.is_empty());
    case.database.cancel(id, State::Queued).await.expect("the database answers");
    let [ended] = &rows(case).await[..] else { panic!("the outcome is not written") };
    let state = (ended.status.as_str(), ended.error_code.as_deref());
    assert_eq!(state, ("FAILED", Some("WEBHOOK_DISABLED")));
    case.database.enable_user(&email).await.expect("the database answers");
    assert!(take(&case.database).await.is_empty(), "what has ended stays so");
}

pub(super) async fn are_skipped_if_they_cannot_be_read(case: &Case) {
    let owner = case.user().await;
    let (damaged, whole) = (webhook(case, owner).await, webhook(case, owner).await);
    for webhook in [&damaged, &whole] {
        case.database.test_webhook(webhook, URL.host).await.expect("a test");
    }
    webhook_row::Entity::update_many()
        .col_expr(webhook_row::Column::Events, Expr::value("{"))
        .filter(webhook_row::Column::Id.eq(damaged.id))
        .exec(&case.database.write)
        .await
        .expect("the database answers");
    let [taken] = &take(&case.database).await[..] else { panic!("the other one is taken") };
    assert_eq!(taken.webhook.id, whole.id);
}

/// Failures of a destination do not count for the next one.
pub(super) async fn begin_anew_with_another_destination(case: &Case) {
    let owner = case.user().await;
    let created = webhook(case, owner).await;
    case.database.test_webhook(&created, URL.host).await.expect("a test");
    fail(&case.database, &take(&case.database).await[0]).await;
    let webhook = case.database.webhook(owner, created.id).await.expect("the database answers");
    assert!(webhook.expect("it exists").failing_since.is_some());
    let destination = Destination { url: "https://other.example/", host: "other.example" };
    for enabled in [None, Some(true)] {
        let change =
            WebhookChange { destination: Some(destination), enabled, ..Default::default() };
        let changed = case.database.change_webhook(owner, created.id, &change).await;
        let changed = changed.expect("the database answers").expect("it exists");
        assert_eq!((changed.failing_since, changed.url.as_str()), (None, destination.url));
    }
}
