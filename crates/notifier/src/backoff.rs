//! Pauses between attempts.

use std::time::Duration;

/// Pause after `failures` failures in a row: `first`, doubled with each further one, up to `max`.
pub(crate) fn exponential_backoff(first: Duration, max: Duration, failures: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum() {
        let seconds = |failures| {
            exponential_backoff(Duration::from_secs(1), Duration::from_secs(30), failures).as_secs()
        };
        let pauses = [0, 1, 2, 3, 5, 6, u32::MAX].map(seconds);
        assert_eq!(pauses, [1, 1, 2, 4, 16, 30, 30]);
    }
}
