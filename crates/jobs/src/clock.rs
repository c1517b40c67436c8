//! Time of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// Point in time with microsecond precision, the finest that PostgreSQL stores.
pub type Time = DateTime<Utc>;

/// System clock with an offset. Tests advance it to see the effect of days at once. Clones share
/// their offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds ahead of the system clock.
    offset: Arc<AtomicI64>,
}

impl Clock {
    /// Current time.
    #[must_use]
    pub fn now(&self) -> Time {
        let now = Utc::now() + TimeDelta::microseconds(self.offset.load(Ordering::Relaxed));
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Advance the clock and all its clones.
    pub fn advance(&self, by: Duration) {
        self.offset.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
