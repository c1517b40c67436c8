//! Recovery of work that lost workers, relays and brokers leave unfinished.

use std::time::Duration;

use jobs::message::{Completed, EncodedMessage};
use jobs::{AttemptOutcome, FailureCode, JobId, State};

use super::case::{Case, archive};
use super::outbox::{HOLD, publish_all, take};
use crate::outbox::Outgoing;

/// Fail attempts whose lease has expired.
async fn reap(case: &Case) -> Vec<AttemptOutcome> {
    case.database.reap().await.expect("the database answers")
}

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
    assert!(case.database.renew(&claim, 1, None).await.expect("the database answers"));
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

pub(super) async fn fails_a_job_that_lost_three_workers(case: &Case) {
    let id = case.queued().await;
    let (retrying, failed) = (AttemptOutcome::Retrying, AttemptOutcome::Failed);
    for expected in [retrying, retrying, failed] {
        case.claim(id).await;
        case.advance(61);
        assert_eq!(reap(case).await, [expected]);
        case.advance(60);
    }
    assert!(case.database.claim(id, "w").await.expect("the database answers").is_none());
    assert_eq!(reap(case).await, []);
    assert_eq!(
        case.lines(id).await,
        [
            "job FAILED attempt=3 fence=3 files=7d worker=w started=yes error=WORKER_LOST \
             message=\"the worker stopped renewing its lease\" ended=yes",
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            "event QUEUED PROCESSING attempt=1 worker=\"w\"",
            &format!("event PROCESSING PROCESSING attempt=1 {LOST} next_attempt_at=30s"),
            "event PROCESSING PROCESSING attempt=2 worker=\"w\"",
            &format!("event PROCESSING PROCESSING attempt=2 {LOST} next_attempt_at=60s"),
            "event PROCESSING PROCESSING attempt=3 worker=\"w\"",
            &format!("event PROCESSING FAILED attempt=3 {LOST}"),
            "outbox job.created retries=0 due=0s",
            "outbox job.created retries=0 due=30s",
            "outbox job.created retries=1 due=60s",
            "outbox job.failed retries=2 due=0s",
        ]
    );
}

pub(super) async fn reaps_each_attempt_once(case: &Case) {
    let mut ids: Vec<JobId> = Vec::new();
    for _ in 0..20 {
        ids.push(case.queued().await);
        case.claim(ids[ids.len() - 1]).await;
    }
    case.advance(61);
    let reaped = case.run_concurrently(6, |_, database| async move {
        database.reap().await.expect("the database answers").len()
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
    assert!(!case.database.renew(&claim, 1, None).await.expect("the database answers"));
    let lines = case.lines(running).await;
    assert!(lines[0].contains("next=30s error=WORKER_LOST"), "{lines:#?}");
    assert_eq!(case.lines(waiting).await, queued);
    case.database.expire_leases().await.expect("the database answers");
    assert_eq!(reap(case).await, [], "no lease is left");
}

pub(super) async fn republishes_created_messages(case: &Case) {
    let waited = Duration::from_mins(1);
    let republish =
        async || case.database.republish_created(waited).await.expect("the database answers");
    let retried = case.queued().await;
    let claim = case.claim(retried).await;
    case.database
        .fail(&claim, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    let released = case.queued().await;
    case.database.release(&case.claim(released).await).await.expect("the database answers");
    case.job_in(State::Processing).await;
    for state in [State::Done, State::Failed, State::Cancelled] {
        case.job_in(state).await;
    }
    let queued = case.queued().await;
    case.advance(60);
    assert_eq!(republish().await, 0, "every message is in the outbox");

    // Two jobs have waited for a minute, and the retried one for half a minute after its pause.
    publish_all(case).await;
    assert_eq!(case.rows().await.outbox, []);
    assert_eq!(republish().await, 2);
    assert_eq!(republish().await, 0, "the outbox has their messages now");
    assert_eq!(sorted(take(&case.database, 10).await), sorted(vec![released, queued]));
    case.advance(30);
    assert_eq!(republish().await, 1);
    let due = case.rows().await.outbox;
    assert!(
        due.iter().all(|row| row.run_after <= case.clock.now()),
        "the messages are due at once"
    );
    publish_all(case).await;
    assert!(
        case.database.claim(retried, "w").await.expect("the database answers").is_some(),
        "the job can be claimed"
    );

    let recent = case.queued().await;
    publish_all(case).await;
    case.advance(59);
    assert_eq!(republish().await, 2, "the recent job has not waited for a minute");
    assert!(case.rows().await.outbox.iter().all(|row| row.job_id != recent.0));
    case.advance(1);
    assert_eq!(republish().await, 1);

    let claim = case.claim(queued).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    let last = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    let is_completion = |message: &EncodedMessage| {
        (message.job_id, message.event_type.as_str()) == (queued, Completed::EVENT_TYPE)
    };
    assert!(last.iter().any(|outgoing| is_completion(&outgoing.message)));
}

pub(super) async fn republishes_outcomes(case: &Case) {
    let waited = Duration::from_mins(1);
    let republish =
        async || case.database.republish_outcomes(waited).await.expect("the database answers");
    let (done, failed, notified) = (
        case.job_in(State::Done).await,
        case.job_in(State::Failed).await,
        case.job_in(State::Done).await,
    );
    for state in [State::Queued, State::Processing, State::Cancelled] {
        case.job_in(state).await;
    }
    case.database
        .create_notification(notified, "job.completed")
        .await
        .expect("the database answers");
    case.advance(60);
    assert_eq!(republish().await, 0, "every message is in the outbox");
    let first = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    publish_all(case).await;
    case.database
        .mark_published(first.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    assert_eq!(republish().await, 2, "one of three has a notification");
    assert_eq!(republish().await, 0, "the outbox has their messages now");

    let again = case.database.take_outgoing(1000, HOLD).await.expect("the database answers");
    assert_eq!(
        sorted(again.iter().map(|outgoing| outgoing.message.job_id).collect()),
        sorted(vec![done, failed])
    );
    let event = |outgoing: &Outgoing| outgoing.message.decode().expect("it is readable").event;
    for outgoing in &again {
        assert!(
            first.iter().any(|first| event(first) == event(outgoing)),
            "{outgoing:?} differs from the first message"
        );
    }
    case.database
        .mark_published(again.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    case.database.create_notification(done, "job.completed").await.expect("the database answers");
    case.database.create_notification(failed, "job.failed").await.expect("the database answers");
    assert_eq!(republish().await, 0);

    let recent = case.job_in(State::Done).await;
    publish_all(case).await;
    case.advance(59);
    assert_eq!(republish().await, 0, "the job has not been done for a minute");
    case.advance(1);
    assert_eq!(republish().await, 1);
    publish_all(case).await;
    case.database.mark_files_removed(recent).await.expect("the database answers");
    assert_eq!(republish().await, 0, "an outcome without files is not announced");
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
    for _ in 0..2 {
        case.claim(exhausted).await;
        case.advance(61);
        assert_eq!(reap(case).await, [AttemptOutcome::Retrying]);
        case.advance(60);
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
