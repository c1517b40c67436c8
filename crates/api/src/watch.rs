//! Watching jobs: one look at the database for all watchers of this process, however many there
//! are, and none when there are none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use database::{Database, Job};
use jobs::JobId;
use tokio::sync::watch;
use tracing::warn;

/// From look to look.
const EVERY: Duration = Duration::from_millis(250);

type Watched = HashMap<JobId, watch::Sender<Option<Job>>>;

/// Looks at jobs for those who watch them.
pub struct Watch {
    database: Database,
    /// None while nobody looks.
    watched: Arc<Mutex<Option<Watched>>>,
}

impl Watch {
    /// Nobody watches yet.
    pub fn new(database: Database) -> Self {
        Self { database, watched: Arc::default() }
    }

    /// Watch a job. The receiver gives its newest row, and none once it is deleted; dropping it
    /// ends the watching.
    pub fn job(&self, job: &Job) -> watch::Receiver<Option<Job>> {
        let mut watched = lock(&self.watched);
        let begin = watched.is_none();
        let jobs = watched.get_or_insert_default();
        let sender = jobs.entry(job.id).or_insert_with(|| watch::Sender::new(Some(job.clone())));
        if sender.receiver_count() == 0 {
            // Whoever watched it last may have seen less.
            sender.send_replace(Some(job.clone()));
        }
        let receiver = sender.subscribe();
        metrics::gauge!("fiapx_watched_jobs").set(jobs.len() as f64);
        if begin {
            tokio::spawn(look(self.database.clone(), Arc::clone(&self.watched)));
        }
        receiver
    }
}

fn lock(watched: &Mutex<Option<Watched>>) -> std::sync::MutexGuard<'_, Option<Watched>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Look again and again, until nobody watches.
async fn look(database: Database, watched: Arc<Mutex<Option<Watched>>>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let ids: Vec<JobId> = {
            let mut watched = lock(&watched);
            let Some(jobs) = watched.as_mut() else { return };
            jobs.retain(|_, sender| sender.receiver_count() > 0);
            metrics::gauge!("fiapx_watched_jobs").set(jobs.len() as f64);
            if jobs.is_empty() {
                *watched = None;
                return;
            }
            jobs.keys().copied().collect()
        };
        let mut found: HashMap<JobId, Job> = match database.jobs_by_id(&ids).await {
            Ok(jobs) => jobs.into_iter().map(|job| (job.id, job)).collect(),
            Err(error) => {
                warn!(%error, "the watched jobs cannot be read; trying again");
                continue;
            }
        };
        let watched = lock(&watched);
        for id in ids {
            let (job, sender) =
                (found.remove(&id), watched.as_ref().and_then(|jobs| jobs.get(&id)));
            if let Some(sender) = sender {
                sender.send_if_modified(|seen| {
                    let changed = *seen != job;
                    *seen = job;
                    changed
                });
            }
        }
    }
}
