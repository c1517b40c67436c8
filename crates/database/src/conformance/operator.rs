//! Listing and queueing of failed jobs by operators.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State};

use super::case::{Case, archive};
use crate::connection::Rules;
use crate::operator::Requeue;

async fn requeue(case: &Case, id: JobId) -> Requeue {
    case.other.requeue(id).await.expect("the database answers")
}

/// Create a job that failed with this code after all its attempts.
async fn failed(case: &Case, code: FailureCode) -> JobId {
    let id = case.queued().await;
    fail(case, id, code).await;
    id
}

/// Fail attempts until the job has failed. Return the number of attempts.
async fn fail(case: &Case, id: JobId, code: FailureCode) -> u32 {
    loop {
        let claim = case.claim(id).await;
        if case.database.fail(&claim, code, "no answer").await.expect("the database answers")
            == AttemptOutcome::Failed
        {
            return claim.job.attempt;
        }
        case.advance(120);
    }
}

/// Publish all messages. Return the names of the events about this job.
async fn publish_all(case: &Case, id: JobId) -> Vec<String> {
    let taken =
        case.database.take_outgoing(1000, Duration::ZERO).await.expect("the database answers");
    case.database
        .mark_published(taken.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
    let messages = taken.into_iter().map(|outgoing| outgoing.message);
    messages.filter(|message| message.job_id == id).map(|message| message.event_type).collect()
}

/// Lines about the notifications of a job.
async fn notifications(case: &Case, id: JobId) -> Vec<String> {
    case.lines(id).await.into_iter().filter(|line| line.starts_with("notification")).collect()
}

pub(super) async fn lists_failed_jobs(case: &Case) {
    let first = failed(case, FailureCode::ProcessingTimeout).await;
    case.advance(1);
    let second = failed(case, FailureCode::NoVideoStream).await;
    case.advance(1);
    let third = failed(case, FailureCode::ProcessingTimeout).await;
    for state in [State::Queued, State::Processing, State::Done, State::Cancelled] {
        case.job_in(state).await;
    }
    let read = async |code, limit| {
        let jobs = case.database.failed_jobs(code, limit).await.expect("the database answers");
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(read(None, 10).await, [third, second, first]);
    assert_eq!(read(None, 2).await, [third, second]);
    assert_eq!(read(Some(FailureCode::ProcessingTimeout), 10).await, [third, first]);
    assert_eq!(read(Some(FailureCode::OutOfMemory), 10).await, []);
    let requeueable =
        async |code| case.database.requeueable_jobs(code).await.expect("the database answers");
    assert_eq!(requeueable(FailureCode::ProcessingTimeout).await, [first, third]);
    case.database.mark_files_removed(first).await.expect("the database answers");
    assert_eq!(
        requeueable(FailureCode::ProcessingTimeout).await,
        [third],
        "the video of the first job is removed"
    );
    assert_eq!(
        read(Some(FailureCode::ProcessingTimeout), 10).await,
        [third, first],
        "removed files do not change the list"
    );
    case.clock.advance(Rules::default().retention);
    assert_eq!(requeueable(FailureCode::ProcessingTimeout).await, []);
}

pub(super) async fn requeues_failed_jobs(case: &Case) {
    let (id, neighbor) = (
        failed(case, FailureCode::ProcessingTimeout).await,
        failed(case, FailureCode::ProcessingTimeout).await,
    );
    publish_all(case, id).await;
    let before = case.lines(neighbor).await;
    case.clock.advance(Rules::default().retention / 2);
    assert_eq!(requeue(case, id).await, Requeue::Queued);
    let lines = case.lines(id).await;
    // The retention period starts again, three and a half days after the acceptance.
    assert_eq!(lines[0], "job QUEUED attempt=0 fence=4 files=10d started=yes next=0s");
    assert_eq!(
        lines[lines.len() - 2..],
        ["event FAILED QUEUED by=\"operator\"", "outbox job.created retries=0 due=0s"]
    );
    assert_eq!(case.lines(neighbor).await, before);

    // The job has all its attempts, and its next failure is announced.
    assert_eq!(publish_all(case, id).await, ["job.created"]);
    assert_eq!(fail(case, id, FailureCode::ProcessingTimeout).await, 3);
    assert_eq!(publish_all(case, id).await.last().map(String::as_str), Some("job.failed"));
    assert_eq!(requeue(case, id).await, Requeue::Queued, "a job can be queued again repeatedly");
    let claim = case.claim(id).await;
    assert_eq!(
        case.database.finish(&claim, &archive(&claim)).await.expect("the database answers"),
        AttemptOutcome::Completed
    );
    assert_eq!(publish_all(case, id).await, ["job.created", "job.completed"]);
}

pub(super) async fn requeues_no_other_jobs(case: &Case) {
    let mut others = Vec::new();
    for state in [State::Expired, State::Queued, State::Processing, State::Done, State::Cancelled] {
        others.push((case.job_in(state).await, Requeue::NotFailed(state)));
    }
    others.push((JobId::generate(), Requeue::NotFound));
    let removed = failed(case, FailureCode::ProcessingTimeout).await;
    case.database.mark_files_removed(removed).await.expect("the database answers");
    others.push((removed, Requeue::Expired));
    let before = case.rows().await;
    for (id, expected) in others {
        assert_eq!(requeue(case, id).await, expected);
    }
    assert_eq!(case.rows().await, before);

    // Another process may be removing the video.
    let expired = failed(case, FailureCode::ProcessingTimeout).await;
    case.clock.advance(Rules::default().retention);
    let before = case.rows().await;
    assert_eq!(requeue(case, expired).await, Requeue::Expired);
    assert_eq!(case.rows().await, before);
}

/// Each outcome is announced once, regardless of where the message about the failure is during the
/// requeue.
pub(super) async fn revokes_a_failure_that_is_announced_later(case: &Case) {
    let notify = async |id| {
        case.database.create_notification(id, "job.failed").await.expect("the database answers");
    };

    // The message is in the outbox.
    let id = failed(case, FailureCode::NoVideoStream).await;
    requeue(case, id).await;
    assert!(!publish_all(case, id).await.iter().any(|name| name == "job.failed"));

    // The broker has the message.
    let id = failed(case, FailureCode::NoVideoStream).await;
    assert!(publish_all(case, id).await.iter().any(|name| name == "job.failed"));
    requeue(case, id).await;
    notify(id).await;
    assert_eq!(notifications(case, id).await, [""; 0], "the job is not failed anymore");
    let claim = case.claim(id).await;
    notify(id).await;
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    notify(id).await;
    assert_eq!(notifications(case, id).await, ["notification job.completed PENDING attempts=0"]);

    // The notification is created, and later sent; the next failure is announced again.
    for sent in [false, true] {
        let id = failed(case, FailureCode::NoVideoStream).await;
        notify(id).await;
        if sent {
            let due = case
                .database
                .take_notifications(100, Duration::ZERO)
                .await
                .expect("the database answers");
            let notification =
                due.iter().find(|due| due.job.id == id).expect("the notification is due");
            case.database
                .mark_notifications_sent(&notification.rows)
                .await
                .expect("the database answers");
        }
        requeue(case, id).await;
        assert_eq!(notifications(case, id).await, [""; 0]);
        fail(case, id, FailureCode::NoVideoStream).await;
        notify(id).await;
        assert_eq!(notifications(case, id).await, ["notification job.failed PENDING attempts=0"]);
    }
}

pub(super) async fn requeues_once(case: &Case) {
    for _ in 0..10 {
        let id = failed(case, FailureCode::NoVideoStream).await;
        publish_all(case, id).await;
        let answers = case.run_concurrently(4, move |task, database| async move {
            if task == 3 {
                // The message about the failure arrives at the same time.
                database.create_notification(id, "job.failed").await.expect("the database answers");
                return false;
            }
            database.requeue(id).await.expect("the database answers") == Requeue::Queued
        });
        assert_eq!(answers.await.into_iter().filter(|queued| *queued).count(), 1);
        assert_eq!(publish_all(case, id).await, ["job.created"]);
        assert_eq!(notifications(case, id).await, [""; 0]);
    }
}

/// Maintenance and an operator decide about the same job at the same time.
pub(super) async fn does_not_requeue_a_job_whose_files_are_being_removed(case: &Case) {
    for _ in 0..5 {
        let id = failed(case, FailureCode::NoVideoStream).await;
        case.clock.advance(Rules::default().retention.saturating_sub(Duration::from_secs(1)));
        case.clock.pause();
        let outcomes = case.run_concurrently(2, move |task, database| async move {
            if task == 0 {
                return database.requeue(id).await.expect("the database answers")
                    == Requeue::Queued;
            }
            // A process whose clock is a little ahead.
            let ahead = database.clone();
            ahead.clock().advance(Duration::from_secs(1));
            let expired = super::case::expire(&ahead).await.expect("the database answers");
            expired.iter().any(|job| job.id == id)
        });
        let outcomes = outcomes.await;
        assert!(outcomes != [true, true], "queued again, and its files are removed");
    }
}
