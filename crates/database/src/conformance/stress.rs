//! Stress test: workers, relays, reapers and users act at the same time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jobs::{AttemptOutcome, Clock, FailureCode, JobId, State};
use parking_lot::Mutex;
use uuid::Uuid;

use super::case::{Case, accept, archive, claim_next, reap, video};
use super::model::{Dice, check_history, outcome};
use crate::claim::NextJob;
use crate::connection::Database;
use crate::renewal::Renewal;

const JOBS: usize = 12;
const TASKS: usize = 12;
const STEPS: usize = 40;

/// State that the tasks share in addition to the database.
#[derive(Default)]
struct Shared {
    /// Jobs of the messages that the broker holds.
    broker: Vec<JobId>,
    /// Published messages about outcomes, by their ids, because a slow relay may publish one again.
    outcomes: HashMap<JobId, HashSet<(String, Uuid)>>,
    /// Jobs of the attempts that completed.
    finished: Vec<JobId>,
}

pub(super) async fn loses_no_job(case: &Case) {
    let user = case.user().await;
    let videos = [(); JOBS].map(|()| video());
    accept(&case.database, user, &videos, None, None).await.expect("the videos are accepted");
    let jobs = videos.map(|video| video.id);
    let shared = Arc::new(Mutex::new(Shared::default()));
    let tasks = case.run_concurrently(TASKS, |number, database| {
        let (shared, clock) = (Arc::clone(&shared), case.clock.clone());
        async move {
            let mut dice = Dice::new(number as u64);
            for _ in 0..STEPS {
                match number {
                    0..=4 => work(&database, &shared, &mut dice).await,
                    5..=6 => relay(&database, &shared).await,
                    7..=8 => maintain(&database, &clock, &mut dice).await,
                    _ => act_as_user(&database, &jobs, &mut dice).await,
                }
            }
        }
    });
    tasks.await;

    // From here on nothing fails.
    for _ in 0..3 {
        case.advance(130);
        reap(&case.database).await.expect("the database answers");
        relay(&case.database, &shared).await;
        let announced = std::mem::take(&mut shared.lock().broker);
        for id in announced {
            if let Some(claim) = claim_next(&case.database, id, "last").await {
                let finished = case
                    .database
                    .finish(&claim, &archive(&claim))
                    .await
                    .expect("the database answers");
                assert_eq!(finished, AttemptOutcome::Completed);
                shared.lock().finished.push(claim.job.id);
            }
        }
    }
    relay(&case.database, &shared).await;

    let (rows, shared) = (case.rows().await, shared.lock());
    for id in jobs {
        let row = rows.job(id);
        check_history(&rows, row, "after all tasks");
        let announced: Vec<&str> =
            shared.outcomes.get(&id).into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(announced, Vec::from_iter(outcome(&row.status)), "outcomes of {row:?}");
        let finished = shared.finished.iter().filter(|finished| **finished == id).count();
        assert_eq!(finished, usize::from(row.status == "DONE"), "{row:?}");
        assert!(row.attempt <= 4, "{row:?}");
    }
    assert_eq!(rows.outbox, []);
}

/// Receive a message, claim its job and end the attempt, or leave it to the reaper.
async fn work(database: &Database, shared: &Mutex<Shared>, dice: &mut Dice) {
    let id = {
        let broker = &mut shared.lock().broker;
        if broker.is_empty() {
            None
        } else {
            let number = dice.roll(broker.len());
            Some(if dice.roll(4) == 0 { broker[number] } else { broker.swap_remove(number) })
        }
    };
    let Some(id) = id else { return tokio::task::yield_now().await };
    let claim = match database.claim(id, "w").await.expect("the database answers") {
        NextJob::Claimed(claim) => *claim,
        NextJob::Nothing => return,
        NextJob::Locked => return shared.lock().broker.push(id),
    };
    let renewal = Renewal { claim: claim.clone(), done: 1, expected: None };
    database.renew(&[renewal]).await.expect("the database answers");
    let result = match dice.roll(8) {
        0 => database.finish(&claim, &archive(&claim)).await.map(|ended| {
            if ended == AttemptOutcome::Completed {
                shared.lock().finished.push(claim.job.id);
            }
        }),
        1..=2 => database.fail(&claim, dice.pick(FailureCode::ALL), "random").await.map(drop),
        3..=5 => database.release(&claim).await.map(drop),
        _ => Ok(()),
    };
    result.expect("the database answers");
}

/// Publish messages that are due.
async fn relay(database: &Database, shared: &Mutex<Shared>) {
    let taken =
        database.take_outgoing(20, Duration::from_secs(5)).await.expect("the database answers");
    {
        let mut shared = shared.lock();
        for outgoing in &taken {
            let (id, kind) = (outgoing.message.job_id, &outgoing.message.event_type);
            if kind == "job.created" {
                shared.broker.push(id);
            } else {
                shared.outcomes.entry(id).or_default().insert((kind.to_owned(), outgoing.id));
            }
        }
    }
    database
        .mark_published(taken.iter().map(|outgoing| outgoing.id))
        .await
        .expect("the database answers");
}

/// Advance the clock and run maintenance.
async fn maintain(database: &Database, clock: &Clock, dice: &mut Dice) {
    clock.advance(Duration::from_secs(dice.pick(&[1, 10, 31])));
    reap(database).await.expect("the database answers");
    database.announce_lost(Duration::from_mins(1), true).await.expect("the database answers");
    database.purge_expired().await.expect("the database answers");
}

/// Read a job, and rarely cancel it.
async fn act_as_user(database: &Database, jobs: &[JobId], dice: &mut Dice) {
    let id = dice.pick(jobs);
    let seen = database
        .job(id)
        .await
        .expect("the database answers")
        .map_or(State::Queued, |job| job.state);
    if dice.roll(20) == 0 {
        database.cancel(id, seen).await.expect("the database answers");
    }
    database.counts().await.expect("the database answers");
}
