//! What has to be done now and then, by any process, so that nothing stays behind: leases that
//! ended, messages that the broker lost, archives whose time is over, files that belong to nobody.
//! Each step may run in several processes at once.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Queue};
use database::{Database, Job};
use jobs::{JobId, Time};
use storage::{Key, Storage};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::note;

/// How often, and how old something has to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// From look to look at leases and expired archives.
    pub every: Duration,
    /// From look to look at all files.
    pub sweep_every: Duration,
    /// How old a file has to be before it can be nobody's: longer than any upload takes from its
    /// first byte to its job.
    pub orphan_age: Duration,
    /// How long a job may wait without a message before it is assumed that the broker lost it; also
    /// from look to look at these, which goes through all jobs that are kept.
    pub lost_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            every: Duration::from_secs(5),
            sweep_every: Duration::from_hours(1),
            orphan_age: Duration::from_hours(24),
            lost_after: Duration::from_mins(1),
        }
    }
}

/// Looks after what others left behind.
#[derive(Clone)]
pub struct Upkeep {
    /// Where jobs stand.
    pub database: Database,
    /// Where files lie.
    pub storage: Arc<dyn Storage>,
    /// Who may have lost messages.
    pub broker: Arc<dyn Broker>,
    /// How often.
    pub settings: Settings,
}

impl Upkeep {
    /// Look again and again until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut repeated, mut swept) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            note(self.look().await, "the upkeep of jobs");
            note(self.measure().await, "counting what waits");
            if repeated.elapsed() >= self.settings.lost_after {
                repeated = Instant::now();
                note(self.repeat().await, "publishing again what the broker lost");
            }
            if swept.elapsed() >= self.settings.sweep_every {
                swept = Instant::now();
                note(self.sweep(self.settings.orphan_age).await, "the sweep of files");
            }
        }
    }

    /// One look at leases and expired archives.
    pub async fn look(&self) -> Result<(), Error> {
        let lost = self.database.reap().await?.len() as u64;
        if lost > 0 {
            metrics::counter!("fiapx_leases_lost_total").increment(lost);
            info!(jobs = lost, "workers were lost; their jobs are tried again or failed");
        }
        self.database.purge_expired().await?;
        for job in self.database.expire().await? {
            self.remove_files(&job).await?;
        }
        Ok(())
    }

    /// One look at lost messages.
    pub async fn repeat(&self) -> Result<(), Error> {
        if self.broker.message_count(Queue::Process).await? == 0 {
            let invited = self.database.republish_invitations(self.settings.lost_after).await?;
            if invited > 0 {
                info!(jobs = invited, "jobs waited without a message; workers are invited again");
            }
        }
        if self.broker.message_count(Queue::Notification).await? == 0 {
            let told = self.database.republish_outcomes(self.settings.lost_after).await?;
            if told > 0 {
                info!(
                    jobs = told,
                    "outcomes got lost on their way to the users; they are told again"
                );
            }
        }
        Ok(())
    }

    /// Remove what unfinished uploads left behind, and the files that no job has a use for, if they
    /// are at least so old. Says how many files were nobody's.
    pub async fn sweep(&self, age: Duration) -> Result<u64, Error> {
        self.storage.sweep(age).await?;
        // The store stamps files by the real time, whatever the rows' clock says.
        let old_enough = chrono::Utc::now() - age;
        let (mut after, mut removed): (Option<Key>, u64) = (None, 0);
        loop {
            let objects = self.storage.list(Key::ROOT, after.as_ref()).await?;
            let Some(last) = objects.last() else { break };
            after = Some(last.key.clone());
            let old = objects.iter().filter(|object| object.modified <= old_enough);
            let keys: Vec<(JobId, &str)> =
                old.map(|object| (object.key.job_id(), object.key.as_str())).collect();
            for orphan in self.database.orphans(&keys).await? {
                if let Ok(key) = orphan.parse() {
                    self.storage.delete(&key).await?;
                    removed += 1;
                }
            }
        }
        if removed > 0 {
            info!(files = removed, "removed files that belonged to nobody");
        }
        Ok(removed)
    }

    /// Tell what waits, for the figures.
    async fn measure(&self) -> Result<(), Error> {
        for (state, jobs) in self.database.counts().await? {
            metrics::gauge!("fiapx_jobs", "state" => state.name()).set(jobs as f64);
        }
        let now = self.database.clock().now();
        let age = |since: Option<Time>| {
            since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
        };
        metrics::gauge!("fiapx_outbox_age_seconds")
            .set(age(self.database.unpublished_since().await?));
        metrics::gauge!("fiapx_oldest_waiting_job_seconds")
            .set(age(self.database.oldest_waiting().await?));
        // A figure that is not there cannot be watched.
        metrics::counter!("fiapx_leases_lost_total").increment(0);
        // Last, as a broker that is away keeps nobody from being told what waits for it.
        for queue in Queue::ALL {
            let messages = self.broker.message_count(queue).await?;
            metrics::gauge!("fiapx_queue_messages", "queue" => queue.name()).set(messages as f64);
            let dead = self.broker.dead_letter_count(queue).await?;
            metrics::gauge!("fiapx_queue_messages", "queue" => queue.dead_letter_name())
                .set(dead as f64);
        }
        Ok(())
    }

    async fn remove_files(&self, job: &Job) -> Result<(), Error> {
        for object in self.storage.list(&Key::job_prefix(job.user_id, job.id), None).await? {
            self.storage.delete(&object.key).await?;
        }
        self.database.mark_files_removed(job.id).await?;
        let trace_id = job.trace_id();
        info!(job_id = %job.id, user_id = %job.user_id, trace_id, "removed the files of a job whose time is over");
        Ok(())
    }
}

/// Why a look was cut short.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The broker failed.
    #[error(transparent)]
    Broker(#[from] broker::Error),
}
