//! Worker: receives jobs from the broker and runs their attempts.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Delivery, Queue, Subscription, TracedMessage};
use database::claim::{Claim, NextJob};
use database::{Database, Job};
use egress::Fetcher;
use jobs::backoff::jittered;
use jobs::{AttemptOutcome, Backoff};
use storage::Storage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, field, info, info_span, warn};

use crate::attempt::{self, Attempt};
use crate::breaker::Breaker;
use crate::lease::HeldLeases;
use crate::settings::Settings;

/// Pauses before another subscription while the broker fails.
const SUBSCRIBE_RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// Maximum pause before a message is requeued because the database failed. Without it, the message
/// would circulate between broker and worker in a busy loop. At least half of it passes, because a
/// day of returns must not exceed the delivery limit of the queue.
const CLAIM_RETRY: Duration = Duration::from_secs(2);

/// Maximum pause before a message is requeued because other workers have locked the jobs that wait.
const LOCKED_RETRY: Duration = Duration::from_millis(200);

/// A worker: turns videos into archives. Clones share everything.
#[derive(Clone)]
pub struct Worker {
    /// Database of the jobs.
    pub database: Database,
    /// Storage of videos and archives.
    pub storage: Arc<dyn Storage>,
    /// Broker of the messages about new jobs.
    pub broker: Arc<dyn Broker>,
    /// Settings.
    pub settings: Settings,
    fetcher: Option<Fetcher>,
    breaker: Arc<Breaker>,
    leases: HeldLeases,
}

/// A message, and the worker slot in which it is handled.
struct Task {
    delivery: Delivery,
    slot: OwnedSemaphorePermit,
}

impl Worker {
    /// Create a worker. It reads videos at addresses by the fetcher, if there is one.
    #[must_use]
    pub fn new(
        database: Database,
        storage: Arc<dyn Storage>,
        broker: Arc<dyn Broker>,
        settings: Settings,
        fetcher: Option<Fetcher>,
    ) -> Self {
        let leases = HeldLeases::new(database.clone());
        let breaker = Arc::default();
        Self { database, storage, broker, settings, fetcher, breaker, leases }
    }

