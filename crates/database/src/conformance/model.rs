//! Model test: workers, a relay, a broker and users act in random order, and all invariants are
//! checked after each step.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use jobs::retry::MAX_CHARGED_ATTEMPTS;
use jobs::{AttemptOutcome, FailureCode, JobId, State, Transition};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

use super::case::{Case, Rows, archive, claim_next, expire, reap, renew};
use super::counters;
use crate::claim::Claim;
use crate::connection::Rules;
use crate::operator::Requeue;
use crate::rows::{job, outbox};

/// Number of runs; each has its number as the seed.
const RUNS: u64 = 6;
const STEPS: u32 = 250;
/// Maximum number of unfinished jobs.
const JOBS: usize = 4;
const WORKERS: usize = 3;

/// Maximum number of failures that count against a job.
const CHARGED: i32 = MAX_CHARGED_ATTEMPTS as i32;

pub(super) async fn keeps_all_invariants(case: &Case) {
    let mut seen = BTreeSet::new();
    for seed in 0..RUNS {
        let mut world = World::new(case, seed).await;
        let mut rows = case.rows().await;
        for step in 0..STEPS {
            let action = world.act(&rows).await;
            rows = case.rows().await;
            let why = format!("seed {seed}, step {step}: {action}");
            world.check(&rows, &why);
            if step % 10 == 0 {
                counters::check(case, &why).await;
            }
            seen.extend(rows.jobs.iter().map(|job| job.status.clone()));
        }
        world.finish_all(seed).await;
    }
    assert!(
        seen.iter().eq(["CANCELLED", "DONE", "EXPIRED", "FAILED", "PROCESSING", "QUEUED"]),
        "only the states {seen:?} were reached"
    );
}

/// Source of random choices.
pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Random number below `sides`.
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0.random_range(0..sides)
    }

    /// Random element of a slice that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// Whether a claim holds its job.
fn holds(claim: &Claim, row: &job::Model) -> bool {
    row.lease_until.is_some() && row.fence == claim.job.fence
}

/// Event that announces a final state.
pub(super) fn outcome(state: &str) -> Option<&'static str> {
    match state {
        "DONE" | "EXPIRED" => Some("job.completed"),
        "FAILED" => Some("job.failed"),
        "CANCELLED" => Some("job.cancelled"),
        _ => None,
    }
}

/// Assert that a job's history starts with its upload, has only legal transitions, and ends in the
/// state of its row.
pub(super) fn check_history(rows: &Rows, row: &job::Model, why: &str) {
    let mut state = None;
    for event in rows.events.iter().filter(|event| event.job_id == row.id) {
        assert_eq!(event.old_state, state, "{why}: the history has a gap");
        let legal = |old: &str| {
            Transition::ALL
                .iter()
                .any(|t| (t.from().name(), t.to().name()) == (old, &event.new_state))
        };
        assert!(
            state.as_deref().map_or(event.new_state == "UPLOADED", legal),
            "{why}: {event:?} is illegal"
        );
        state = Some(event.new_state.clone());
    }
    assert_eq!(state.as_ref(), Some(&row.status), "{why}: the history ends in another state");
}

/// State outside of the database.
struct World<'a> {
    case: &'a Case,
    dice: Dice,
    jobs: Vec<JobId>,
    /// Jobs of the messages that the broker holds.
    broker: Vec<JobId>,
    workers: [Option<Claim>; WORKERS],
    /// Newest fence of each job.
    fences: HashMap<JobId, i64>,
    /// All messages about outcomes that were in the outbox.
    outcomes: HashMap<JobId, BTreeSet<(String, Uuid)>>,
}

impl<'a> World<'a> {
    async fn new(case: &'a Case, seed: u64) -> Self {
        let mut jobs = Vec::new();
        for _ in 0..JOBS {
            jobs.push(case.queued().await);
        }
        let (fences, outcomes) = (HashMap::new(), HashMap::new());
        Self {
            case,
            dice: Dice::new(seed),
            jobs,
            broker: Vec::new(),
            workers: [const { None }; WORKERS],
            fences,
            outcomes,
        }
    }

    /// Perform a random action and return its description.
    async fn act(&mut self, before: &Rows) -> String {
        let worker = self.dice.roll(WORKERS);
        let unfinished =
            self.jobs.iter().filter(|id| outcome(&before.job(**id).status).is_none()).count();
        if unfinished < JOBS && self.dice.roll(8) == 0 {
            self.jobs.push(self.case.queued().await);
            return "accept a video".to_owned();
        }
        match self.dice.roll(20) {
            0..=4 => self.deliver(worker, before).await,
            5..=6 => self.relay().await,
            7..=8 => self.renew(worker, before).await,
            9..=12 => self.end(worker, before).await,
            13 => {
                self.workers[worker] = None;
                format!("worker {worker} crashes")
            }
            14 => self.cancel(before).await,
            15..=17 => {
                let seconds = self.dice.pick(&[1, 7, 20, 45, 61, 130]);
                self.case.advance(seconds);
                format!("{seconds} s pass")
            }
            18 => {
                let reaped = reap(&self.case.other).await;
                format!("the reaper fails {:?}", reaped.expect("the database answers"))
            }
            _ => self.rare_action(before).await,
        }
    }

