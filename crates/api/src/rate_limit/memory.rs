//! Rate limiter in the memory of this process.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{Clock, Time};
use parking_lot::Mutex;

use super::limiter::{RateLimitStatus, RateLimiter, WINDOW};

/// Rate limiter that counts the events of this process.
#[derive(Debug)]
pub struct InMemoryRateLimiter {
    clock: Clock,
    /// Times of the allowed events of each key, oldest first.
    events: Mutex<HashMap<String, VecDeque<Time>>>,
}

impl InMemoryRateLimiter {
    /// Create a limiter that has counted nothing.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, events: Mutex::default() }
    }
}

#[async_trait]
impl RateLimiter for InMemoryRateLimiter {
    async fn acquire(&self, key: &str, limit: u32) -> RateLimitStatus {
        /// Number of keys above which expired ones are removed.
        const CLEANUP_THRESHOLD: usize = 10_000;
        let now = self.clock.now();
        let window_start = now - TimeDelta::seconds(WINDOW.as_secs() as i64);
        let mut events = self.events.lock();
        if events.len() > CLEANUP_THRESHOLD {
            events.retain(|_, times| times.back().is_some_and(|last| *last > window_start));
        }
        let times = events.entry(key.to_owned()).or_default();
        while times.front().is_some_and(|first| *first <= window_start) {
            times.pop_front();
        }
        let allowed = times.len() < limit as usize;
        if allowed {
            times.push_back(now);
        }
        let reset = times
            .front()
            .map_or(TimeDelta::zero(), |first| *first - window_start)
            .to_std()
            .unwrap_or_default();
        let remaining = limit.saturating_sub(times.len() as u32);
        RateLimitStatus { allowed, limit, remaining, reset }
    }

    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn any_minute_holds_at_most_the_limit() {
        let clock = Clock::default();
        let limiter = InMemoryRateLimiter::new(clock.clone());
        for remaining in [2, 1, 0] {
            let status = limiter.acquire("a", 3).await;
            assert!(status.allowed);
            assert_eq!((status.limit, status.remaining), (3, remaining));
            clock.advance(Duration::from_secs(10));
        }
        let rejected = limiter.acquire("a", 3).await;
        assert!(!rejected.allowed);
        assert!((29..=30).contains(&rejected.reset.as_secs()), "{rejected:?}");
        assert!(limiter.acquire("b", 3).await.allowed);

        clock.advance(rejected.reset);
        assert!(limiter.acquire("a", 3).await.allowed);
        assert!(!limiter.acquire("a", 3).await.allowed, "only the first of three has expired");
    }
}
