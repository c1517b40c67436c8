//! Workers that are lost.

use jobs::JobId;

use super::case::Case;

/// Fail the attempts whose lease has ended.
async fn reap(case: &Case) -> usize {
    case.database.reap().await.expect("the database answers").len()
}

const LOST: &str =
    "error_code=\"WORKER_LOST\" error_message=\"the worker stopped renewing its lease\"";

pub(super) async fn that_end_are_reaped(case: &Case) {
    let (silent, alive, waiting) = (case.queued().await, case.queued().await, case.queued().await);
    case.claim(silent).await;
    let claim = case.claim(alive).await;
    case.pass(59);
    let before = case.rows().await;
    assert_eq!(reap(case).await, 0);
    assert_eq!(case.rows().await, before);
    assert!(case.database.renew(&claim, 1, None).await.expect("the database answers"));
    case.pass(2);
    let (living, queued) = (case.lines(alive).await, case.lines(waiting).await);
    assert_eq!(reap(case).await, 1);
    assert_eq!(
        case.lines(silent).await,
        [
            "job PROCESSING attempt=1 fence=1 files=7d worker=w started=yes next=30s error=WORKER_LOST \
             message=\"the worker stopped renewing its lease\"",
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            "event QUEUED PROCESSING attempt=1 worker=\"w\"",
            &format!("event PROCESSING PROCESSING attempt=1 {LOST} next_attempt_at=30s"),
            "outbox job.created retries=0 due=0s",
            "outbox job.created retries=0 due=30s",
        ]
    );
    assert_eq!((case.lines(alive).await, case.lines(waiting).await), (living, queued));
    assert_eq!(reap(case).await, 0, "there is no lease any more");
}

pub(super) async fn cost_a_job_three_workers_at_most(case: &Case) {
    let id = case.queued().await;
    for _ in 0..3 {
        case.claim(id).await;
        case.pass(61);
        assert_eq!(reap(case).await, 1);
        case.pass(60);
    }
    assert!(case.database.claim(id, "w").await.expect("the database answers").is_none());
    assert_eq!(reap(case).await, 0);
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

pub(super) async fn are_reaped_once(case: &Case) {
    let mut ids: Vec<JobId> = Vec::new();
    for _ in 0..20 {
        ids.push(case.queued().await);
        case.claim(ids[ids.len() - 1]).await;
    }
    case.pass(61);
    let reaped = case.at_once(6, |_, database| async move {
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

pub(super) async fn are_ended_together(case: &Case) {
    let (running, waiting) = (case.queued().await, case.queued().await);
    let claim = case.claim(running).await;
    let queued = case.lines(waiting).await;
    case.database.expire_leases().await.expect("the database answers");
    assert_eq!(reap(case).await, 1);
    assert!(!case.database.renew(&claim, 1, None).await.expect("the database answers"));
    let lines = case.lines(running).await;
    assert!(lines[0].contains("next=30s error=WORKER_LOST"), "{lines:#?}");
    assert_eq!(case.lines(waiting).await, queued);
    case.database.expire_leases().await.expect("the database answers");
    assert_eq!(reap(case).await, 0, "there was none left");
}
