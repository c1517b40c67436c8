//! How often somebody may do something within a minute.

mod redis;

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use jobs::{Clock, Time};

pub use redis::Shared;

/// The time within which things are counted.
pub const WINDOW: Duration = Duration::from_mins(1);

/// Whether something may be done once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// It may.
    pub allowed: bool,
    /// How often it may be done within a minute.
    pub limit: u32,
    /// How often it may be done still.
    pub remaining: u32,
    /// When the oldest time that counts does not count any more.
    pub reset: Duration,
}

impl Verdict {
    /// The headers that tell a client (draft-ietf-httpapi-ratelimit-headers, in the form of its
    /// third version). The reset is in whole seconds, rounded up.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, u64); 3] {
        let reset = self.reset.as_secs() + u64::from(self.reset.subsec_nanos() > 0);
        [
            ("ratelimit-limit", self.limit.into()),
            ("ratelimit-remaining", self.remaining.into()),
            ("ratelimit-reset", reset),
        ]
    }
}

/// Counts who does what. In every minute, wherever it begins, at most the limit is allowed.
#[async_trait]
pub trait Limits: Send + Sync + 'static {
    /// Count one more under `key`, if the limit is not reached. Denied attempts do not count.
    async fn take(&self, key: &str, limit: u32) -> Verdict;

    /// Whether all processes count together, if they are meant to.
    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Counts in this process.
#[derive(Debug)]
pub struct InMemory {
    clock: Clock,
    taken: Mutex<HashMap<String, VecDeque<Time>>>,
}

impl InMemory {
    /// Nobody has done anything yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, taken: Mutex::default() }
    }
}

#[async_trait]
impl Limits for InMemory {
    async fn take(&self, key: &str, limit: u32) -> Verdict {
        /// Keys that are kept before those are dropped that count no more.
        const MANY: usize = 10_000;
        let now = self.clock.now();
        let began = now - TimeDelta::seconds(WINDOW.as_secs() as i64);
        let mut taken = self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if taken.len() > MANY {
            taken.retain(|_, times| times.back().is_some_and(|last| *last > began));
        }
        let times = taken.entry(key.to_owned()).or_default();
        while times.front().is_some_and(|first| *first <= began) {
            times.pop_front();
        }
        let allowed = times.len() < limit as usize;
        if allowed {
            times.push_back(now);
        }
        let reset = times
            .front()
            .map_or(TimeDelta::zero(), |first| *first - began)
            .to_std()
            .unwrap_or_default();
        Verdict { allowed, limit, remaining: limit.saturating_sub(times.len() as u32), reset }
    }

    async fn check(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_minute_holds_more_than_the_limit() {
        let clock = Clock::default();
        let limits = InMemory::new(clock.clone());
        for remaining in [2, 1, 0] {
            let verdict = limits.take("a", 3).await;
            assert!(verdict.allowed);
            assert_eq!((verdict.limit, verdict.remaining), (3, remaining));
            clock.advance(Duration::from_secs(10));
        }
        let denied = limits.take("a", 3).await;
        assert!(!denied.allowed);
        assert!((29..=30).contains(&denied.reset.as_secs()), "{denied:?}");
        assert!(limits.take("b", 3).await.allowed);

        clock.advance(denied.reset);
        assert!(limits.take("a", 3).await.allowed);
        assert!(!limits.take("a", 3).await.allowed, "only the first of three had gone by");
    }
}
