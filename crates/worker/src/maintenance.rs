//! Maintenance: handles expired leases, messages that the broker lost, expired archives and files
//! without a job. Every step may run in several processes at the same time.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Queue};
use database::reading::StateCount;
use database::{Database, Job};
use jobs::Time;
use storage::{Storage, delete_job_files};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::background::log_error;
use crate::error::Error;
use crate::sweep::{ORPHAN_AGE, Sweeper};

/// Intervals and age limits of the maintenance.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Time between two checks of leases and expired archives.
    pub interval: Duration,
    /// Time between two sweeps.
    pub sweep_interval: Duration,
    /// Time without a message after which a job's message counts as lost. It is also the time
    /// between two searches for such jobs, which read all jobs that are kept.
    pub lost_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            sweep_interval: Duration::from_hours(1),
            lost_after: Duration::from_mins(1),
        }
    }
}

/// The maintenance of a service.
#[derive(Clone)]
pub struct Maintenance {
    /// Database of the jobs.
    pub database: Database,
    /// Storage of videos and archives.
    pub storage: Arc<dyn Storage>,
    /// Broker, which may have lost messages.
    pub broker: Arc<dyn Broker>,
    /// Settings.
    pub settings: Settings,
}

impl Maintenance {
    /// Run all steps at their intervals until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last_republication, mut last_sweep) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            log_error(self.reap_and_expire().await, "maintenance of jobs");
            log_error(self.delete_abandoned_uploads().await, "deleting abandoned uploads");
            log_error(self.report_gauges().await, "measuring queues and jobs");
            if last_republication.elapsed() >= self.settings.lost_after {
                last_republication = Instant::now();
                log_error(self.republish().await, "publishing lost messages");
            }
            if last_sweep.elapsed() >= self.settings.sweep_interval {
                last_sweep = Instant::now();
                let swept = self.sweeper().sweep(ORPHAN_AGE, false).await;
                log_error(swept, "the sweep of files");
            }
        }
    }

    /// Fail the attempts whose lease has expired, delete rows that are not needed anymore, and
    /// delete the files of expired jobs.
    pub async fn reap_and_expire(&self) -> Result<(), Error> {
        let lost = self.database.reap().await?.len() as u64;
        if lost > 0 {
            metrics::counter!("fiapx_leases_lost_total").increment(lost);
            info!(jobs = lost, "leases of lost workers expired; their jobs are retried or failed");
        }
        self.database.purge_expired().await?;
        for job in self.database.expire().await? {
            self.delete_files(&job).await?;
        }
        Ok(())
    }

    /// Publish messages again that the broker may have lost. A queue that is not empty is skipped,
    /// because it may still hold the messages of all waiting jobs.
    pub async fn republish(&self) -> Result<(), Error> {
        if self.broker.message_count(Queue::Process).await? == 0 {
            let jobs = self.database.republish_created(self.settings.lost_after).await?;
            if jobs > 0 {
                info!(jobs, "jobs waited without a message; their messages are published again");
            }
        }
        if self.broker.message_count(Queue::Notification).await? == 0 {
            let jobs = self.database.republish_outcomes(self.settings.lost_after).await?;
            if jobs > 0 {
                info!(jobs, "messages about finished jobs were lost; they are published again");
            }
        }
        Ok(())
    }

    /// Delete the files of abandoned uploads, and their records.
    pub async fn delete_abandoned_uploads(&self) -> Result<(), Error> {
        const BATCH: u64 = 100;
        /// Time for which a file that cannot be deleted is left alone.
        const HOLD: Duration = Duration::from_mins(10);
        loop {
            let abandoned = self.database.take_abandoned_uploads(BATCH, HOLD).await?;
            for upload in &abandoned {
                if let Ok(key) = upload.key.parse() {
                    self.storage.delete(&key).await?;
                }
                self.database.end_upload(upload.id).await?;
            }
            if (abandoned.len() as u64) < BATCH {
                return Ok(());
            }
        }
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
        // Start at 0: `increase()` misses a series whose first sample is 1.
        metrics::counter!("fiapx_leases_lost_total").increment(0);
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
