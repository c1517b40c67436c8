//! What time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

/// A moment, to the microsecond: the finest that PostgreSQL keeps.
pub type Time = DateTime<Utc>;

/// The system's clock, which tests can set ahead to see what days do. Clones go ahead together.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds ahead of the system's clock.
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Time {
        let now = Utc::now() + TimeDelta::microseconds(self.ahead.load(Ordering::Relaxed));
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Let time pass at once.
    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }
}
