//! Cancellation and deletion.

use jobs::message::{Cancelled, Event};
use jobs::{AttemptOutcome, FailureCode, JobId, Message, State};

use super::case::{Case, archive, claim_job};
use crate::job::Job;

/// Cancel a job whose last known state is `seen`.
async fn cancel(case: &Case, id: JobId, seen: State) -> Option<Job> {
    case.database.cancel(id, seen).await.expect("the database answers")
}

pub(super) async fn ends_a_queued_job(case: &Case) {
    let (id, neighbor) = (case.queued().await, case.queued().await);
    let before = case.lines(neighbor).await;
    let job = cancel(case, id, State::Queued).await.expect("the job is queued");
    assert_eq!((job.id, job.state), (id, State::Cancelled));
    assert_eq!(
        case.lines(id).await,
        [
            "job CANCELLED attempt=0 fence=1 files=7d ended=yes",
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            "event QUEUED CANCELLED",
            "outbox job.created retries=0 due=0s",
            "outbox job.cancelled retries=0 due=0s",
        ]
    );
    assert_eq!(case.lines(neighbor).await, before);
    let rows = case.rows().await;
    let message = rows
        .outbox
        .iter()
        .rfind(|row| row.job_id == id.0)
        .map(|row| serde_json::from_str(&row.message));
    let message: Message = message.expect("there is a message").expect("messages are JSON");
    assert_eq!(
        message.event,
        Event::Cancelled(Cancelled { job_id: id, user_id: job.user_id, filename: job.filename })
    );
}

pub(super) async fn ends_a_running_job(case: &Case) {
    let id = case.queued().await;
    let claim = case.claim(id).await;
    cancel(case, id, State::Processing).await.expect("the job is in processing");
    let mut lines = vec![
        "job CANCELLED attempt=1 fence=2 files=7d worker=w started=yes ended=yes",
        "event - UPLOADED size_bytes=1000",
        "event UPLOADED QUEUED",
        "event QUEUED PROCESSING attempt=1 worker=\"w\"",
        "event PROCESSING CANCELLED",
        "outbox job.created retries=0 due=0s",
        "outbox job.cancelled retries=0 due=0s",
    ];
    assert_eq!(case.lines(id).await, lines);
    assert_eq!(
        case.database.finish(&claim, &archive(&claim)).await.expect("the database answers"),
        AttemptOutcome::Lost
    );
    assert_eq!(case.lines(id).await, lines);

    // A job between two attempts is cancelled, too, and the second attempt never starts.
    let id = case.queued().await;
    case.database
        .fail(&case.claim(id).await, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    cancel(case, id, State::Processing).await.expect("the job waits for its next attempt");
    lines[0] = "job CANCELLED attempt=1 fence=2 files=7d worker=w started=yes \
                error=STORAGE_ERROR message=\"no answer\" ended=yes";
    lines.insert(
        4,
        "event PROCESSING PROCESSING attempt=1 error_code=\"STORAGE_ERROR\" \
         error_message=\"no answer\" next_attempt_at=30s",
    );
    lines.insert(7, "outbox job.created retries=0 due=30s");
    assert_eq!(case.lines(id).await, lines);
    case.advance(30);
    assert!(claim_job(&case.database, id, "w").await.is_none());
}

pub(super) async fn ignores_final_jobs(case: &Case) {
    let mut ids = vec![JobId::generate()];
    for state in [State::Expired, State::Done, State::Failed, State::Cancelled] {
        ids.push(case.job_in(state).await);
    }
    let before = case.rows().await;
    for id in ids {
        for seen in State::ALL {
            assert_eq!(cancel(case, id, seen).await, None);
        }
    }
    assert_eq!(case.rows().await, before);

    let (queued, running) =
        (case.job_in(State::Queued).await, case.job_in(State::Processing).await);
    let before = case.rows().await;
    assert_eq!(cancel(case, queued, State::Processing).await, None, "the job is in another state");
    assert_eq!(cancel(case, running, State::Queued).await, None, "a worker has claimed the job");
    assert_eq!(case.rows().await, before);
}

pub(super) async fn succeeds_once(case: &Case) {
    // A worker claims the job while two requests cancel it.
    for _ in 0..10 {
        let id = case.queued().await;
        let won = case.run_concurrently(3, move |task, database| async move {
            match task {
                0 => claim_job(&database, id, "w").await.is_some(),
                _ => database
                    .cancel(id, State::Queued)
                    .await
                    .expect("the database answers")
                    .is_some(),
            }
        });
        assert_eq!(won.await.iter().filter(|won| **won).count(), 1);
        let lines = case.lines(id).await;
        let expected = match case.rows().await.job(id).status.as_str() {
            "PROCESSING" => 1,
            _ => 2,
        };
        assert_eq!(
            lines.iter().filter(|line| line.starts_with("outbox")).count(),
            expected,
            "{lines:#?}"
        );
    }

    // A worker finishes the job while a request cancels it.
    for _ in 0..10 {
        let id = case.queued().await;
        let claim = case.claim(id).await;
        let won = case.run_concurrently(2, move |task, database| {
            let claim = claim.clone();
            async move {
                match task {
                    0 => {
                        database
                            .finish(&claim, &archive(&claim))
                            .await
                            .expect("the database answers")
                            == AttemptOutcome::Completed
                    }
                    _ => database
                        .cancel(id, State::Processing)
                        .await
                        .expect("the database answers")
                        .is_some(),
                }
            }
        });
        assert_eq!(won.await.iter().filter(|won| **won).count(), 1);
        let lines = case.lines(id).await;
        assert_eq!(lines.iter().filter(|line| line.starts_with("outbox")).count(), 2, "{lines:#?}");
    }
}

pub(super) async fn deletes_final_jobs(case: &Case) {
    let delete = async |id: JobId| case.database.delete(id).await.expect("the database answers");
    let mut finals = Vec::new();
    for state in [State::Expired, State::Done, State::Failed, State::Cancelled] {
        finals.push(case.job_in(state).await);
    }
    let (queued, running) =
        (case.job_in(State::Queued).await, case.job_in(State::Processing).await);
    for id in &finals {
        case.database
            .create_notification(*id, "job.completed")
            .await
            .expect("the database answers");
    }
    let before = case.rows().await;
    assert!(!delete(queued).await);
    assert!(!delete(running).await);
    assert!(!delete(JobId::generate()).await);
    assert_eq!(case.rows().await, before);

    for id in finals {
        let mut expected = case.rows().await;
        assert!(delete(id).await);
        expected.jobs.retain(|job| job.id != id.0);
        expected.events.retain(|event| event.job_id != id.0);
        expected.notifications.retain(|row| row.job_id != id.0);
        assert_eq!(
            case.rows().await,
            expected,
            "only the job, its history and its notifications are deleted"
        );
        assert!(!delete(id).await, "the job is deleted already");
        case.database
            .create_notification(id, "job.completed")
            .await
            .expect("an event of a deleted job is ignored");
        assert_eq!(case.rows().await, expected);
        assert_eq!(case.database.history(id).await.expect("the database answers"), []);
    }
    assert_eq!(case.rows().await.notifications, []);
}
