//! Calls of the database that the roles of a service repeat, and how often.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use database::Database;
use database::renewal::Renewal;
use jobs::{JobId, State, UserId};
use uuid::Uuid;

/// Number of processes of each role of which the periodic load is measured.
pub const PROCESSES: u32 = 100;

/// Processes that repeat a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Repeated {
    /// Each worker, so many times a second.
    ByEachWorker(f64),
    /// One worker at a time, so many times a second.
    InTurn(f64),
    /// Each API, so many times a second.
    ByEachApi(f64),
    /// Each notifier, so many times a second.
    ByEachNotifier(f64),
    /// Once for each upload or request. Not part of the periodic load.
    ForARequest,
}

impl Repeated {
    /// Number of calls per second of all processes. `None` if they are not periodic.
    pub fn per_second(self) -> Option<f64> {
        match self {
            Self::ByEachWorker(rate) | Self::ByEachApi(rate) | Self::ByEachNotifier(rate) => {
                Some(rate * f64::from(PROCESSES))
            }
            Self::InTurn(rate) => Some(rate),
            Self::ForARequest => None,
        }
    }
}

/// What the calls refer to.
#[derive(Debug, Clone)]
pub struct Subjects {
    /// Leases that one worker holds.
    pub renewals: Vec<Renewal>,
    /// Waiting jobs, many.
    pub watched: Arc<[JobId]>,
    /// User with many jobs.
    pub user: UserId,
    /// Process that takes turns at chores.
    pub process: Uuid,
}

type CallFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Call of the database.
pub struct Call {
    /// Name in the report.
    pub name: &'static str,
    /// How often it is repeated.
    pub repeated: Repeated,
    /// The call.
    pub run: for<'a> fn(&'a Database, &'a Subjects) -> CallFuture<'a>,
}

/// Time between two rounds of the maintenance, in seconds.
const ROUND: f64 = 5.0;

/// Number of moves of 200 jobs to the history per second, at 100,000 jobs per day.
const MOVES: f64 = 100_000.0 / 86_400.0 / 200.0;

/// Number of chores at which processes take turns in each round.
const IN_TURN: f64 = 5.0;

macro_rules! calls {
    ($($name:literal, $repeated:expr, |$database:pat_param, $subjects:pat_param| $call:expr;)*) => {
        /// All calls that are repeated while nothing happens or for each job, upload or request.
        pub const CALLS: &[Call] = &[$(Call {
            name: $name,
            repeated: $repeated,
            run: |$database, $subjects| Box::pin(async move { $call; Ok(()) }),
        }),*];
    };
}

calls! {
    "leases (reaper)", Repeated::ByEachWorker(1.0 / ROUND), |database, _| database.leases().await?;
    "turns at chores", Repeated::ByEachWorker(IN_TURN / ROUND), |database, subjects| {
        // Another process has the turn.
        database.take_turn("a chore", subjects.process, Duration::from_hours(1)).await?
    };
    "adding up changes", Repeated::InTurn(1.0 / ROUND), |database, _| {
        database.add_up_changes().await?;
    };
    "expire", Repeated::InTurn(1.0 / ROUND), |database, _| database.expire(None).await?;
    "move of 200 jobs to the history", Repeated::InTurn(MOVES), |database, _| {
        database.move_to_history(Duration::from_hours(30 * 24)).await?
    };
    "abandoned uploads", Repeated::InTurn(1.0 / ROUND), |database, _| {
        database.take_abandoned_uploads(100, Duration::from_mins(10)).await?
    };
    "purge of tokens and keys", Repeated::InTurn(1.0 / ROUND), |database, _| {
        database.purge_expired().await?;
    };
    "release of quarantined rows", Repeated::InTurn(1.0 / ROUND), |database, _| {
        database.release_quarantined().await?;
    };
    "lost messages, queue in use", Repeated::InTurn(1.0 / 15.0), |database, _| {
        database.announce_lost(Duration::from_mins(1), false).await?
    };
    "metrics: jobs by state", Repeated::ByEachWorker(1.0 / ROUND), |database, _| {
        database.counts().await?
    };
    "metrics: unpublished since", Repeated::ByEachWorker(1.0 / ROUND), |database, _| {
        database.unpublished_since().await?
    };
    "metrics: oldest waiting", Repeated::ByEachWorker(1.0 / ROUND), |database, _| {
        database.oldest_waiting().await?
    };
    "metrics: quarantined", Repeated::ByEachWorker(1.0 / ROUND), |database, _| {
        database.quarantined_count().await?
    };
    "relay", Repeated::ByEachWorker(1.0 / 0.6), |database, _| {
        database.take_outgoing(100, Duration::from_mins(1)).await?
    };
    "lease renewals of eight attempts", Repeated::ByEachWorker(2.0), |database, subjects| {
        database.renew(&subjects.renewals).await?
    };
    "watch of 100 jobs", Repeated::ByEachApi(1.0 / 0.3), |database, subjects| {
        database.jobs_by_id(&subjects.watched[..100]).await?
    };
    "clock", Repeated::ByEachWorker(1.0 / 10.0), |database, _| {
        database.synchronize_clock().await?;
    };
    "due mails", Repeated::ByEachNotifier(1.0 / ROUND), |database, _| {
        database.take_notifications(8, Duration::from_mins(5)).await?
    };
    "claim of the next job", Repeated::ForARequest, |database, _| {
        database.claim(JobId::generate(), "bench").await?
    };
    "reservation of a user with many jobs", Repeated::ForARequest, |database, subjects| {
        let id = JobId::generate();
        database.begin_upload(subjects.user, id, "input.mp4", 1..=1_000_000).await?;
        database.end_upload(id).await?;
    };
    "quota of a user with many jobs", Repeated::ForARequest, |database, subjects| {
        database.usage(subjects.user).await?
    };
    "list of a user's jobs", Repeated::ForARequest, |database, subjects| {
        let page = database::reading::Page {
            state: Some(State::Done),
            limit: 50,
            ..Default::default()
        };
        database.list_jobs(subjects.user, &page).await?
    };
    "watch of 70,000 jobs", Repeated::ForARequest, |database, subjects| {
        database.jobs_by_id(&subjects.watched).await?
    };
    "sweep: files of 1,000 jobs", Repeated::ForARequest, |database, subjects| {
        let keys: Vec<_> = subjects.watched[..1000].iter().map(|id| (*id, "input.mp4")).collect();
        database.orphans(&keys).await?
    };
    "fiapx jobs: failed jobs", Repeated::ForARequest, |database, _| {
        database.failed_jobs(None, 50).await?
    };
}
