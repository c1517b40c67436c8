//! Channels by which users are notified, and the loop that delivers what is due in each of them.
//!
//! What a channel delivers is rows of the database, written in the transaction of their cause. A
//! channel reserves rows, delivers each at least once with the same id, and records the result.
//! Channels run side by side, and none waits for another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jobs::Backoff;
use jobs::backoff::jittered;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Maximum time between two queries for deliveries that have to be retried. New ones of this
/// process are made immediately.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Pauses between two queries while the database fails.
const DATABASE_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));

/// Time for which a process tries to record that a delivery succeeded.
pub(crate) const RECORD_WITHIN: Duration = Duration::from_mins(1);

/// Channel by which users are notified.
#[async_trait]
pub(crate) trait Channel: Send + Sync + 'static {
    /// Delivery that is due.
    type Due: Send + 'static;

    /// Name, for logs.
    const NAME: &'static str;

    /// Initialize the counters of the channel with 0: `increase()` in Prometheus misses a series
    /// whose first sample is 1.
    fn initialize_counters(&self);

    /// Reserve deliveries that are due, while `running` others are in progress.
    async fn take(&self, running: usize) -> Result<Vec<Self::Due>, database::Error>;

    /// Make one attempt at a delivery, and record the result.
    async fn deliver(&self, due: Self::Due);

    /// Wait until this process knows of a new delivery.
    async fn woken(&self);
}

/// Make the deliveries of a channel until `stop` is cancelled. Those in progress are completed.
pub(crate) async fn run<C: Channel>(channel: Arc<C>, stop: &CancellationToken) {
    let (mut running, mut failures) = (JoinSet::new(), 0_u32);
    while !stop.is_cancelled() {
        // Those that have ended take no place.
        while running.try_join_next().is_some() {}
        let pause = match channel.take(running.len()).await {
            Ok(taken) => {
                failures = 0;
                let found = !taken.is_empty();
                for due in taken {
                    let channel = Arc::clone(&channel);
                    running.spawn(async move { channel.deliver(due).await });
                }
                if found {
                    // More may be due.
                    continue;
                }
                jittered(POLL_INTERVAL, rand::random())
            }
            Err(error) => {
                let channel = C::NAME;
                warn!(%error, channel, "cannot read due deliveries from the database; retrying");
                failures = failures.saturating_add(1);
                DATABASE_BACKOFF.pause(failures, rand::random())
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = channel.woken() => {}
            () = tokio::time::sleep(pause) => {}
            // Another one may be due that had no place. It waits, too, while the database fails.
            Some(_) = running.join_next(), if failures == 0 => {}
        }
    }
    while running.join_next().await.is_some() {}
}

/// Record by `record` that a delivery succeeded. Tries again while the database is away, as long as
/// the delivery is reserved: one that is not recorded is made twice.
pub(crate) async fn record_success<F>(record: impl Fn() -> F) -> Result<(), database::Error>
where
    F: Future<Output = Result<(), database::Error>>,
{
    const PAUSE: Duration = Duration::from_secs(1);
    let began = Instant::now();
    loop {
        let recorded = record().await;
        if recorded.is_ok() || began.elapsed() >= RECORD_WITHIN {
            return recorded;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
