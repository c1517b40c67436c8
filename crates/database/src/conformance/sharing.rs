//! Fair sharing of workers among users.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jobs::{FailureCode, JobId, State, UserId};

use super::case::{Case, accept, archive, claim_next, video};
use super::model::Dice;
use crate::accept::{Accepted, Video};
use crate::claim::{Claim, NextJob};
use crate::rows::job;

/// Accept jobs of a user in one request, and return their ids in order.
async fn accept_jobs(case: &Case, user: UserId, count: usize) -> Vec<JobId> {
    let videos: Vec<Video> = std::iter::repeat_with(video).take(count).collect();
    let accepted = accept(&case.database, user, &videos, None, None).await;
    assert!(matches!(accepted, Ok(Accepted::New(_))), "{accepted:?}");
    videos.into_iter().map(|video| video.id).collect()
}

/// Claim the next job, after a message about another one.
async fn claim_any(case: &Case) -> Option<Claim> {
    claim_next(&case.database, JobId::generate(), "w").await
}

async fn finish(case: &Case, claim: &Claim) {
    case.database.finish(claim, &archive(claim)).await.expect("the database answers");
}

pub(super) async fn lets_another_user_start_next_or_second(case: &Case) {
    for workers in [1, 5] {
        let (many, few) = (case.user().await, case.user().await);
        let mut waiting = VecDeque::new();
        for _ in 0..20 {
            waiting.extend(accept_jobs(case, many, 50).await);
        }
        let mut running = VecDeque::new();
        for _ in 0..workers {
            running.push_back(claim_any(case).await.expect("a thousand jobs wait"));
        }
        for _ in 0..3 {
            let [own] = accept_jobs(case, few, 1).await.try_into().expect("one job");
            let mut next = Vec::new();
            for _ in 0..2 {
                finish(case, &running.pop_front().expect("all workers are busy")).await;
                let claim = claim_any(case).await.expect("jobs wait");
                next.push(claim.job.id);
                running.push_back(claim);
            }
            assert!(next.contains(&own), "with {workers} workers: {own} is not among {next:?}");
        }
        for id in waiting {
            case.database.cancel(id, State::Queued).await.expect("the database answers");
        }
        for claim in running {
            finish(case, &claim).await;
        }
    }
}

pub(super) async fn gives_each_user_a_turn_in_each_round(case: &Case) {
    let users = [case.user().await, case.user().await, case.user().await];
    let mut expected: Vec<VecDeque<JobId>> = Vec::new();
    for (user, count) in users.into_iter().zip([6, 2, 4]) {
        expected.push(accept_jobs(case, user, count).await.into());
    }
    let mut order = Vec::new();
    while let Some(claim) = claim_any(case).await {
        let user = users.iter().position(|user| *user == claim.job.user_id).expect("a user");
        assert_eq!(expected[user].pop_front(), Some(claim.job.id), "in the order of acceptance");
        order.push(user);
    }
    assert_eq!(order, [0, 1, 2, 0, 1, 2, 0, 2, 0, 2, 0, 0]);
}

pub(super) async fn moves_up_the_jobs_behind_a_cancelled_one(case: &Case) {
    let (first, second) = (case.user().await, case.user().await);
    let ids = accept_jobs(case, first, 20).await;
    accept_jobs(case, second, 20).await;
    for id in &ids[..19] {
        let cancelled = case.other.cancel(*id, State::Queued).await.expect("the database answers");
        assert!(cancelled.is_some());
    }
    let next = [claim_any(case).await, claim_any(case).await].map(|claim| claim.map(|c| c.job.id));
    assert!(next.contains(&Some(ids[19])), "{next:?}");
}

/// Repeated failures of a video use up the turns of its user.
pub(super) async fn lets_failures_wait_behind_other_jobs(case: &Case) {
    let (failing, other) = (case.user().await, case.user().await);
    let ids = accept_jobs(case, failing, 3).await;
    for _ in 0..2 {
        let claim = claim_any(case).await.expect("jobs wait");
        let failed = case.database.fail(&claim, FailureCode::DecoderCrashed, "a signal").await;
        failed.expect("the database answers");
    }
    case.advance(3600);
    let [own] = accept_jobs(case, other, 1).await.try_into().expect("one job");
    let mut order = Vec::new();
    while let Some(claim) = claim_any(case).await {
        order.push(claim.job.id);
    }
    let place = |id: JobId| order.iter().position(|other| *other == id).expect("it is claimed");
    assert!(place(own) <= 1, "{order:?}");
    assert!(place(ids[2]) < place(ids[0]), "{order:?}");
    // A worker that stops returns its job to its place.
    let (many, few) = (case.user().await, case.user().await);
    let ids = accept_jobs(case, many, 5).await;
    accept_jobs(case, few, 5).await;
    let claim = claim_any(case).await.expect("jobs wait");
    assert_eq!(claim.job.id, ids[0]);
    case.database.release(&claim).await.expect("the database answers");
    assert_eq!(claim_any(case).await.map(|claim| claim.job.id), Some(ids[0]));
}

