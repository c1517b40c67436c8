//! Renewal of the lease on a job while an attempt runs.

use std::time::Duration;

use database::Database;
use database::attempt::Claim;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use crate::progress::SharedProgress;

/// Time between two renewals. Each renewal publishes the progress that users watch, and detects a
/// cancellation.
const INTERVAL: Duration = Duration::from_millis(500);

/// Number of leases after which an attempt that cannot renew its own is stopped. A lease ends for
/// others only when they see that nobody renews it, so an attempt outlives a database that is away
/// for a while.
const GIVE_UP_AFTER: u32 = 10;

/// Renew the lease of a claim until the job is lost: cancelled, claimed by another worker, or not
/// renewed for a long time.
pub(crate) async fn renew_until_lost(
    database: &Database,
    claim: &Claim,
    progress: &SharedProgress,
) {
    let lease = database.rules().lease;
    let interval = INTERVAL.min(lease / 3);
    let mut last_renewal = Instant::now();
    let mut ticks = tokio::time::interval_at(last_renewal + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let frames::Progress { done, expected } = progress.get();
        let started = Instant::now();
        let renewal = database.renew(claim, done, expected);
        match tokio::time::timeout_at(last_renewal + lease * GIVE_UP_AFTER, renewal).await {
            Ok(Ok(true)) => last_renewal = started,
            Ok(Ok(false)) => return,
            Ok(Err(error)) => warn!(%error, "cannot renew the lease; retrying"),
            Err(_) => {
                metrics::counter!("fiapx_leases_lost_total").increment(1);
                warn!("lease not renewed for a long time; attempt stopped");
                return;
            }
        }
    }
}
