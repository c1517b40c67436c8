//! Claims of workers to jobs.

use std::time::Duration;

use chrono::TimeDelta;
use jobs::{AttemptOutcome, FailureCode, JobId, State};
use sea_orm::sea_query::LockType;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QuerySelect};

use super::case::{Case, archive, claim_job, reap, renew};
use crate::claim::Claim;
use crate::connection::Rules;
use crate::renewal::{Renewal, Renewed};
use crate::rows::job;

/// Try to claim a job.
async fn claim(case: &Case, id: JobId) -> Option<Claim> {
    claim_job(&case.database, id, "w").await
}

pub(super) async fn succeed_once(case: &Case) {
    let (id, neighbor) = (case.queued().await, case.queued().await);
    let before = case.lines(neighbor).await;
    let claims = case.run_concurrently(20, move |number, database| async move {
        let claim = claim_job(&database, id, &format!("worker-{number}")).await;
        claim.map(|claim| (number, claim))
    });
    let [(winner, claim)] =
        <[_; 1]>::try_from(claims.await.into_iter().flatten().collect::<Vec<_>>())
            .expect("one worker wins");
    assert_eq!((claim.job.state, claim.job.attempt, claim.job.fence), (State::Processing, 1, 1));
    assert_eq!(
        case.lines(id).await,
        [
            &format!(
                "job PROCESSING attempt=1 fence=1 files=7d worker=worker-{winner} started=yes \
                 lease=60s"
            ),
            "event - UPLOADED size_bytes=1000",
            "event UPLOADED QUEUED",
            &format!("event QUEUED PROCESSING attempt=1 worker=\"worker-{winner}\""),
            "outbox job.created retries=0 due=0s",
        ]
    );
    assert_eq!(case.lines(neighbor).await, before);
}

pub(super) async fn require_an_available_job(case: &Case) {
    let id = case.queued().await;
    let first = claim(case, id).await.expect("the job is queued");
    let before = case.rows().await;
    assert!(claim(case, id).await.is_none(), "another worker holds the job");
    case.advance(3600);
    assert!(claim(case, id).await.is_none(), "the expired lease is not reaped yet");
    assert_eq!(case.rows().await, before);

    let failed = case.database.fail(&first, FailureCode::StorageError, "no answer").await;
    assert_eq!(failed.expect("the database answers"), AttemptOutcome::Retrying);
    let before = case.rows().await;
    case.advance(29);
    assert!(claim(case, id).await.is_none(), "the next attempt is not due");
    assert_eq!(case.rows().await, before);
    case.advance(1);
    let second = claim(case, id).await.expect("the next attempt is due");
    assert_eq!((second.job.attempt, second.job.fence), (2, 2));

    let mut finals = vec![JobId::generate()];
    for state in [State::Done, State::Failed, State::Cancelled, State::Expired] {
        finals.push(case.job_in(state).await);
    }
    let before = case.rows().await;
    for id in finals {
        assert!(claim(case, id).await.is_none());
    }
    assert_eq!(case.rows().await, before);
}

