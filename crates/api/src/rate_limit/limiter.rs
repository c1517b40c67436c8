//! Interface of a rate limiter.

use std::time::Duration;

use async_trait::async_trait;

/// Period in which events are counted.
pub const WINDOW: Duration = Duration::from_mins(1);

/// State of a limit after an event was counted or rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitStatus {
    /// Whether the event is allowed.
    pub allowed: bool,
    /// Maximum number of events per minute.
    pub limit: u32,
    /// Number of events left in the current period.
    pub remaining: u32,
    /// Time until the oldest counted event leaves the period.
    pub reset: Duration,
}

impl RateLimitStatus {
    /// `reset` in whole seconds, rounded up: an earlier attempt would fail again.
    #[must_use]
    pub fn reset_seconds(&self) -> u64 {
        self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0)
    }
}

/// Counts events per key. Any period of one minute, wherever it starts, holds at most `limit`
/// allowed events.
#[async_trait]
pub trait RateLimiter: Send + Sync + 'static {
    /// Count an event of `key` if the limit is not reached. Rejected events do not count.
    async fn acquire(&self, key: &str, limit: u32) -> RateLimitStatus;

    /// Check whether the store shared with other processes is reachable, if there is one.
    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}
