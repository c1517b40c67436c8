//! Recovery of work that lost workers, relays and brokers leave unfinished.

use std::time::Duration;

use jobs::retry::MAX_LOST_WORKERS;
use jobs::{AttemptOutcome, FailureCode, JobId, State};
use sea_orm::sea_query::{Expr, LockType};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect};

use super::case::{Case, accept, claim_job, claim_next, renew, video};
use super::outbox::{HOLD, publish_all, take};
use crate::rows::job;

/// Fail attempts whose lease has expired.
async fn reap(case: &Case) -> Vec<AttemptOutcome> {
    super::case::reap(&case.database).await.expect("the database answers")
}

/// Time after which a message counts as lost.
const MARGIN: Duration = Duration::from_mins(1);

/// Metadata of a reaped attempt in the history.
const LOST: &str =
    "error_code=\"WORKER_LOST\" error_message=\"the worker stopped renewing its lease\"";

pub(super) async fn reaps_expired_leases(case: &Case) {
    let (lost, renewed, waiting) = (case.queued().await, case.queued().await, case.queued().await);
    case.claim(lost).await;
    let claim = case.claim(renewed).await;
    case.advance(59);
    let before = case.rows().await;
    assert_eq!(reap(case).await, []);
    assert_eq!(case.rows().await, before);
    assert!(renew(&case.database, &claim, 1, None).await);
    case.advance(2);
    let (running, queued) = (case.lines(renewed).await, case.lines(waiting).await);
    assert_eq!(reap(case).await, [AttemptOutcome::Retrying]);
    assert_eq!(
        case.lines(lost).await,
        [
            "job PROCESSING attempt=1 fence=1 files=7d worker=w started=yes next=30s \
             error=WORKER_LOST message=\"the worker stopped renewing its lease\"",
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            "event QUEUED PROCESSING attempt=1 worker=\"w\"",
            &format!("event PROCESSING PROCESSING attempt=1 {LOST} next_attempt_at=30s"),
            "outbox job.created retries=0 due=0s",
            "outbox job.created retries=0 due=30s",
        ]
    );
    assert_eq!((case.lines(renewed).await, case.lines(waiting).await), (running, queued));
    assert_eq!(reap(case).await, [], "no lease is left");
}

pub(super) async fn fails_a_job_that_lost_many_workers(case: &Case) {
    let id = case.queued().await;
    for number in 1..=MAX_LOST_WORKERS {
        case.claim(id).await;
        case.advance(61);
        let is_last = number == MAX_LOST_WORKERS;
        let expected = if is_last { AttemptOutcome::Failed } else { AttemptOutcome::Retrying };
        assert_eq!(reap(case).await, [expected], "attempt {number}");
        case.advance(15 * 60);
    }
    assert!(claim_job(&case.database, id, "w").await.is_none());
    assert_eq!(reap(case).await, []);
    let lines = case.lines(id).await;
    assert_eq!(
        lines[0],
        "job FAILED attempt=20 fence=20 files=7d worker=w started=yes error=WORKER_LOST \
         message=\"the worker stopped renewing its lease\" ended=yes"
    );
    assert_eq!(
        lines.last().map(String::as_str),
        Some("notification job.failed PENDING attempts=0")
    );
}

