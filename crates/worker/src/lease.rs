//! Keeping a claim alive while the attempt runs, and noticing when it is lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use database::Database;
use database::attempt::Claim;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

/// From renewal to renewal. Each carries the progress that users watch, and brings back a
/// cancellation.
const EVERY: Duration = Duration::from_millis(500);

/// How far an attempt is, told by the engine's thread.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    /// Zero stands for unknown.
    expected: AtomicU64,
}

impl Progress {
    /// Note how far it is.
    pub fn set(&self, progress: frames::Progress) {
        self.done.store(progress.done, Ordering::Relaxed);
        self.expected.store(progress.expected.unwrap_or(0), Ordering::Relaxed);
    }
}

/// Renew a claim again and again. Returns when the job is lost: cancelled, taken by another worker,
/// or not renewed in time.
pub async fn keep(database: &Database, claim: &Claim, progress: &Progress) {
    let lease = database.rules().lease;
    // Some of the lease is left for the attempt to stop in.
    let patience = lease * 5 / 6;
    let mut renewed = Instant::now();
    let mut ticks = tokio::time::interval_at(renewed + EVERY.min(lease / 3), EVERY.min(lease / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (done, expected) =
            (progress.done.load(Ordering::Relaxed), progress.expected.load(Ordering::Relaxed));
        let asked = Instant::now();
        let renewal = database.renew(claim, done, (expected > 0).then_some(expected));
        match tokio::time::timeout_at(renewed + patience, renewal).await {
            Ok(Ok(true)) => renewed = asked,
            Ok(Ok(false)) => return,
            Ok(Err(error)) => warn!(%error, "the lease cannot be renewed; trying again"),
            Err(_) => {
                metrics::counter!("fiapx_leases_lost_total").increment(1);
                warn!("the lease could not be renewed in time; the attempt is given up");
                return;
            }
        }
    }
}