pub(super) async fn are_renewed_until_lost(case: &Case) {
    let renew = async |claim: &Claim| renew(&case.database, claim, 5, Some(9)).await;
    let id = case.queued().await;
    let first = claim(case, id).await.expect("the job is queued");
    let before = case.rows().await;
    case.advance(20);
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
    assert_eq!(after, before, "no other column changes");

    case.advance(61);
    assert_eq!(reap(&case.database).await.expect("the database answers").len(), 1);
    assert!(!renew(&first).await, "the lease is reaped");
    case.advance(30);
    let second = claim(case, id).await.expect("the next attempt is due");
    assert_eq!(second.job.progress_done, 0, "the progress starts again with each attempt");
    let before = case.rows().await;
    assert!(!renew(&first).await, "another worker holds the job");
    assert_eq!(case.rows().await, before);
    assert!(renew(&second).await);

    case.database
        .cancel(id, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    let before = case.rows().await;
    assert!(!renew(&second).await, "the user has cancelled the job");
    assert_eq!(case.rows().await, before);
    assert!(case.database.delete(id).await.expect("the database answers"));
    assert!(!renew(&second).await, "the job is deleted");
}

pub(super) async fn are_renewed_together(case: &Case) {
    let mut renewals = Vec::new();
    for done in 0..5 {
        let claim = case.claim(case.queued().await).await;
        renewals.push(Renewal { claim, done, expected: (done > 0).then_some(10 * done) });
    }
    let cancelled = renewals[2].claim.job.id;
    let cancellation = case.database.cancel(cancelled, State::Processing).await;
    cancellation.expect("the database answers").expect("the job runs");
    // Another claim of the same job, by another worker.
    case.database.release(&renewals[3].claim).await.expect("the database answers");
    case.claim(renewals[3].claim.job.id).await;
    let before = case.rows().await;
    case.advance(20);
    let renewed = case.other.renew(&renewals).await.expect("the database answers");
    assert_eq!(renewed, [Renewed::Yes, Renewed::Yes, Renewed::Lost, Renewed::Lost, Renewed::Yes]);
    let after = case.rows().await;
    for (renewal, renewed) in renewals.iter().zip(renewed) {
        let id = renewal.claim.job.id;
        let (before, after) = (before.job(id), after.job(id));
        if renewed == Renewed::Lost {
            assert_eq!(after, before);
            continue;
        }
        assert_eq!(after.progress_done, renewal.done as i64);
        assert_eq!(after.progress_expected, renewal.expected.map(|count| count as i64));
        assert!(
            after.lease_until >= before.lease_until.map(|until| until + TimeDelta::seconds(20))
        );
    }
    assert_eq!(case.other.renew(&[]).await.expect("the database answers"), []);
}

pub(super) async fn are_renewed_beside_locked_jobs(case: &Case) {
    let mut renewals = Vec::new();
    for _ in 0..3 {
        let claim = case.claim(case.queued().await).await;
        renewals.push(Renewal { claim, done: 1, expected: None });
    }
    if case.database.write.get_database_backend() != DbBackend::Postgres {
        // SQLite locks no rows.
        return;
    }
    let transaction = case.database.begin().await.expect("the database answers");
    job::Entity::find_by_id(renewals[1].claim.job.id.0)
        .lock(LockType::Update)
        .one(&transaction)
        .await
        .expect("the row is locked");
    let renewed = case.other.renew(&renewals).await.expect("the database answers");
    assert_eq!(renewed, [Renewed::Yes, Renewed::Locked, Renewed::Yes]);
    transaction.rollback().await.expect("the database answers");
    let renewed = case.other.renew(&renewals).await.expect("the database answers");
    assert_eq!(renewed, [Renewed::Yes; 3]);
}

/// Assert that no operation with a lost claim has an effect.
async fn assert_no_effect(case: &Case, stale: &Claim, why: &str) {
    let before = case.rows().await;
    let mut outcomes = vec![
        case.database.finish(stale, &archive(stale)).await,
        case.database.release(stale).await,
    ];
    for code in [FailureCode::StorageError, FailureCode::NoVideoStream] {
        outcomes.push(case.other.fail(stale, code, "too late").await);
    }
    for outcome in outcomes {
        assert_eq!(outcome.expect("the database answers"), AttemptOutcome::Lost, "{why}");
    }
    assert!(!renew(&case.database, stale, 7, None).await, "{why}");
    assert_eq!(case.rows().await, before, "{why}");
}

pub(super) async fn have_no_effect_when_lost(case: &Case) {
    case.job_in(State::Processing).await;
    let id = case.queued().await;
    let released = case.claim(id).await;
    case.database.release(&released).await.expect("the database answers");
    assert_no_effect(case, &released, "released").await;

    let failed = case.claim(id).await;
    assert_no_effect(case, &released, "released and claimed again").await;
    case.database
        .fail(&failed, FailureCode::StorageError, "no answer")
        .await
        .expect("the database answers");
    assert_no_effect(case, &failed, "failed").await;

    case.advance(30);
    let reaped = case.claim(id).await;
    assert_no_effect(case, &failed, "failed and claimed again").await;
    case.clock.advance(Rules::default().lease + Duration::from_secs(1));
    reap(&case.database).await.expect("the database answers");
    assert_no_effect(case, &reaped, "reaped").await;

    case.advance(60);
    let finished = case.claim(id).await;
    case.database.finish(&finished, &archive(&finished)).await.expect("the database answers");
    for stale in [&released, &failed, &reaped, &finished] {
        assert_no_effect(case, stale, "finished").await;
    }

    let id = case.queued().await;
    let cancelled = case.claim(id).await;
    case.database
        .cancel(id, State::Processing)
        .await
        .expect("the database answers")
        .expect("the job is cancelled");
    assert_no_effect(case, &cancelled, "cancelled").await;
    assert!(case.database.delete(id).await.expect("the database answers"));
    assert_no_effect(case, &cancelled, "deleted").await;
}
