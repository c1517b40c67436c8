//! Outcomes of attempts.

use std::time::Duration;

use jobs::message::{Completed, Event, Failed};
use jobs::{AttemptOutcome, FailureCode, JobId, Language, Message, State, Warning};
use sea_orm::ConnectionTrait;

use super::case::{Case, archive, claim_next, renew};
use crate::attempt::{Archive, Fate};
use crate::claim::Claim;

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
    assert!(renew(&case.database, &claim, 2, Some(5)).await);
    let archive = Archive {
        complete: false,
        warnings: vec![Warning::PacketsDamaged { packets: 1 }],
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
             warnings=[\"packets cut short or damaged: 1\"] took=1.5 ended=yes",
            &[
                "event PROCESSING DONE attempt=1 frame_count=3 zip_size_bytes=900",
                "outbox job.created retries=0 due=0s",
                "outbox job.completed retries=0 due=0s",
                "notification job.completed PENDING attempts=0",
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
    assert_eq!(job.warnings, archive.warnings);

    // A program of an earlier version writes texts only, and a later one may have other warnings.
    let text = "packets cut short or damaged: 1".to_owned();
    let unknown = [Warning::Other { text }];
    for details in ["NULL", "'[{\"code\":\"SOMETHING_NEW\"}]'"] {
        let update = format!("UPDATE jobs SET warning_details = {details}");
        let updated = case.database.write.execute_unprepared(&update).await;
        updated.expect("rows can be changed");
        let job = case.database.job(id).await.expect("the database answers");
        assert_eq!(job.expect("the job exists").warnings, unknown, "{details}");
    }
}

pub(super) async fn are_repeated_after_pauses(case: &Case) {
    let id = case.queued().await;
    let mut history = Vec::new();
    let mut sent = vec!["outbox job.created retries=0 due=0s".to_owned()];
    for (attempt, pause) in [(1, 30), (2, 60), (3, 120), (4, 240), (5, 480), (6, 900), (7, 900)] {
        let claim = case.claim(id).await;
        if attempt > 1 {
            history.push(format!("event PROCESSING PROCESSING attempt={attempt} worker=\"w\""));
        }
        let failed = case.database.fail(&claim, FailureCode::StorageError, "no answer").await;
        assert_eq!(failed.expect("the database answers"), AttemptOutcome::Retrying);
        history.push(format!(
            "event PROCESSING PROCESSING attempt={attempt} error_code=\"STORAGE_ERROR\" \
             error_message=\"no answer\" next_attempt_at={pause}s"
        ));
        sent.push(format!("outbox job.created retries={} due={pause}s", attempt - 1));
        let line = format!(
            "job PROCESSING attempt={attempt} fence={attempt} files=7d worker=w started=yes \
             next={pause}s error=STORAGE_ERROR message=\"no answer\""
        );
        let more: Vec<&str> = history.iter().chain(&sent).map(String::as_str).collect();
        assert_eq!(case.lines(id).await, lines_after_claim(&line, &more));
        case.advance(pause - 1);
        assert!(claim_next(&case.database, id, "w").await.is_none(), "the pause has not ended");
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
        let more = [
            &event,
            "outbox job.created retries=0 due=0s",
            "outbox job.failed retries=0 due=0s",
            "notification job.failed PENDING attempts=0",
        ];
        assert_eq!(case.lines(id).await, lines_after_claim(&line, &more));
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
    assert!(renew(&case.database, &claim, 2, Some(4)).await);
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

    // Releases do not count as attempts, so the pauses begin with the first one.
    for (attempt, pause) in [(1, 30), (2, 60), (3, 120), (4, 240)] {
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
        assert_eq!(failed.expect("the database answers"), AttemptOutcome::Retrying);
        case.advance(pause);
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

/// While the commit of an outcome is in doubt, nothing may be concluded from the row.
pub(super) async fn know_their_fate(case: &Case) {
    let fate = async |claim: &Claim| {
        let archive = format!("output-{}.zip", claim.job.fence);
        case.database.fate(claim, &archive).await.expect("the database answers")
    };
    let id = case.queued().await;
    let first = case.claim(id).await;
    assert_eq!(fate(&first).await, Fate::Unknown, "the job belongs to the attempt");
    case.database.release(&first).await.expect("the database answers");
    assert_eq!(fate(&first).await, Fate::Superseded, "the lease is gone");
    let second = case.claim(id).await;
    assert_eq!(fate(&first).await, Fate::Superseded, "another worker has the job");
    case.database.finish(&second, &archive(&second)).await.expect("the database answers");
    assert_eq!(fate(&second).await, Fate::Finished);
    assert_eq!(fate(&first).await, Fate::Superseded);
    assert!(case.database.delete(id).await.expect("the database answers"));
    assert_eq!(fate(&second).await, Fate::Superseded, "the job is deleted");
    let cancelled = case.queued().await;
    let claim = case.claim(cancelled).await;
    case.database.cancel(cancelled, State::Processing).await.expect("the database answers");
    assert_eq!(fate(&claim).await, Fate::Superseded);
}

/// A message that arrives before its job is due is acknowledged, so another one has to follow.
pub(super) async fn are_announced_when_due(case: &Case) {
    case.clock.pause();
    let id = case.queued().await;
    super::outbox::publish_all(case).await;
    let failed = case.database.fail(&case.claim(id).await, FailureCode::StorageError, "no").await;
    failed.expect("the database answers");
    let messages = async || {
        let rows = case.rows().await.outbox.into_iter();
        rows.map(|row| (row.run_after - case.clock.now()).num_seconds()).collect::<Vec<_>>()
    };
    assert_eq!(messages().await, [30]);
    let claim = async || claim_next(&case.database, id, "w").await;
    assert!(claim().await.is_none());
    assert_eq!(messages().await, [30], "the message is still in the outbox");
    // A process whose clock was ahead has published it early.
    let early = case.rows().await.outbox.remove(0).id;
    case.database.mark_published([early]).await.expect("the database answers");
    for _ in 0..2 {
        assert!(claim().await.is_none());
        assert_eq!(messages().await, [30], "one message follows");
    }
    case.advance(30);
    super::outbox::publish_all(case).await;
    assert!(claim().await.is_some());
    assert!(messages().await.is_empty());
}

/// A failure whose cause is in the service does not count against the job, until its video expires.
pub(super) async fn are_not_charged_for_failures_of_the_service(case: &Case) {
    let id = case.queued().await;
    let fail = async |code| {
        let claim = case.claim(id).await;
        case.database.fail(&claim, code, "no answer").await.expect("the database answers")
    };
    for _ in 0..30 {
        assert_eq!(fail(FailureCode::StorageError).await, AttemptOutcome::Retrying);
        case.advance(15 * 60);
    }
    assert_eq!(case.rows().await.job(id).charged, 0);
    for charged in 1..3 {
        assert_eq!(fail(FailureCode::DecoderCrashed).await, AttemptOutcome::Retrying);
        assert_eq!(case.rows().await.job(id).charged, charged);
        case.advance(15 * 60);
    }
    assert_eq!(fail(FailureCode::DecoderCrashed).await, AttemptOutcome::Failed);

    let expiring = case.queued().await;
    let claim = case.claim(expiring).await;
    case.clock.advance(case.database.rules().retention.saturating_sub(Duration::from_secs(29)));
    let failed = case.database.fail(&claim, FailureCode::StorageError, "no answer").await;
    assert_eq!(failed.expect("the database answers"), AttemptOutcome::Failed);
}
