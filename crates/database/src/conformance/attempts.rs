//! Outcomes of attempts.

use jobs::message::{Completed, Event, Failed};
use jobs::{AttemptOutcome, FailureCode, JobId, Language, Message};

use super::case::{Case, archive};
use crate::attempt::Archive;

/// History of every job that was claimed once.
const CLAIMED: [&str; 3] = [
    "event - UPLOADED size_bytes=1000",
    "event UPLOADED QUEUED",
    "event QUEUED PROCESSING attempt=1 worker=\"w\"",
];

/// Lines of a job: its row, its history up to the first claim, and further lines.
fn lines_after_claim(first: &str, more: &[&str]) -> Vec<String> {
    [first].iter().chain(&CLAIMED).chain(more).map(|line| (*line).to_owned()).collect()
}

/// Last message about a job.
async fn last_message(case: &Case, id: JobId) -> Message {
    let rows = case.rows().await;
    let last = rows.outbox.iter().rfind(|row| row.job_id == id.0).expect("there is a message");
    serde_json::from_str(&last.message).expect("messages are JSON")
}

pub(super) async fn finish(case: &Case) {
    let id = case.queued().await;
    let claim = case.claim(id).await;
    assert!(case.database.renew(&claim, 2, Some(5)).await.expect("the database answers"));
    let archive = Archive {
        complete: false,
        warnings: vec!["1 frame is missing".to_owned()],
        ..archive(&claim)
    };
    assert_eq!(
        case.database.finish(&claim, &archive).await.expect("the database answers"),
        AttemptOutcome::Completed
    );
    assert_eq!(
        case.lines(id).await,
        lines_after_claim(
            "job DONE attempt=1 fence=1 files=7d worker=w started=yes done=3 expected=4 \
             zip=output-1.zip bytes=900 frames=3 complete=false \
             warnings=[\"1 frame is missing\"] took=1.5 ended=yes",
            &[
                "event PROCESSING DONE attempt=1 frame_count=3 zip_size_bytes=900",
                "outbox job.created retries=0 due=0s",
                "outbox job.completed retries=0 due=0s",
            ]
        )
    );
    let completed = Completed {
        job_id: id,
        user_id: claim.job.user_id,
        filename: "praia.mp4".to_owned(),
        zip_path: "output-1.zip".to_owned(),
        zip_size_bytes: 900,
        frame_count: 3,
        complete: false,
        processing_time_seconds: 1.5,
    };
    assert_eq!(last_message(case, id).await.event, Event::Completed(completed));
    let job = case.database.job(id).await.expect("the database answers").expect("the job exists");
    assert_eq!(job.warnings, ["1 frame is missing"]);
}

pub(super) async fn are_repeated_after_pauses(case: &Case) {
    let id = case.queued().await;
    let mut history = Vec::new();
    let mut sent = vec!["outbox job.created retries=0 due=0s".to_owned()];
    for (attempt, pause) in [(1, Some(30)), (2, Some(60)), (3, Some(120)), (4, None)] {
        let claim = case.claim(id).await;
        if attempt > 1 {
            history.push(format!("event PROCESSING PROCESSING attempt={attempt} worker=\"w\""));
        }
        let failed = case
            .database
            .fail(&claim, FailureCode::StorageError, "no answer")
            .await
            .expect("the database answers");
        let metadata =
            format!("attempt={attempt} error_code=\"STORAGE_ERROR\" error_message=\"no answer\"");
        let job = format!("attempt={attempt} fence={attempt} files=7d worker=w started=yes");
        let error = "error=STORAGE_ERROR message=\"no answer\"";
        let line = if let Some(pause) = pause {
            assert_eq!(failed, AttemptOutcome::Retrying);
            history
                .push(format!("event PROCESSING PROCESSING {metadata} next_attempt_at={pause}s"));
            sent.push(format!("outbox job.created retries={} due={pause}s", attempt - 1));
            format!("job PROCESSING {job} next={pause}s {error}")
        } else {
            assert_eq!(failed, AttemptOutcome::Failed);
            history.push(format!("event PROCESSING FAILED {metadata}"));
            sent.push("outbox job.failed retries=3 due=0s".to_owned());
            format!("job FAILED {job} {error} ended=yes")
        };
        let more: Vec<&str> = history.iter().chain(&sent).map(String::as_str).collect();
        assert_eq!(case.lines(id).await, lines_after_claim(&line, &more));
        let Some(pause) = pause else { continue };
        case.advance(pause - 1);
        assert!(
            case.database.claim(id, "w").await.expect("the database answers").is_none(),
            "the pause has not ended"
        );
        case.advance(1);
    }
}

