//! Who has a job.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State};

use super::case::{Case, archive};
use crate::Rules;
use crate::attempt::Claim;

/// Try to claim a job.
async fn claim(case: &Case, id: JobId) -> Option<Claim> {
    case.database.claim(id, "w").await.expect("the database answers")
}

pub(super) async fn are_won_by_one(case: &Case) {
    let (id, neighbour) = (case.queued().await, case.queued().await);
    let before = case.lines(neighbour).await;
    let claims = case.at_once(20, move |number, database| async move {
        database
            .claim(id, &format!("worker-{number}"))
            .await
            .expect("the database answers")
            .map(|claim| (number, claim))
    });
    let [(winner, claim)] =
        <[_; 1]>::try_from(claims.await.into_iter().flatten().collect::<Vec<_>>())
            .expect("one worker wins");
    assert_eq!((claim.job.state, claim.job.attempt, claim.job.fence), (State::Processing, 1, 1));
    assert_eq!(
        case.lines(id).await,
        [
            &format!(
                "job PROCESSING attempt=1 fence=1 files=7d worker=worker-{winner} started=yes lease=60s"
            ),
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            &format!("event QUEUED PROCESSING attempt=1 worker=\"worker-{winner}\""),
            "outbox job.created retries=0 due=0s",
        ]
    );
    assert_eq!(case.lines(neighbour).await, before);
}

pub(super) async fn wait_until_they_may(case: &Case) {
    let id = case.queued().await;
    let first = claim(case, id).await.expect("the job waits");
    let before = case.rows().await;
    assert!(claim(case, id).await.is_none(), "another worker has it");
    case.pass(3600);
    assert!(claim(case, id).await.is_none(), "the lease has ended, but nobody has noted it");
    assert_eq!(case.rows().await, before);

    let failed = case.database.fail(&first, FailureCode::StorageError, "no answer").await;
    assert_eq!(failed.expect("the database answers"), AttemptOutcome::Retrying);
    let before = case.rows().await;
    case.pass(29);
    assert!(claim(case, id).await.is_none(), "the next attempt is not due");
    assert_eq!(case.rows().await, before);
    case.pass(1);
    let second = claim(case, id).await.expect("the next attempt is due");
    assert_eq!((second.job.attempt, second.job.fence), (2, 2));

    let mut ended = vec![JobId::generate()];
    for state in [State::Done, State::Failed, State::Cancelled, State::Expired] {
        ended.push(case.job_in(state).await);
    }
    let before = case.rows().await;
    for id in ended {
        assert!(claim(case, id).await.is_none());
    }
    assert_eq!(case.rows().await, before);
}

pub(super) async fn are_renewed_until_lost(case: &Case) {
    let renew = async |claim: &Claim| {
        case.database.renew(claim, 5, Some(9)).await.expect("the database answers")
    };
    let id = case.queued().await;
    let first = claim(case, id).await.expect("the job waits");
    let before = case.rows().await;
    case.pass(20);
    let now = case.clock.now();
    assert!(renew(&first).await);
    let mut after = case.rows().await;
    let lease_until = after.job(id).lease_until.expect("the worker has the job");
    assert!(
        lease_until >= now + Rules::default().lease
            && lease_until <= case.clock.now() + Rules::default().lease
    );
    assert_eq!((after.jobs[0].progress_done, after.jobs[0].progress_expected), (5, Some(9)));
    after.jobs[0].lease_until = before.jobs[0].lease_until;
    (after.jobs[0].progress_done, after.jobs[0].progress_expected) = (0, None);
    assert_eq!(after, before, "nothing else is changed");

    case.pass(61);
    assert_eq!(case.database.reap().await.expect("the database answers").len(), 1);
    assert!(!renew(&first).await, "the lease has ended");
    case.pass(30);
    let second = claim(case, id).await.expect("the next attempt is due");
    assert_eq!(second.job.progress_done, 0, "every attempt counts from the start");
    let before = case.rows().await;
    assert!(!renew(&first).await, "another has it");
    assert_eq!(case.rows().await, before);
    assert!(renew(&second).await);

    case.database
        .cancel(id, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    let before = case.rows().await;
    assert!(!renew(&second).await, "its user has cancelled it");
    assert_eq!(case.rows().await, before);
    assert!(case.database.delete(id).await.expect("the database answers"));
    assert!(!renew(&second).await, "it is gone");
}

/// Try everything with a claim that is lost.
async fn nothing_changes(case: &Case, stale: &Claim, why: &str) {
    let before = case.rows().await;
    let mut ended = vec![
        case.database.finish(stale, &archive(stale)).await,
        case.database.release(stale).await,
    ];
    for code in [FailureCode::StorageError, FailureCode::NoVideoStream] {
        ended.push(case.other.fail(stale, code, "too late").await);
    }
    for ended in ended {
        assert_eq!(ended.expect("the database answers"), AttemptOutcome::Lost, "{why}");
    }
    assert!(!case.database.renew(stale, 7, None).await.expect("the database answers"), "{why}");
    assert_eq!(case.rows().await, before, "{why}");
}

pub(super) async fn change_nothing_once_lost(case: &Case) {
    case.job_in(State::Processing).await;
    let id = case.queued().await;
    let released = case.claim(id).await;
    case.database.release(&released).await.expect("the database answers");
    nothing_changes(case, &released, "given back").await;

    let failed = case.claim(id).await;
    nothing_changes(case, &released, "given back, and taken by another").await;
    case.database
        .fail(&failed, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    nothing_changes(case, &failed, "failed").await;

    case.pass(30);
    let reaped = case.claim(id).await;
    nothing_changes(case, &failed, "failed, and taken by another").await;
    case.clock.advance(Rules::default().lease + Duration::from_secs(1));
    case.database.reap().await.expect("the database answers");
    nothing_changes(case, &reaped, "reaped").await;

    case.pass(60);
    let finished = case.claim(id).await;
    case.database.finish(&finished, &archive(&finished)).await.expect("the database answers");
    for stale in [&released, &failed, &reaped, &finished] {
        nothing_changes(case, stale, "finished").await;
    }

    let id = case.queued().await;
    let cancelled = case.claim(id).await;
    case.database
        .cancel(id, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    nothing_changes(case, &cancelled, "cancelled").await;
    assert!(case.database.delete(id).await.expect("the database answers"));
    nothing_changes(case, &cancelled, "deleted").await;
}
