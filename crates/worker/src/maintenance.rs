//! Maintenance: handles expired leases, messages that the broker lost, expired archives and files
//! without a job. Every step may run in several processes at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, Queue};
use database::counters::StateCount;
use database::history;
use database::retention::ExpiredPage;
use database::uploads::AbandonedUpload;
use database::{Database, Job};
use jobs::Time;
use parking_lot::Mutex;
use storage::{Checkpoint, Storage, delete_job_files};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use uuid::Uuid;

use crate::background::log_error;
use crate::error::Error;
use crate::reaper::Observations;
use crate::sweep::{ORPHAN_AGE, Sweeper};
use crate::turn::in_turn;

/// Time between two moves of jobs to the history.
const HISTORY_INTERVAL: Duration = Duration::from_mins(10);

/// Intervals of the maintenance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time between two rounds of most chores.
    pub interval: Duration,
    /// Time between two sweeps.
    pub sweep_interval: Duration,
    /// Time between the end of a job's retention and its move to the history.
    pub history_after: Duration,
    /// Time for which the history is kept; for ever if `None`.
    pub history_kept: Option<Duration>,
    /// Time after which the message of a job counts as lost. A search takes place four times
    /// within it.
    pub lost_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            sweep_interval: Duration::from_hours(1),
            history_after: Duration::from_hours(30 * 24),
            history_kept: None,
            lost_after: Duration::from_mins(1),
        }
    }
}

/// The maintenance of a service. Clones share what they have observed.
#[derive(Clone)]
pub struct Maintenance {
    /// Database of the jobs.
    pub database: Database,
    /// Storage of videos and archives.
    pub storage: Arc<dyn Storage>,
    /// Broker, which may have lost messages.
    pub broker: Arc<dyn Broker>,
    /// Intervals.
    pub settings: Settings,
    observations: Arc<Mutex<Observations>>,
    /// Id of this process among those that take turns.
    id: Uuid,
}

impl Maintenance {
    /// Maintenance of these parts, with the default intervals.
    #[must_use]
    pub fn new(database: Database, storage: Arc<dyn Storage>, broker: Arc<dyn Broker>) -> Self {
        let settings = Settings::default();
        let (observations, id) = (Arc::default(), Uuid::now_v7());
        Self { database, storage, broker, settings, observations, id }
    }

    /// Run every chore at its interval until `stop` is cancelled. Each has its own task, so that
    /// none waits for another one that hangs. Processes take turns at most of them; each process
    /// observes leases and reports gauges itself.
    pub async fn run(self, stop: CancellationToken) {
        let Settings { interval, sweep_interval, lost_after, .. } = self.settings;
        let chores = Chores { tasks: TaskTracker::new(), stop, maintenance: self };
        chores.spawn(interval, "failing lost attempts", |this| async move { this.reap().await });
        chores.spawn(interval, "measuring queues and jobs", |this| async move {
            this.report_gauges().await
        });
        chores.spawn_in_turn(interval, "adding up counters", |this| async move {
            Ok(this.database.add_up_changes().await?)
        });
        chores.spawn_in_turn(interval, "expiring jobs", |this| async move { this.expire().await });
        chores.spawn_in_turn(interval, "deleting abandoned uploads", |this| async move {
            this.delete_abandoned_uploads().await
        });
        chores.spawn_in_turn(interval, "deleting expired rows", |this| async move {
            this.database.purge_expired().await?;
            Ok(this.database.release_quarantined().await?)
        });
        chores.spawn_in_turn(lost_after / 4, "announcing lost jobs", |this| async move {
            this.announce_lost().await
        });
        chores.spawn_in_turn(sweep_interval, "the sweep of files", |this| async move {
            this.sweeper().sweep(ORPHAN_AGE, false).await?;
            Ok(())
        });
        chores.spawn_in_turn(HISTORY_INTERVAL, "moving jobs to the history", |this| async move {
            this.move_to_history().await
        });
        chores.tasks.close();
        chores.tasks.wait().await;
    }

    /// Fail the attempts of lost workers.
    pub async fn reap(&self) -> Result<(), Error> {
        let began = Instant::now();
        let leases = match self.database.leases().await {
            Ok(leases) => leases,
            Err(error) => {
                self.observations.lock().interrupt();
                return Err(error.into());
            }
        };
        let (lease, clock) = (self.database.rules().lease, self.database.clock());
        let unchanged = self.observations.lock().look(began, &leases, lease, clock);
        let lost = self.database.reap(&unchanged).await?.len() as u64;
        if lost > 0 {
            metrics::counter!("fiapx_leases_lost_total").increment(lost);
            info!(jobs = lost, "leases of lost workers expired; their jobs are retried or failed");
        }
        Ok(())
    }

    /// Delete the files of expired jobs. Files that cannot be deleted do not stop the others; the
    /// first error is returned.
    pub async fn expire(&self) -> Result<(), Error> {
        let (mut page, mut result) = (None, Ok(()));
        loop {
            let ExpiredPage { jobs, next } = self.database.expire(page).await?;
            for job in jobs {
                let deleted = self.delete_files(&job).await;
                result = result.and(deleted);
            }
            let Some(next) = next else { return result };
            page = Some(next);
        }
    }

