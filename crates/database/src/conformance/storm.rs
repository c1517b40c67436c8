//! Workers, relays, reapers and impatient users at the same time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jobs::{AttemptOutcome, Clock, FailureCode, JobId, State};
use uuid::Uuid;

use super::case::{Case, archive, video};
use super::model::{Dice, check_history, outcome};
use crate::Database;

const JOBS: usize = 12;
const TASKS: usize = 12;
const STEPS: usize = 40;

/// What the tasks share besides the database.
#[derive(Default)]
struct Shared {
    /// Jobs that the broker has messages about.
    broker: Vec<JobId>,
    /// Messages about outcomes that left the outbox: each by its name, since a relay that is slow
    /// may publish one again.
    outcomes: HashMap<JobId, HashSet<(String, Uuid)>>,
    /// Attempts that were told that they finished their job.
    finished: Vec<JobId>,
}

pub(super) async fn loses_nothing(case: &Case) {
    let user = case.user().await;
    let videos = [(); JOBS].map(|()| video());
    case.database.accept(user, &videos, None, None).await.expect("the videos are accepted");
    let jobs = videos.map(|video| video.id);
    let shared = Arc::new(Mutex::new(Shared::default()));
    let tasks = case.at_once(TASKS, |number, database| {
        let (shared, clock) = (Arc::clone(&shared), case.clock.clone());
        async move {
            let mut dice = Dice(number as u64);
            for _ in 0..STEPS {
                match number {
                    0..=4 => work(&database, &shared, &mut dice).await,
                    5..=6 => relay(&database, &shared).await,
                    7..=8 => look_after(&database, &clock, &mut dice).await,
                    _ => annoy(&database, &jobs, &mut dice).await,
                }
            }
        }
    });
    tasks.await;

    // Then nothing fails any more.
    for _ in 0..3 {
        case.pass(130);
        case.database.reap().await.expect("the database answers");
        relay(&case.database, &shared).await;
        let invited = std::mem::take(&mut shared.lock().expect("no task panicked").broker);
        for id in invited {
            if let Some(claim) =
                case.database.claim(id, "the last").await.expect("the database answers")
            {
                let finished = case
                    .database
                    .finish(&claim, &archive(&claim))
                    .await
                    .expect("the database answers");
                assert_eq!(finished, AttemptOutcome::Completed);
                shared.lock().expect("no task panicked").finished.push(id);
            }
        }
    }
    relay(&case.database, &shared).await;

    let (rows, shared) = (case.rows().await, shared.lock().expect("no task panicked"));
    for id in jobs {
        let row = rows.job(id);
        check_history(&rows, row, "after the storm");
        let told: Vec<&str> =
            shared.outcomes.get(&id).into_iter().flatten().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(told, Vec::from_iter(outcome(&row.status)), "what was told of {row:?}");
        let finished = shared.finished.iter().filter(|finished| **finished == id).count();
        assert_eq!(finished, usize::from(row.status == "DONE"), "{row:?}");
        assert!(row.attempt <= 4, "{row:?}");
    }
    assert_eq!(rows.outbox, []);
}

/// Claim a job that the broker knows of and end the attempt somehow, or leave it to the reaper.
async fn work(database: &Database, shared: &Mutex<Shared>, dice: &mut Dice) {
    let id = {
        let broker = &mut shared.lock().expect("no task panicked").broker;
        if broker.is_empty() {
            None
        } else {
            let number = dice.roll(broker.len());
            Some(if dice.roll(4) == 0 { broker[number] } else { broker.swap_remove(number) })
        }
    };
    let Some(id) = id else { return tokio::task::yield_now().await };
    let Some(claim) = database.claim(id, "w").await.expect("the database answers") else { return };
    database.renew(&claim, 1, None).await.expect("the database answers");
    let ended = match dice.roll(8) {
        0 => database.finish(&claim, &archive(&claim)).await.map(|ended| {
            if ended == AttemptOutcome::Completed {
                shared.lock().expect("no task panicked").finished.push(id);
            }
        }),
        1..=2 => database.fail(&claim, dice.pick(FailureCode::ALL), "chance").await.map(drop),
        3..=5 => database.release(&claim).await.map(drop),
        _ => Ok(()),
    };
    ended.expect("the database answers");
}

/// Publish what is due.
async fn relay(database: &Database, shared: &Mutex<Shared>) {
    let taken =
        database.take_outgoing(20, Duration::from_secs(5)).await.expect("the database answers");
    {
        let mut shared = shared.lock().expect("no task panicked");
        for outgoing in &taken {
            let (id, kind) = (outgoing.message.event.job_id(), outgoing.message.event.name());
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

/// Let time pass and do what has to be done now and then.
async fn look_after(database: &Database, clock: &Clock, dice: &mut Dice) {
    clock.advance(Duration::from_secs(dice.pick(&[1, 10, 31])));
    database.reap().await.expect("the database answers");
    database.republish_invitations(Duration::from_mins(1)).await.expect("the database answers");
    database.purge_expired().await.expect("the database answers");
}

/// Look at a job, and rarely cancel it in the state that was seen.
async fn annoy(database: &Database, jobs: &[JobId], dice: &mut Dice) {
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
