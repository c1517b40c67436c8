//! Jobs that failed are read and put back.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State};

use super::case::{Case, archive};
use crate::Rules;
use crate::operator::Requeue;

async fn requeue(case: &Case, id: JobId) -> Requeue {
    case.other.requeue(id).await.expect("the database answers")
}

/// A new job that failed by this code, however often it had to be tried.
async fn failed(case: &Case, code: FailureCode) -> JobId {
    let id = case.queued().await;
    fail(case, id, code).await;
    id
}

/// Try a job until it has failed for good; says how often.
async fn fail(case: &Case, id: JobId, code: FailureCode) -> u32 {
    loop {
        let claim = case.claim(id).await;
        if case.database.fail(&claim, code, "no answer").await.expect("the database answers")
            == AttemptOutcome::Failed
        {
            return claim.job.attempt;
        }
        case.pass(120);
    }
}

/// The relay brings everything away; gives the names of the events about this job.
async fn taken(case: &Case, id: JobId) -> Vec<&'static str> {
    let taken =
        case.database.take_outgoing(1000, Duration::ZERO).await.expect("the database answers");
    case.database
        .mark_published(taken.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    let events = taken.iter().map(|outgoing| &outgoing.message.event);
    events.filter(|event| event.job_id() == id).map(jobs::message::Event::name).collect()
}

/// The lines about the notifications of a job.
async fn notifications(case: &Case, id: JobId) -> Vec<String> {
    case.lines(id).await.into_iter().filter(|line| line.starts_with("notification")).collect()
}