    /// Deliver a message to an idle worker, possibly not for the last time.
    async fn deliver(&mut self, worker: usize, before: &Rows) -> String {
        if self.broker.is_empty() || self.workers[worker].is_some() {
            return "nothing".to_owned();
        }
        let number = self.dice.roll(self.broker.len());
        let id = self.broker[number];
        let now = self.case.clock.now();
        let claim = claim_next(&self.case.database, id, &format!("worker {worker}")).await;
        if let Some(claim) = &claim {
            let row = before.job(claim.job.id);
            assert!(row.lease_until.is_none(), "two workers hold {row:?}");
            let newest = self.fences.insert(claim.job.id, claim.job.fence);
            assert!(
                newest.is_none_or(|newest| newest < claim.job.fence),
                "the fence of {claim:?} is not new"
            );
        } else {
            let is_due = |row: &&job::Model| row.waiting_since.is_some_and(|due| due <= now);
            assert_eq!(before.jobs.iter().find(is_due), None, "no worker gets it");
        }
        let again = self.dice.roll(4) == 0;
        if !again {
            self.broker.swap_remove(number);
        }
        let action =
            format!("worker {worker} receives {id} (again: {again}), claimed: {}", claim.is_some());
        self.workers[worker] = claim;
        action
    }

    /// Run the relay for a batch of messages. It may crash before it publishes or deletes them.
    async fn relay(&mut self) -> String {
        let most = 1 + self.dice.roll(3) as u64;
        let taken = self
            .case
            .database
            .take_outgoing(most, Duration::from_secs(10))
            .await
            .expect("the database answers");
        let crash = self.dice.roll(6);
        if crash > 0 {
            let created =
                taken.iter().filter(|outgoing| outgoing.message.event_type == "job.created");
            self.broker.extend(created.map(|outgoing| outgoing.message.job_id));
        }
        if crash > 1 {
            self.case
                .database
                .mark_published(taken.iter().map(|outgoing| outgoing.id))
                .await
                .expect("the database answers");
        }
        format!("the relay takes {} messages (crash: {crash})", taken.len())
    }

    async fn renew(&mut self, worker: usize, before: &Rows) -> String {
        let Some(claim) = &self.workers[worker] else { return "nothing".to_owned() };
        let (done, held) = (self.dice.roll(100) as u64, holds(claim, before.job(claim.job.id)));
        let renewed = renew(&self.case.database, claim, done, None).await;
        assert_eq!(renewed, held, "worker {worker} renews {claim:?}");
        format!("worker {worker} renews {}: {renewed}", claim.job.id)
    }

    /// End an attempt. The worker may keep the stale claim.
    async fn end(&mut self, worker: usize, before: &Rows) -> String {
        let Some(claim) = self.workers[worker].take() else { return "nothing".to_owned() };
        let held = holds(&claim, before.job(claim.job.id));
        let (database, code) = (&self.case.database, self.dice.pick(FailureCode::ALL));
        let (how, ended) = match self.dice.roll(8) {
            0..=1 => ("finishes", database.finish(&claim, &archive(&claim)).await),
            2..=3 => ("releases", database.release(&claim).await),
            _ => (code.name(), database.fail(&claim, code, "random").await),
        };
        let ended = ended.expect("the database answers");
        assert_eq!(ended != AttemptOutcome::Lost, held, "worker {worker} {how} {claim:?}");
        let action = format!("worker {worker} {how} {}: {ended:?}", claim.job.id);
        if self.dice.roll(4) == 0 {
            self.workers[worker] = Some(claim);
        }
        action
    }

    async fn cancel(&mut self, before: &Rows) -> String {
        let id = self.dice.pick(&self.jobs);
        let (any, current) = (
            self.dice.pick(&State::ALL),
            before.job(id).status.parse().expect("the state is known"),
        );
        let seen = if self.dice.roll(4) == 0 { current } else { any };
        let cancelled =
            self.case.other.cancel(id, seen).await.expect("the database answers").is_some();
        let possible = before.job(id).status == seen.name() && Transition::cancel(seen).is_some();
        assert_eq!(cancelled, possible, "{id} is cancelled, seen {seen}");
        format!("{id} is cancelled: {cancelled}")
    }