pub(super) async fn claims_each_job_once(case: &Case) {
    let users = [case.user().await, case.user().await];
    let mut ids = Vec::new();
    for user in users {
        ids.extend(accept_jobs(case, user, 20).await);
    }
    let claimed = case.run_concurrently(20, |number, database| async move {
        let mut claimed = Vec::new();
        loop {
            let next = database.claim(JobId::generate(), &format!("worker-{number}")).await;
            match next.expect("the database answers") {
                NextJob::Claimed(claim) => claimed.push(claim.job.id),
                NextJob::Nothing => return claimed,
                NextJob::Locked => tokio::task::yield_now().await,
            }
        }
    });
    let mut claimed = claimed.await.concat();
    claimed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(claimed, ids);
}

/// Jobs of simultaneous requests are in different rounds.
pub(super) async fn orders_simultaneous_requests(case: &Case) {
    let user = case.user().await;
    let tasks = case.run_concurrently(20, |_, database| async move {
        let videos = [video()];
        accept(&database, user, &videos, None, None).await.expect("it is accepted")
    });
    tasks.await;
    let mut rounds: Vec<i64> = case.rows().await.jobs.iter().map(|job| job.round).collect();
    rounds.sort_unstable();
    assert!(rounds.windows(2).all(|pair| pair[1] == pair[0] + 1), "{rounds:?}");
}

/// What a user waits for.
#[derive(Default)]
struct Turns {
    /// Jobs that were never claimed, in the order of their acceptance.
    queued: VecDeque<JobId>,
    /// Whether nothing was queued when the first one was accepted.
    was_idle: bool,
    /// Number of jobs of each other user that were claimed since the first one is first.
    passed: BTreeMap<UserId, u32>,
}

/// In random runs, each user's jobs start in their order, and a job waits for at most one of each
/// other user if nothing else of its user is queued, and for at most two otherwise.
pub(super) async fn is_fair_in_random_runs(case: &Case) {
    const RUNS: u64 = 5;
    const STEPS: u32 = 150;
    for seed in 0..RUNS {
        let mut dice = Dice::new(seed);
        let mut users = BTreeMap::new();
        for _ in 0..4 {
            users.insert(case.user().await, Turns::default());
        }
        let mut running: Vec<Claim> = Vec::new();
        for step in 0..STEPS {
            let ids: Vec<UserId> = users.keys().copied().collect();
            let user = dice.pick(&ids);
            match dice.roll(10) {
                0..=2 => {
                    let count = 1 + dice.roll(6);
                    let is_waiting =
                        |row: &job::Model| row.user_id == user.0 && row.waiting_since.is_some();
                    // Also for another attempt, which is a turn of the user, too.
                    let is_idle = !case.rows().await.jobs.iter().any(is_waiting);
                    let accepted = accept_jobs(case, user, count).await;
                    let turns = users.get_mut(&user).expect("a user");
                    if turns.queued.is_empty() {
                        (turns.was_idle, turns.passed) = (is_idle, BTreeMap::new());
                    }
                    turns.queued.extend(accepted);
                }
                3..=6 if running.len() < 5 => {
                    let Some(claim) = claim_any(case).await else { continue };
                    if claim.job.attempt == 1 && claim.job.fence == 1 {
                        start(&mut users, &claim, &format!("seed {seed}, step {step}"));
                    }
                    running.push(claim);
                }
                7 => {
                    let turns = users.get_mut(&user).expect("a user");
                    if turns.queued.is_empty() {
                        continue;
                    }
                    let place = dice.roll(turns.queued.len());
                    let id = turns.queued.remove(place).expect("it is queued");
                    if place == 0 {
                        turns.passed.clear();
                    }
                    let cancelled = case.database.cancel(id, State::Queued).await;
                    assert!(cancelled.expect("the database answers").is_some());
                }
                _ if !running.is_empty() => {
                    let claim = running.swap_remove(dice.roll(running.len()));
                    end(case, &claim, &mut dice).await;
                }
                _ => case.advance(45),
            }
        }
        while let Some(claim) = running.pop().or(claim_any(case).await) {
            finish(case, &claim).await;
        }
        case.clock.advance(Duration::from_hours(1));
        while let Some(claim) = claim_any(case).await {
            finish(case, &claim).await;
        }
    }
}

/// Record that a queued job starts, and check that it is its turn.
fn start(users: &mut BTreeMap<UserId, Turns>, claim: &Claim, why: &str) {
    let owner = claim.job.user_id;
    for (user, turns) in users.iter_mut() {
        if *user == owner {
            assert_eq!(turns.queued.pop_front(), Some(claim.job.id), "{why}: not in order");
            (turns.was_idle, turns.passed) = (false, BTreeMap::new());
        } else if !turns.queued.is_empty() {
            let passed = turns.passed.entry(owner).or_default();
            *passed += 1;
            let most = if turns.was_idle { 1 } else { 2 };
            assert!(*passed <= most, "{why}: {owner} passes {user} {passed} times");
        }
    }
}

/// End an attempt in a random way.
async fn end(case: &Case, claim: &Claim, dice: &mut Dice) {
    let ended = match dice.roll(6) {
        0 => case.database.release(claim).await,
        1 => case.database.fail(claim, FailureCode::StorageError, "no answer").await,
        _ => case.database.finish(claim, &archive(claim)).await,
    };
    ended.expect("the database answers");
}