/// A process that is frozen within a transaction holds the locks of its rows.
pub(super) async fn reaps_beside_locked_and_unreadable_rows(case: &Case) {
    let ids = [case.queued().await, case.queued().await, case.queued().await];
    for id in ids {
        case.claim(id).await;
    }
    let [locked, unreadable, lost] = ids;
    job::Entity::update_many()
        .col_expr(job::Column::ErrorCode, Expr::value("TOMORROW"))
        .filter(job::Column::Id.eq(unreadable.0))
        .exec(&case.database.write)
        .await
        .expect("the row is changed");
    case.advance(61);
    let frozen = if case.database.write.get_database_backend() == DbBackend::Postgres {
        let transaction = case.other.begin().await.expect("a transaction begins");
        let row = job::Entity::find_by_id(locked.0).lock(LockType::Update).one(&transaction).await;
        row.expect("the database answers").expect("the job exists");
        Some(transaction)
    } else {
        // A writer locks the whole database.
        None
    };
    let expected = if frozen.is_some() { vec![lost] } else { vec![locked, lost] };
    assert_eq!(reap(case).await.len(), expected.len());
    for id in expected {
        assert_eq!(case.rows().await.job(id).lease_until, None);
    }
    let quarantined = case.database.quarantined().await.expect("the database answers");
    assert_eq!(quarantined.iter().map(|job| job.id).collect::<Vec<_>>(), [unreadable]);
    assert!(quarantined[0].reason.contains("failure code"), "{quarantined:?}");
    let leases = case.database.leases().await.expect("the database answers");
    assert!(leases.iter().all(|lease| lease.job != unreadable), "it is left alone");
    if let Some(frozen) = frozen {
        frozen.rollback().await.expect("it is rolled back");
        assert_eq!(reap(case).await, [AttemptOutcome::Retrying], "the row is not locked anymore");
    }

    // A program that can read the row finds it after a while.
    job::Entity::update_many()
        .col_expr(job::Column::ErrorCode, Expr::value(FailureCode::StorageError.name()))
        .filter(job::Column::Id.eq(unreadable.0))
        .exec(&case.database.write)
        .await
        .expect("the row is changed");
    case.advance(600);
    case.database.release_quarantined().await.expect("the database answers");
    assert_eq!(case.database.quarantined_count().await.expect("the database answers"), 0);
    assert_eq!(reap(case).await, [AttemptOutcome::Retrying]);
}

pub(super) async fn reaps_each_attempt_once(case: &Case) {
    let mut ids: Vec<JobId> = Vec::new();
    for _ in 0..20 {
        ids.push(case.queued().await);
        case.claim(ids[ids.len() - 1]).await;
    }
    case.advance(61);
    let reaped = case.run_concurrently(6, |_, database| async move {
        super::case::reap(&database).await.expect("the database answers").len()
    });
    assert_eq!(reaped.await.iter().sum::<usize>(), 20);
    for id in ids {
        let lines = case.lines(id).await;
        let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
        assert_eq!(
            (count("event PROCESSING PROCESSING"), count("outbox"), lines.len()),
            (1, 2, 7),
            "{lines:#?}"
        );
    }
}

pub(super) async fn expires_all_leases(case: &Case) {
    let (running, waiting) = (case.queued().await, case.queued().await);
    let claim = case.claim(running).await;
    let queued = case.lines(waiting).await;
    case.database.expire_leases().await.expect("the database answers");
    assert_eq!(reap(case).await, [AttemptOutcome::Retrying]);
    assert!(!renew(&case.database, &claim, 1, None).await);
    let lines = case.lines(running).await;
    assert!(lines[0].contains("next=30s error=WORKER_LOST"), "{lines:#?}");
    assert_eq!(case.lines(waiting).await, queued);
    case.database.expire_leases().await.expect("the database answers");
    assert_eq!(reap(case).await, [], "no lease is left");
}

pub(super) async fn announces_jobs_again_if_the_queue_is_empty(case: &Case) {
    let announce = async || {
        let announced = case.database.announce_lost(MARGIN, true).await;
        announced.expect("the database answers")
    };
    let retried = case.queued().await;
    let claim = case.claim(retried).await;
    let failed = case.database.fail(&claim, FailureCode::StorageError, "no answer").await;
    failed.expect("the database answers");
    let released = case.queued().await;
    case.database.release(&case.claim(released).await).await.expect("the database answers");
    for state in [State::Processing, State::Done, State::Failed, State::Cancelled] {
        case.job_in(state).await;
    }
    let queued = case.queued().await;
    case.advance(60);
    assert_eq!(announce().await, 0, "every message is in the outbox");

    // Two jobs have waited for a minute, and the retried one for half a minute after its pause.
    publish_all(case).await;
    assert_eq!(case.rows().await.outbox, []);
    assert_eq!(announce().await, 2);
    assert_eq!(announce().await, 0, "the outbox has their messages now");
    assert_eq!(sorted(take(&case.database, 10).await), sorted(vec![released, queued]));
    publish_all(case).await;
    assert_eq!(announce().await, 0, "they were announced just now");
    case.advance(30);
    assert_eq!(announce().await, 1);
    let due = case.rows().await.outbox;
    assert!(due.iter().all(|row| row.run_after <= case.clock.now()), "they are due at once");
    publish_all(case).await;
    case.claim(retried).await;

    let recent = case.queued().await;
    publish_all(case).await;
    case.advance(59);
    assert_eq!(announce().await, 2, "the recent job has not waited for a minute");
    assert!(case.rows().await.outbox.iter().all(|row| row.job_id != recent.0));
    case.advance(1);
    assert_eq!(announce().await, 1);
}

