//! Time of the service.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Point in time with microsecond precision, the finest that PostgreSQL stores.
pub type Time = DateTime<Utc>;

/// System clock with an offset. Tests advance it to see the effect of days at once, and pause it
/// where a few seconds matter. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds ahead of the system clock.
    offset: Arc<AtomicI64>,
    /// System time at which the clock was paused.
    paused: Arc<OnceLock<Time>>,
}

impl Clock {
    /// Current time.
    #[must_use]
    pub fn now(&self) -> Time {
        let system = self.paused.get().copied().unwrap_or_else(Utc::now);
        let now = system + TimeDelta::microseconds(self.offset.load(Ordering::Relaxed));
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Pause the clock and all its clones for good, so that only [`advance`](Self::advance) moves
    /// them.
    pub fn pause(&self) {
        self.paused.get_or_init(Utc::now);
    }

    /// Advance the clock and all its clones.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