    /// Announce jobs again whose messages the broker has lost.
    pub async fn announce_lost(&self) -> Result<(), Error> {
        let queue_is_empty = self.broker.ready_count(Queue::Process).await? == 0;
        let jobs = self.database.announce_lost(self.settings.lost_after, queue_is_empty).await?;
        if jobs > 0 {
            info!(jobs, "jobs waited without a message; they are announced again");
        }
        Ok(())
    }

    /// Delete the files of abandoned uploads, and their records. Files that cannot be deleted do
    /// not stop the others; the first error is returned.
    pub async fn delete_abandoned_uploads(&self) -> Result<(), Error> {
        const BATCH: u64 = 100;
        /// Time for which a file that cannot be deleted is left alone.
        const HOLD: Duration = Duration::from_mins(10);
        let mut result = Ok(());
        loop {
            let abandoned = self.database.take_abandoned_uploads(BATCH, HOLD).await?;
            for upload in &abandoned {
                let deleted = self.delete_upload(upload).await;
                result = result.and(deleted);
            }
            if (abandoned.len() as u64) < BATCH {
                return result;
            }
        }
    }

    async fn delete_upload(&self, upload: &AbandonedUpload) -> Result<(), Error> {
        if let Ok(key) = upload.key.parse() {
            if let Some(parts) = &upload.parts {
                // Of an unreadable one, the sweep deletes what remains.
                let checkpoint = Checkpoint::from_json(&key, parts).ok();
                self.storage.discard(&key, checkpoint.as_ref()).await?;
            }
            self.storage.delete(&key).await?;
        }
        Ok(self.database.end_upload(upload.id).await?)
    }

    /// Move jobs to the history that ended long ago, and delete old history.
    pub async fn move_to_history(&self) -> Result<(), Error> {
        let Settings { history_after, history_kept, .. } = self.settings;
        loop {
            let moved = self.database.move_to_history(history_after).await?;
            metrics::counter!("fiapx_jobs_moved_to_history_total").increment(moved);
            if moved < history::BATCH {
                break;
            }
        }
        if let Some(kept) = history_kept {
            self.database.drop_history(kept).await?;
        }
        Ok(())
    }

    /// Sweeper of the file store.
    #[must_use]
    pub fn sweeper(&self) -> Sweeper<'_> {
        Sweeper { database: &self.database, storage: &*self.storage }
    }

    /// Set the gauges of waiting jobs and messages.
    async fn report_gauges(&self) -> Result<(), Error> {
        for StateCount { state, count } in self.database.counts().await? {
            metrics::gauge!("fiapx_jobs", "state" => state.name()).set(count as f64);
        }
        let now = self.database.clock().now();
        let age = |since: Option<Time>| {
            since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0))
        };
        metrics::gauge!("fiapx_outbox_age_seconds")
            .set(age(self.database.unpublished_since().await?));
        metrics::gauge!("fiapx_oldest_waiting_job_seconds")
            .set(age(self.database.oldest_waiting().await?));
        metrics::gauge!("fiapx_quarantined_jobs")
            .set(self.database.quarantined_count().await? as f64);
        // Start at 0: `increase()` misses a series whose first sample is 1.
        metrics::counter!("fiapx_leases_lost_total").increment(0);
        metrics::counter!("fiapx_jobs_moved_to_history_total").increment(0);
        // Queues last: without a broker, the gauges above are still set.
        for queue in Queue::ALL {
            let messages = self.broker.message_count(queue).await?;
            metrics::gauge!("fiapx_queue_messages", "queue" => queue.name()).set(messages as f64);
            let dead_letters = self.broker.dead_letter_count(queue).await?;
            metrics::gauge!("fiapx_queue_messages", "queue" => queue.dead_letter_name())
                .set(dead_letters as f64);
        }
        Ok(())
    }

    async fn delete_files(&self, job: &Job) -> Result<(), Error> {
        delete_job_files(&*self.storage, job.user_id, job.id).await?;
        self.database.mark_files_removed(job.id).await?;
        info!(
            job_id = %job.id,
            user_id = %job.user_id,
            trace_id = job.trace_id(),
            "deleted the files of an expired job"
        );
        Ok(())
    }
}

/// Tasks of the chores.
struct Chores {
    tasks: TaskTracker,
    stop: CancellationToken,
    maintenance: Maintenance,
}

impl Chores {
    /// Run a chore at an interval until `stop` is cancelled. The first round starts at a random
    /// moment of the interval, so that processes that were started together do not work in step.
    fn spawn<F>(
        &self,
        interval: Duration,
        name: &'static str,
        chore: impl Fn(Maintenance) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Error>> + Send,
    {
        let (stop, maintenance) = (self.stop.clone(), self.maintenance.clone());
        self.tasks.spawn(stop.run_until_cancelled_owned(async move {
            let first = tokio::time::Instant::now() + interval.mul_f64(rand::random());
            let mut ticks = tokio::time::interval_at(first, interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                log_error(chore(maintenance.clone()).await, name);
            }
        }));
    }

    /// Like [`spawn`](Self::spawn), but one process at a time carries out the chore, about once per
    /// interval.
    fn spawn_in_turn<F>(
        &self,
        interval: Duration,
        name: &'static str,
        chore: impl Fn(Maintenance) -> F + Send + Sync + Copy + 'static,
    ) where
        F: Future<Output = Result<(), Error>> + Send,
    {
        self.spawn(interval, name, move |this| async move {
            let (database, id) = (this.database.clone(), this.id);
            in_turn(&database, name, id, interval, chore(this)).await
        });
    }
}