    /// Run until `stop` is cancelled. Then wait for running jobs to finish within the grace period,
    /// and release the others.
    pub async fn run(self, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(self.settings.slots));
        metrics::gauge!("fiapx_worker_slots").set(self.settings.slots as f64);
        let attempts = metrics::gauge!("fiapx_attempts_running");
        attempts.set(0.0);
        attempt::initialize_counters();
        let running = TaskTracker::new();
        // Cancelled at the end of the grace period.
        let shutdown = CancellationToken::new();
        while let Some(mut subscription) = self.subscribe(&stop).await {
            loop {
                let next = tokio::select! {
                    () = stop.cancelled() => break,
                    () = self.breaker.suspected() => {
                        if self.breaker.check(&*self.storage, &self.settings.isolation).await {
                            continue;
                        }
                        // Messages that were received in advance return to the queue.
                        break;
                    }
                    next = next_task(&slots, &mut *subscription) => next,
                };
                match next {
                    Ok(Task { delivery, slot }) => {
                        let (worker, shutdown) = (self.clone(), shutdown.clone());
                        let attempts = attempts.clone();
                        running.spawn(async move {
                            attempts.increment(1.0);
                            worker.handle(delivery, &shutdown).await;
                            attempts.decrement(1.0);
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        warn!(%error, "the queue of videos failed; subscribing again");
                        break;
                    }
                }
            }
        }
        running.close();
        if tokio::time::timeout(self.settings.grace, running.wait()).await.is_err() {
            shutdown.cancel();
            running.wait().await;
        }
    }

    /// Subscribe to the queue of videos; retries until it succeeds. `None` if `stop` is cancelled.
    async fn subscribe(&self, stop: &CancellationToken) -> Option<Box<dyn Subscription>> {
        self.breaker.closed(&*self.storage, &self.settings.isolation, stop).await;
        let prefetch = u16::try_from(self.settings.slots).unwrap_or(u16::MAX);
        let mut failures = 0_u32;
        loop {
            if stop.is_cancelled() {
                return None;
            }
            match self.broker.subscribe(Queue::Process, prefetch).await {
                Ok(subscription) => return Some(subscription),
                Err(error) => {
                    failures = failures.saturating_add(1);
                    warn!(%error, failures, "cannot subscribe to the queue of videos; retrying");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(SUBSCRIBE_RETRY.pause(failures, rand::random())) => {}
            }
        }
    }

    /// Claim the next job because of a message, run an attempt and settle the message.
    async fn handle(&self, delivery: Delivery, shutdown: &CancellationToken) {
        let named = delivery.message.event.job_id();
        let pause = match self.database.claim(named, &self.settings.name).await {
            Ok(NextJob::Claimed(claim)) => return self.process(&claim, delivery, shutdown).await,
            // Another message follows if a job has to be claimed later, or by a later version.
            Ok(NextJob::Nothing) => return log_settlement_error(delivery.ack().await),
            Ok(NextJob::Locked) => LOCKED_RETRY,
            Err(error) => {
                warn!(job_id = %named, %error, "cannot claim a job; the message is requeued");
                CLAIM_RETRY
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(jittered(pause, rand::random())) => {}
        }
        log_settlement_error(delivery.requeue().await);
    }

    /// Run an attempt at a claimed job, and settle the message that led to the claim. It may name
    /// another job, which is waiting still, or was claimed because of another message.
    async fn process(&self, claim: &Claim, delivery: Delivery, shutdown: &CancellationToken) {
        let job = &claim.job;
        let is_named = delivery.message.event.job_id() == job.id;
        let of_message = delivery.traceparent.as_deref().filter(|_| is_named);
        let span = info_span!(
            "attempt",
            job_id = %job.id,
            user_id = %job.user_id,
            attempt = job.attempt,
            traceparent = of_message.or(job.traceparent.as_deref()),
            queue = %Queue::Process,
            message_id = %delivery.message.event_id,
            outcome = field::Empty,
            error_code = field::Empty,
        );
        let attempt = Attempt {
            database: &self.database,
            storage: &self.storage,
            fetcher: self.fetcher.as_ref(),
            settings: &self.settings,
            claim,
            leases: &self.leases,
            breaker: &self.breaker,
        };
        log_settlement_error(match attempt.run(shutdown).instrument(span).await {
            // Rejected messages go to the dead letters.
            AttemptOutcome::Failed if is_named => delivery.reject().await,
            AttemptOutcome::Failed => {
                self.publish_dead_letter(job).await;
                delivery.ack().await
            }
            // The database has a new message for the next attempt, if there is one.
            AttemptOutcome::Completed
            | AttemptOutcome::Retrying
            | AttemptOutcome::Released
            | AttemptOutcome::Lost => delivery.ack().await,
        });
    }

    /// Put a message about a failed job into the dead letters, because that of another job led to
    /// its last attempt. It is a copy for inspection, so nothing else depends on it.
    async fn publish_dead_letter(&self, job: &Job) {
        let message = self.database.created_message(job).encode();
        let message = TracedMessage { message, traceparent: job.traceparent.clone() };
        if let Err(error) = self.broker.publish_dead_letter(&message).await {
            warn!(job_id = %job.id, %error, "cannot store the dead letter of a failed job");
        }
    }
}

/// Wait for a free slot and for the next message.
async fn next_task(
    slots: &Arc<Semaphore>,
    subscription: &mut dyn Subscription,
) -> Result<Task, broker::Error> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(|_| broker::Error::Closed)?;
    Ok(Task { delivery: subscription.next().await?, slot })
}

/// Log the error of a settlement. The broker delivers the message again, and no claim is possible
/// then.
fn log_settlement_error(result: Result<(), broker::Error>) {
    if let Err(error) = result {
        info!(%error, "cannot settle the message; the broker will deliver it again");
    }
}