pub(super) async fn announces_no_jobs_while_messages_are_left(case: &Case) {
    let (lost, later) = (case.queued().await, case.queued().await);
    publish_all(case).await;
    case.advance(3600);
    let announced = case.database.announce_lost(MARGIN, false).await;
    assert_eq!(announced.expect("the database answers"), 0);
    // The message of the later job serves the one whose message is lost.
    let claim = claim_next(&case.database, later, "w").await.expect("two jobs wait");
    assert_eq!(claim.job.id, lost);
    let announced = case.database.announce_lost(MARGIN, true).await;
    assert_eq!(announced.expect("the database answers"), 1);
    assert_eq!(take(&case.database, 10).await, [later]);
}

pub(super) async fn announces_many_jobs_again(case: &Case) {
    let user = case.user().await;
    for _ in 0..21 {
        let videos: Vec<_> = std::iter::repeat_with(video).take(50).collect();
        accept(&case.database, user, &videos, None, None).await.expect("they are accepted");
    }
    publish_all(case).await;
    publish_all(case).await;
    case.advance(60);
    let announced = case.database.announce_lost(MARGIN, true).await;
    assert_eq!(announced.expect("the database answers"), 21 * 50);
    let announced = case.database.announce_lost(MARGIN, true).await;
    assert_eq!(announced.expect("the database answers"), 0);
}

pub(super) async fn releases_holds(case: &Case) {
    let (waiting, retried) = (case.queued().await, case.queued().await);
    publish_all(case).await;
    let (taken, done) = (case.queued().await, case.job_in(State::Done).await);
    case.database
        .fail(&case.claim(retried).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    case.database.create_notification(done, "job.completed").await.expect("the database answers");
    assert_eq!(take(&case.database, 10).await.len(), 3, "the message about the retry is not due");
    assert_eq!(
        case.database.take_notifications(10, HOLD).await.expect("the database answers").len(),
        1
    );

    case.database.release_holds().await.expect("the database answers");
    let notifications =
        case.other.take_notifications(10, HOLD).await.expect("the database answers");
    assert_eq!(notifications.iter().map(|due| due.job.id).collect::<Vec<_>>(), [done]);
    let again = take(&case.other, 10).await;
    assert_eq!(sorted(again), sorted(vec![taken, done, done]));
    assert!(
        case.rows().await.outbox.iter().all(|row| row.job_id != waiting.0),
        "published messages are not due again"
    );
    case.advance(30);
    assert!(take(&case.other, 10).await.contains(&retried), "the pause of the retry has ended");
}

pub(super) async fn recovers_after_restart(case: &Case) {
    let (running, exhausted, queued) =
        (case.queued().await, case.queued().await, case.queued().await);
    for _ in 1..MAX_LOST_WORKERS {
        case.claim(exhausted).await;
        case.advance(61);
        assert_eq!(reap(case).await, [AttemptOutcome::Retrying]);
        case.advance(15 * 60);
    }
    case.claim(exhausted).await;
    case.claim(running).await;
    take(&case.other, 100).await;

    case.database.recover_after_restart().await.expect("the database answers");
    let rows = case.rows().await;
    for (id, state) in [(running, "PROCESSING"), (exhausted, "FAILED")] {
        let row = rows.job(id);
        assert_eq!((row.status.as_str(), row.lease_until), (state, None));
        assert_eq!(row.error_code.as_deref(), Some(FailureCode::WorkerLost.name()));
    }
    let due = take(&case.database, 100).await;
    assert!(due.contains(&queued), "the hold on its message is released");
    assert!(due.contains(&exhausted), "its failure is announced");
    assert_eq!(reap(case).await, [], "no lease is left");
}

fn sorted(mut jobs: Vec<JobId>) -> Vec<JobId> {
    jobs.sort_unstable();
    jobs
}