    async fn rare_action(&mut self, before: &Rows) -> String {
        match self.dice.roll(7) {
            3 => {
                let id = self.dice.pick(&self.jobs);
                let queued = self.case.other.requeue(id).await.expect("the database answers")
                    == Requeue::Queued;
                let row = before.job(id);
                let possible = row.status == State::Failed.name()
                    && !row.files_removed
                    && row.expires_at > self.case.clock.now();
                assert_eq!(queued, possible, "{row:?}");
                if queued {
                    // The failure is revoked, and another outcome follows.
                    self.outcomes.remove(&id);
                    let fence = self.fences.insert(id, before.job(id).fence + 1);
                    assert_eq!(fence, Some(row.fence));
                }
                format!("{id} is queued again: {queued}")
            }
            0 => {
                self.case.clock.advance(Rules::default().retention);
                let expired = expire(&self.case.database).await.expect("the database answers");
                for job in &expired {
                    self.case
                        .database
                        .mark_files_removed(job.id)
                        .await
                        .expect("the database answers");
                }
                format!("{} jobs expire", expired.len())
            }
            1 => {
                let waited = Duration::from_mins(1);
                self.broker.clear();
                self.case.clock.advance(waited);
                let republished = self
                    .case
                    .database
                    .announce_lost(waited, true)
                    .await
                    .expect("the database answers");
                format!("the broker loses all messages; {republished} are published again")
            }
            2 => {
                self.workers = [const { None }; WORKERS];
                self.case.database.expire_leases().await.expect("the database answers");
                "all processes restart".to_owned()
            }
            _ => "nothing".to_owned(),
        }
    }

    /// Assert the invariants that hold after every step.
    fn check(&mut self, rows: &Rows, why: &str) {
        for message in &rows.outbox {
            if message.event_type != "job.created" {
                let outcome = (message.event_type.clone(), message.id);
                self.outcomes.entry(JobId(message.job_id)).or_default().insert(outcome);
            }
        }
        for id in &self.jobs {
            let row = rows.job(*id);
            check_history(rows, row, why);
            let outcomes: Vec<&str> = self
                .outcomes
                .get(id)
                .into_iter()
                .flatten()
                .map(|(kind, _)| kind.as_str())
                .collect();
            assert_eq!(
                outcomes,
                outcome(&row.status).into_iter().collect::<Vec<_>>(),
                "{why}: outcomes of {row:?}"
            );
            assert!(row.charged <= CHARGED, "{why}: {row:?}");
            let holders: BTreeSet<i64> = self
                .workers
                .iter()
                .flatten()
                .filter(|c| c.job.id == *id && holds(c, row))
                .map(|c| c.job.fence)
                .collect();
            assert!(holders.len() <= 1, "{why}: {holders:?} hold {row:?}");
            if let Some(zip) = &row.zip_path {
                let newest = self.fences.get(id).expect("a worker claimed the job");
                assert_eq!(
                    *zip,
                    format!("output-{newest}.zip"),
                    "{why}: the archive is that of an earlier worker"
                );
            }
        }
        // Each message lets one job be claimed, whichever it names.
        let waiting = rows.jobs.iter().filter(|row| row.waiting_since.is_some()).count();
        let is_created = |message: &&outbox::Model| message.event_type == "job.created";
        let messages = rows.outbox.iter().filter(is_created).count() + self.broker.len();
        assert!(waiting <= messages, "{why}: {waiting} jobs wait for {messages} messages");
    }

    /// Assert that every job ends once nothing fails anymore, and that no row is left when all jobs
    /// are deleted.
    async fn finish_all(mut self, seed: u64) {
        self.workers = [const { None }; WORKERS];
        for round in 0..3 {
            self.case.advance(130);
            reap(&self.case.database).await.expect("the database answers");
            self.check(
                &self.case.rows().await,
                &format!("seed {seed}, after reaping in final round {round}"),
            );
            let taken = self
                .case
                .database
                .take_outgoing(1000, Duration::ZERO)
                .await
                .expect("the database answers");
            self.case
                .database
                .mark_published(taken.iter().map(|outgoing| outgoing.id))
                .await
                .expect("the database answers");
            self.broker.extend(taken.iter().map(|outgoing| outgoing.message.job_id));
            for id in std::mem::take(&mut self.broker) {
                if let Some(claim) = claim_next(&self.case.database, id, "last").await {
                    self.fences.insert(claim.job.id, claim.job.fence);
                    let finished = self.case.database.finish(&claim, &archive(&claim)).await;
                    assert_eq!(finished.expect("the database answers"), AttemptOutcome::Completed);
                }
            }
            self.check(&self.case.rows().await, &format!("seed {seed}, final round {round}"));
        }
        let rows = self.case.rows().await;
        self.case.database.add_up_changes().await.expect("the database answers");
        counters::check(self.case, &format!("seed {seed}, added up")).await;
        for id in &self.jobs {
            assert!(
                outcome(&rows.job(*id).status).is_some(),
                "seed {seed}: {:?} is not final",
                rows.job(*id)
            );
            assert!(self.case.database.delete(*id).await.expect("the database answers"));
        }
        let no_rows = Rows {
            jobs: Vec::new(),
            events: Vec::new(),
            outbox: Vec::new(),
            notifications: Vec::new(),
        };
        assert_eq!(self.case.rows().await, no_rows, "seed {seed}");
    }
}
