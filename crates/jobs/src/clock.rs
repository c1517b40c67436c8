//! Time of the service.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use parking_lot::RwLock;

/// Point in time with microsecond precision, the finest that PostgreSQL stores.
pub type Time = DateTime<Utc>;

/// Clock of the service. Clones share their state.
///
/// It is the clock of the machine until it is [synchronized](Self::synchronize) with that of the
/// database, which is the same for all processes. Tests advance it to see the effect of days at
/// once, and pause it where a few seconds matter.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Microseconds by which tests have advanced the clock.
    advanced: AtomicI64,
    /// Time at which the clock was paused.
    paused: OnceLock<Time>,
    /// Error of the machine's clock.
    machine_error: TimeDelta,
    /// Time of another clock at an instant.
    synchronized: RwLock<Option<(Time, Instant)>>,
}

impl Clock {
    /// Clock of a machine whose own clock is wrong by `error`, for tests.
    #[must_use]
    pub fn with_machine_error(error: TimeDelta) -> Self {
        Self { state: Arc::new(State { machine_error: error, ..State::default() }) }
    }

    /// Current time.
    #[must_use]
    pub fn now(&self) -> Time {
        let base = self.state.paused.get().copied().unwrap_or_else(|| self.base());
        let advanced = TimeDelta::microseconds(self.state.advanced.load(Ordering::Relaxed));
        let now = base + advanced;
        now.duration_trunc(TimeDelta::microseconds(1)).unwrap_or(now)
    }

    /// Time without what tests have added.
    fn base(&self) -> Time {
        match *self.state.synchronized.read() {
            // Monotonic, so the clock of the machine may be set meanwhile.
            Some((time, at)) => time + at.elapsed(),
            None => Utc::now() + self.state.machine_error,
        }
    }

    /// Follow another clock, which showed `time` at the instant `at`.
    pub fn synchronize(&self, time: Time, at: Instant) {
        *self.state.synchronized.write() = Some((time, at));
    }

    /// Time that has passed since a mark, by the monotonic clock of the machine and what tests have
    /// added to it.
    #[must_use]
    pub fn elapsed_since(&self, mark: Mark) -> Duration {
        let advanced = self.state.advanced.load(Ordering::Relaxed) - mark.advanced;
        mark.at.elapsed() + Duration::from_micros(advanced.try_into().unwrap_or_default())
    }

    /// Mark the current instant.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { at: Instant::now(), advanced: self.state.advanced.load(Ordering::Relaxed) }
    }

    /// Pause the clock and all its clones for good, so that only [`advance`](Self::advance) moves
    /// them.
    pub fn pause(&self) {
        self.state.paused.get_or_init(|| self.base());
    }

    /// Advance the clock and all its clones.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.state.advanced.fetch_add(by, Ordering::Relaxed);
    }
}

/// Instant of a [`Clock`] from which durations are measured, independent of its time of day.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    at: Instant,
    /// Microseconds by which tests had advanced the clock.
    advanced: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_clock_that_it_is_synchronized_with() {
        let wrong = TimeDelta::minutes(2);
        let clock = Clock::with_machine_error(wrong);
        assert!((clock.now() - Utc::now() - wrong).abs() < TimeDelta::seconds(1));
        let (time, at) = ("2026-01-02T03:04:05Z".parse().expect("a time"), Instant::now());
        clock.synchronize(time, at);
        let passed = clock.now() - time;
        assert!(passed >= TimeDelta::zero() && passed < TimeDelta::seconds(1), "{passed}");
        let mark = clock.mark();
        clock.advance(Duration::from_hours(1));
        assert!(clock.now() - time >= TimeDelta::hours(1));
        assert!(clock.elapsed_since(mark) >= Duration::from_hours(1), "durations follow");
        clock.synchronize(time, Instant::now());
        assert!(clock.elapsed_since(mark) < Duration::from_hours(2), "and ignore the time of day");
    }
}