pub(super) async fn reads_what_failed(case: &Case) {
    let first = failed(case, FailureCode::StorageError).await;
    case.pass(1);
    let second = failed(case, FailureCode::NoVideoStream).await;
    case.pass(1);
    let third = failed(case, FailureCode::StorageError).await;
    for state in [State::Queued, State::Processing, State::Done, State::Cancelled] {
        case.job_in(state).await;
    }
    let read = async |code, limit| {
        let jobs = case.database.failed_jobs(code, limit).await.expect("the database answers");
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(read(None, 10).await, [third, second, first]);
    assert_eq!(read(None, 2).await, [third, second]);
    assert_eq!(read(Some(FailureCode::StorageError), 10).await, [third, first]);
    assert_eq!(read(Some(FailureCode::OutOfMemory), 10).await, []);
    let retryable =
        async |code| case.database.requeueable_jobs(code).await.expect("the database answers");
    assert_eq!(retryable(FailureCode::StorageError).await, [first, third]);
    case.database.mark_files_removed(first).await.expect("the database answers");
    assert_eq!(
        retryable(FailureCode::StorageError).await,
        [third],
        "whose video is gone stays as it is"
    );
    assert_eq!(
        read(Some(FailureCode::StorageError), 10).await,
        [third, first],
        "and has failed nevertheless"
    );
    case.clock.advance(Rules::default().retention);
    assert_eq!(retryable(FailureCode::StorageError).await, []);
}

pub(super) async fn puts_back_what_failed(case: &Case) {
    let (id, neighbour) = (
        failed(case, FailureCode::StorageError).await,
        failed(case, FailureCode::StorageError).await,
    );
    taken(case, id).await;
    let before = case.lines(neighbour).await;
    case.clock.advance(Rules::default().retention / 2);
    assert_eq!(requeue(case, id).await, Requeue::Queued);
    let lines = case.lines(id).await;
    // The time of its files begins anew, three days and a half after it was accepted.
    assert_eq!(lines[0], "job QUEUED attempt=0 fence=5 files=10d started=yes next=0s");
    assert_eq!(
        lines[lines.len() - 2..],
        ["event FAILED QUEUED by=\"operator\"", "outbox job.created retries=0 due=0s"]
    );
    assert_eq!(case.lines(neighbour).await, before);

    // It has all of its attempts, and what it failed of is told anew.
    assert_eq!(taken(case, id).await, ["job.created"]);
    assert_eq!(fail(case, id, FailureCode::StorageError).await, 4);
    assert_eq!(taken(case, id).await.last(), Some(&"job.failed"));
    assert_eq!(requeue(case, id).await, Requeue::Queued, "it can be put back again");
    let claim = case.claim(id).await;
    assert_eq!(
        case.database.finish(&claim, &archive(&claim)).await.expect("the database answers"),
        AttemptOutcome::Completed
    );
    assert_eq!(taken(case, id).await, ["job.created", "job.completed"]);
}

pub(super) async fn puts_back_nothing_else(case: &Case) {
    let mut others = Vec::new();
    for state in [State::Expired, State::Queued, State::Processing, State::Done, State::Cancelled] {
        others.push((case.job_in(state).await, Requeue::NotFailed(state)));
    }
    others.push((JobId::generate(), Requeue::NotFound));
    let removed = failed(case, FailureCode::StorageError).await;
    case.database.mark_files_removed(removed).await.expect("the database answers");
    others.push((removed, Requeue::Expired));
    let before = case.rows().await;
    for (id, refusal) in others {
        assert_eq!(requeue(case, id).await, refusal);
    }
    assert_eq!(case.rows().await, before);

    // The upkeep may be removing its video already.
    let over = failed(case, FailureCode::StorageError).await;
    case.clock.advance(Rules::default().retention);
    let before = case.rows().await;
    assert_eq!(requeue(case, over).await, Requeue::Expired);
    assert_eq!(case.rows().await, before);
}

/// One mail for each outcome, wherever the message of the old one is when the job is put back.
pub(super) async fn undoes_an_outcome_that_is_told_later(case: &Case) {
    let notify = async |id| {
        case.database.create_notification(id, "job.failed").await.expect("the database answers")
    };

    // Still in the outbox.
    let id = failed(case, FailureCode::NoVideoStream).await;
    requeue(case, id).await;
    assert!(!taken(case, id).await.contains(&"job.failed"));

    // With the broker.
    let id = failed(case, FailureCode::NoVideoStream).await;
    assert!(taken(case, id).await.contains(&"job.failed"));
    requeue(case, id).await;
    notify(id).await;
    assert_eq!(notifications(case, id).await, [""; 0], "it has not failed any more");
    let claim = case.claim(id).await;
    notify(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    notify(id).await;
    assert_eq!(notifications(case, id).await, [""; 0]);

    // Noted, and then sent: the next failure is another one.
    for sent in [false, true] {
        let id = failed(case, FailureCode::NoVideoStream).await;
        notify(id).await;
        if sent {
            let due = case
                .database
                .take_notifications(100, Duration::ZERO)
                .await
                .expect("the database answers");
            let mail = due.iter().find(|due| due.job.id == id).expect("it is due");
            case.database.mark_notification_sent(mail.id).await.expect("the database answers");
        }
        requeue(case, id).await;
        assert_eq!(notifications(case, id).await, [""; 0]);
        fail(case, id, FailureCode::NoVideoStream).await;
        notify(id).await;
        assert_eq!(notifications(case, id).await, ["notification job.failed PENDING attempts=0"]);
    }
}

pub(super) async fn puts_back_once(case: &Case) {
    for _ in 0..10 {
        let id = failed(case, FailureCode::NoVideoStream).await;
        taken(case, id).await;
        let answers = case.at_once(4, move |task, database| async move {
            if task == 3 {
                // A message that comes late, perhaps just now.
                database.create_notification(id, "job.failed").await.expect("the database answers");
                return false;
            }
            database.requeue(id).await.expect("the database answers") == Requeue::Queued
        });
        assert_eq!(answers.await.into_iter().filter(|back| *back).count(), 1);
        assert_eq!(taken(case, id).await, ["job.created"]);
        assert_eq!(notifications(case, id).await, [""; 0]);
    }
}