pub(super) async fn end_at_once_where_a_retry_cannot_help(case: &Case) {
    for code in FailureCode::ALL.iter().filter(|code| !code.retry_may_help()) {
        let id = case.queued().await;
        let claim = case.claim(id).await;
        let failed = case
            .database
            .fail(&claim, *code, "line 1\n\"line 2\"")
            .await
            .expect("the database answers");
        assert_eq!(failed, AttemptOutcome::Failed);
        let line = format!(
            "job FAILED attempt=1 fence=1 files=7d worker=w started=yes error={code} \
             message=\"line 1\\n\\\"line 2\\\"\" ended=yes"
        );
        let event = format!(
            "event PROCESSING FAILED attempt=1 error_code=\"{code}\" \
             error_message=\"line 1\\n\\\"line 2\\\"\""
        );
        let sent = ["outbox job.created retries=0 due=0s", "outbox job.failed retries=0 due=0s"];
        assert_eq!(case.lines(id).await, lines_after_claim(&line, &[&event, sent[0], sent[1]]));
        let failed = Failed {
            job_id: id,
            user_id: claim.job.user_id,
            filename: "praia.mp4".to_owned(),
            error_code: *code,
            error_message: code.user_message(Language::En).to_owned(),
        };
        assert_eq!(last_message(case, id).await.event, Event::Failed(failed));
    }
}

pub(super) async fn are_released(case: &Case) {
    let id = case.queued().await;
    let claim = case.claim(id).await;
    assert!(case.database.renew(&claim, 2, Some(4)).await.expect("the database answers"));
    assert_eq!(
        case.database.release(&claim).await.expect("the database answers"),
        AttemptOutcome::Released
    );
    assert_eq!(
        case.lines(id).await,
        lines_after_claim(
            "job PROCESSING attempt=0 fence=1 files=7d worker=w started=yes expected=4",
            &[
                "event PROCESSING PROCESSING released=true",
                "outbox job.created retries=0 due=0s",
                "outbox job.created retries=0 due=0s"
            ]
        )
    );

    // Releases do not count as attempts: four further attempts may fail.
    for attempt in 1..=4 {
        for _ in 0..5 {
            let claim = case.claim(id).await;
            assert_eq!(claim.job.attempt, attempt);
            assert_eq!(
                case.database.release(&claim).await.expect("the database answers"),
                AttemptOutcome::Released
            );
        }
        let failed =
            case.database.fail(&case.claim(id).await, FailureCode::InternalError, "a fault").await;
        let expected = if attempt < 4 { AttemptOutcome::Retrying } else { AttemptOutcome::Failed };
        assert_eq!(failed.expect("the database answers"), expected);
        case.advance(120);
    }
    assert_eq!(case.rows().await.job(id).fence, 25);
}

pub(super) async fn clear_an_earlier_failure(case: &Case) {
    let id = case.queued().await;
    case.database
        .fail(&case.claim(id).await, FailureCode::OutOfMemory, "too much")
        .await
        .expect("the database answers");
    case.advance(30);
    let claim = case.claim(id).await;
    assert_eq!(
        claim.job.error_code,
        Some(FailureCode::OutOfMemory),
        "the user sees the reason of the delay during the next attempt"
    );
    case.database.finish(&claim, &archive(&claim)).await.expect("the database answers");
    assert_eq!(
        case.lines(id).await[0],
        "job DONE attempt=2 fence=2 files=7d worker=w started=yes done=3 expected=4 \
         zip=output-2.zip bytes=900 frames=3 complete=true took=1.5 ended=yes"
    );
    assert_eq!(last_message(case, id).await.metadata.retry_count, 1);
}
