//! Minimum rate of what a server sends.

use std::time::Duration;

/// Rate at which a server sends a body, over each period of waiting for it. Time in which nobody
/// waits for the server does not count.
#[derive(Debug)]
pub(crate) struct Pace {
    period: Duration,
    /// Bytes that have to arrive in each period.
    required: u64,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    /// Require a rate over each period, and at least a byte.
    pub(crate) fn new(period: Duration, min_bytes_per_second: u64) -> Self {
        let required = (period.as_secs_f64() * min_bytes_per_second as f64) as u64;
        Self { period, required: required.max(1), bytes: 0, waited: Duration::ZERO }
    }

    /// Time for which the server may be awaited until the period ends.
    pub(crate) fn left(&self) -> Duration {
        self.period.saturating_sub(self.waited)
    }

    /// Record that bytes arrived after the server was awaited for this time. Return whether it is
    /// fast enough.
    pub(crate) fn record(&mut self, bytes: usize, waited: Duration) -> bool {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited < self.period {
            return true;
        }
        let is_fast_enough = self.bytes >= self.required;
        (self.bytes, self.waited) = (0, Duration::ZERO);
        is_fast_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rate_is_required_in_each_period_of_waiting() {
        let mut pace = Pace::new(10 * SECOND, 100);
        assert!(pace.record(5000, Duration::ZERO), "nobody has waited yet");
        assert!(pace.record(0, 9 * SECOND));
        assert_eq!(pace.left(), SECOND);
        assert!(pace.record(0, SECOND), "in the first period, enough has arrived");
        assert!(pace.record(999, 9 * SECOND));
        assert!(!pace.record(0, SECOND));
        let mut pace = Pace::new(SECOND, 0);
        assert!(pace.record(1, SECOND) && !pace.record(0, SECOND), "silence is never permitted");
    }
}
