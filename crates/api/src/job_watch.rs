//! Watcher of jobs: one database query per interval for all watchers of this process, and none
//! while there are no watchers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use database::{Database, Job};
use jobs::backoff::jittered;
use jobs::{Backoff, JobId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

/// Maximum time between two queries.
const INTERVAL: Duration = Duration::from_millis(300);

/// Pauses between two queries while they fail.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

type WatchedJobs = HashMap<JobId, watch::Sender<Option<Job>>>;

/// Polls the rows of watched jobs.
pub struct JobWatcher {
    database: Database,
    /// `None` while no polling task runs.
    watched: Arc<Mutex<Option<WatchedJobs>>>,
}

impl JobWatcher {
    /// Create a watcher that polls nothing yet.
    pub fn new(database: Database) -> Self {
        Self { database, watched: Arc::default() }
    }

    /// Watch a job. The receiver holds its latest row, or `None` once it is deleted. Dropping the
    /// receiver ends the watch.
    pub fn watch(&self, job: &Job) -> watch::Receiver<Option<Job>> {
        let mut watched = self.watched.lock();
        let is_first = watched.is_none();
        let jobs = watched.get_or_insert_default();
        let sender = jobs.entry(job.id).or_insert_with(|| watch::Sender::new(Some(job.clone())));
        if sender.receiver_count() == 0 {
            // The value may be older than `job`: it was not updated without receivers.
            sender.send_replace(Some(job.clone()));
        }
        let receiver = sender.subscribe();
        metrics::gauge!("fiapx_watched_jobs").set(jobs.len() as f64);
        if is_first {
            tokio::spawn(poll(self.database.clone(), Arc::clone(&self.watched)));
        }
        receiver
    }
}

/// Poll the watched jobs until none is left.
async fn poll(database: Database, watched: Arc<Mutex<Option<WatchedJobs>>>) {
    let mut failures = 0_u32;
    loop {
        tokio::time::sleep(match failures {
            0 => jittered(INTERVAL, rand::random()),
            failures => BACKOFF.pause(failures, rand::random()),
        })
        .await;
        let ids: Vec<JobId> = {
            let mut watched = watched.lock();
            let Some(jobs) = watched.as_mut() else { return };
            jobs.retain(|_, sender| sender.receiver_count() > 0);
            metrics::gauge!("fiapx_watched_jobs").set(jobs.len() as f64);
            if jobs.is_empty() {
                *watched = None;
                return;
            }
            jobs.keys().copied().collect()
        };
        let mut rows: HashMap<JobId, Job> = match database.jobs_by_id(&ids).await {
            Ok(jobs) => {
                failures = 0;
                jobs.into_iter().map(|job| (job.id, job)).collect()
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                warn!(%error, "watched jobs could not be read; retrying");
                continue;
            }
        };
        let watched = watched.lock();
        for id in ids {
            let row = rows.remove(&id);
            if let Some(sender) = watched.as_ref().and_then(|jobs| jobs.get(&id)) {
                sender.send_if_modified(|current| {
                    let is_modified = *current != row;
                    *current = row;
                    is_modified
                });
            }
        }
    }
}
