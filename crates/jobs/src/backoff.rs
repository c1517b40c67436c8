//! Pauses between attempts at something that keeps failing, and the spread of periodic work.

use std::time::Duration;

/// Exponential backoff with equal jitter: a pause lasts between half of a limit and the limit,
/// which doubles with each failure in a row (Amazon Builders' Library, "Timeouts, retries, and
/// backoff with jitter").
///
/// The random half spreads the attempts of processes that failed at the same moment. The other half
/// keeps each of them from trying again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses of at most `first` after one failure, and of at most `max` after many.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// Longest pause after `failures` failures in a row, where 0 counts as 1.
    #[must_use]
    pub fn limit(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Pause after `failures` failures in a row. `random` is uniformly distributed, such as
    /// `rand::random()`, and the same number yields the same pause.
    #[must_use]
    pub fn pause(self, failures: u32, random: u32) -> Duration {
        jittered(self.limit(failures), random)
    }
}

/// Duration between half of `limit` and `limit`, in proportion to `random`. For intervals of
/// periodic work, so that processes that started together do not work at the same moments.
#[must_use]
pub fn jittered(limit: Duration, random: u32) -> Duration {
    let half = limit / 2;
    let share = half.as_nanos() * u128::from(random) / u128::from(u32::MAX);
    limit.saturating_sub(half) + Duration::from_nanos_u128(share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any duration, up to the longest.
    fn durations() -> impl Strategy<Value = Duration> {
        (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    #[test]
    fn limits_double_up_to_the_maximum() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        let limits = [0, 1, 2, 3, 5, 6, u32::MAX].map(|failures| backoff.limit(failures).as_secs());
        assert_eq!(limits, [1, 1, 2, 4, 16, 30, 30]);
        assert_eq!([0, u32::MAX].map(|random| backoff.pause(3, random).as_secs()), [2, 4]);
    }

    proptest! {
        #[test]
        fn pauses_are_between_half_of_the_limit_and_the_limit(
            first in durations(), max in durations(), failures: u32, random: u32,
        ) {
            let backoff = Backoff::new(first, max);
            let (limit, pause) = (backoff.limit(failures), backoff.pause(failures, random));
            prop_assert!(limit <= max);
            prop_assert!(limit / 2 <= pause && pause <= limit, "{pause:?} of {limit:?}");
            prop_assert_eq!(pause, backoff.pause(failures, random));
        }

        #[test]
        fn pauses_grow_with_the_failures_and_the_random_number(
            first in durations(), max in durations(), failures: u32, randoms: [u32; 2],
        ) {
            let backoff = Backoff::new(first, max);
            let [low, high] = [randoms[0].min(randoms[1]), randoms[0].max(randoms[1])];
            prop_assert!(backoff.pause(failures, low) <= backoff.pause(failures, high));
            let next = failures.saturating_add(1);
            prop_assert!(backoff.pause(failures, low) <= backoff.pause(next, low));
        }

        /// A hundred processes that fail together are spread: each tenth of the random half of the
        /// pause has its share of their attempts.
        #[test]
        fn uniform_numbers_yield_uniform_pauses(
            millis in 20..1_000_000_u64,
            failures in 0..40_u32,
        ) {
            let backoff = Backoff::new(Duration::from_millis(millis), Duration::from_hours(1));
            let limit = backoff.limit(failures);
            let mut tenths = [0; 10];
            for process in 0..100_u32 {
                let random = process * (u32::MAX / 100) + u32::MAX / 200;
                let random_part = backoff.pause(failures, random).saturating_sub(limit / 2);
                let tenth = 20 * random_part.as_nanos() / limit.as_nanos();
                tenths[tenth as usize] += 1;
            }
            prop_assert!(tenths.iter().all(|count| (9..=11).contains(count)), "{:?}", tenths);
        }
    }
}
