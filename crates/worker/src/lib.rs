//! One task to one archive, and what keeps tasks from getting lost.
//!
//! [`Worker`] takes invitations from the broker and makes each an [attempt](attempt) at its job,
//! kept alive by its [lease](lease), with the [engine](engine) in a [`cell`] of its own. The
//! [`relay`] brings the outbox to the broker, and [`upkeep`] looks after what others left behind:
//! leases that ended, messages that got lost, files whose time is over.

// In the order in which a job meets them.
pub mod relay;
mod attempt;
mod lease;
mod engine;
pub mod cell;
pub mod upkeep;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Delivery, Queue, Subscription};
use database::Database;
use storage::Storage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, error, field, info, info_span, warn};

use attempt::Outcome;
pub use engine::{Failure, Isolation};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name, in rows and logs.
    pub name: String,
    /// Jobs at once. Each works with all cores, and the system's scheduler shares these fairly.
    pub slots: usize,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Threads of one attempt.
    pub threads: NonZeroUsize,
    /// Most bytes of one archive.
    pub archive_bytes: u64,
    /// Most bytes of memory that a cell may have.
    pub memory_bytes: u64,
    /// Where attempts run.
    pub isolation: Isolation,
    /// How long running jobs may go on when the worker has to stop.
    pub grace: Duration,
}

/// Takes jobs and makes archives. Clones share everything.
#[derive(Clone)]
pub struct Worker {
    /// Where jobs stand.
    pub database: Database,
    /// Where videos lie and archives go.
    pub storage: Arc<dyn Storage>,
    /// Who says that there is something to do.
    pub broker: Arc<dyn Broker>,
    /// How to work.
    pub settings: Settings,
}

impl Worker {
    /// Work until `stop`, then let running jobs end within the grace period and give the others
    /// back.
    pub async fn run(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.settings.slots));
        metrics::gauge!("fiapx_worker_slots").set(self.settings.slots as f64);
        let attempts = metrics::gauge!("fiapx_attempts_running");
        attempts.set(0.0);
        attempt::count_from_zero();
        let running = TaskTracker::new();
        // Turns when the grace period is over.
        let leave = CancellationToken::new();
        while let Some(mut subscription) = self.subscribe(&stop).await {
            loop {
                let taken = tokio::select! {
                    () = stop.cancelled() => break,
                    taken = next(&slots, &mut *subscription) => taken,
                };
                match taken {
                    Ok((slot, delivery)) => {
                        let (worker, leave) = (self.clone(), leave.clone());
                        let attempts = attempts.clone();
                        running.spawn(async move {
                            attempts.increment(1.0);
                            worker.handle(delivery, &leave).await;
                            attempts.decrement(1.0);
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "the broker hands out no more jobs; subscribing again");
                        break;
                    }
                }
            }
        }
        running.close();
        let all_ended = tokio::time::timeout(self.settings.grace, running.wait()).await.is_ok();
        if !all_ended {
            leave.cancel();
            running.wait().await;
        }
    }

    /// A subscription to the tasks, however long it takes; none when it is time to stop.
    async fn subscribe(&self, stop: &CancellationToken) -> Option<Box<dyn Subscription>> {
        const PAUSE: Duration = Duration::from_secs(2);
        let prefetch = u16::try_from(self.settings.slots).unwrap_or(u16::MAX);
        loop {
            if stop.is_cancelled() {
                return None;
            }
            match self.broker.subscribe(Queue::Process, prefetch).await {
                Ok(subscription) => return Some(subscription),
                Err(error) => {
                    warn!(%error, "cannot subscribe to the queue of videos; trying again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Follow one invitation and answer it.
    async fn handle(&self, delivery: Delivery, leave: &CancellationToken) {
        let id = delivery.message.event.job_id();
        let claim = match self.database.claim(id, &self.settings.name).await {
            Ok(Some(claim)) => claim,
            Ok(None) => return answer(delivery.ack().await),
            Err(error) => {
                warn!(job_id = %id, %error, "the job cannot be claimed; its message goes back to the queue");
                // A database that is down fails at once: do not ask it and the broker in circles.
                tokio::select! {
                    () = leave.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
                return answer(delivery.requeue().await);
            }
        };
        let job = &claim.job;
        let span = info_span!(
            "attempt",
            job_id = %id,
            user_id = %job.user_id,
            attempt = job.attempt,
            traceparent = delivery.traceparent.as_deref().or(job.traceparent.as_deref()),
            queue = %Queue::Process,
            message_id = %delivery.message.event_id,
            outcome = field::Empty,
            error_code = field::Empty,
        );
        let outcome = self.attempt(&claim, leave).instrument(span).await;
        answer(match outcome {
            Outcome::Failed => delivery.reject().await,
            Outcome::Over => delivery.ack().await,
        });
    }
}

/// The next task, once there is a slot for it.
async fn next(
    slots: &Arc<Semaphore>,
    subscription: &mut dyn Subscription,
) -> Result<(OwnedSemaphorePermit, Delivery), broker::Error> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| broker::Error::Closed)?;
    Ok((slot, subscription.next().await?))
}

/// An answer that does not arrive makes the broker repeat the message, which a claim finds
/// harmless.
fn answer(result: Result<(), broker::Error>) {
    if let Err(error) = result {
        info!(%error, "the broker did not take the answer and will repeat the message");
    }
}

/// Log what a step of a background loop could not do; the next round tries again.
fn note<T, E: std::fmt::Display>(result: Result<T, E>, what: &'static str) -> Option<T> {
    result.map_err(|error| error!(%error, "{what} failed; trying again")).ok()
}
