//! Instants that a recipe requests.

use jobs::Ratio;

use crate::time::{MICROSECONDS, rescale};

/// Ascending list of instants, numbered by *ticks*. The frame for an instant is the last one before
/// it, so a frame with timestamp `p` is selected for the ticks from [`Instants::tick`]`(p)` up to
/// the tick of the next frame.
#[derive(Debug)]
pub(crate) struct Instants {
    rule: Rule,
    expected_count: Option<u64>,
}

#[derive(Debug)]
enum Rule {
    /// `(tick + 1/2) * interval`.
    Every(Ratio),
}

impl Instants {
    /// The instants `(tick + 1/2) * interval`, as in `ffmpeg -vf fps=1/interval` (FFmpeg,
    /// libavfilter/vf_fps.c), of a video that starts at 0. `duration_us` is its duration in
    /// microseconds, if its container states it.
    pub(crate) fn every(interval: Ratio, duration_us: Option<i64>) -> Self {
        let count = |us| rescale(us, MICROSECONDS, interval).max(1) as u64;
        Self { rule: Rule::Every(interval), expected_count: duration_us.map(count) }
    }

    /// Tick of the first instant after `time`, which is in units of `unit` from the start of the
    /// video.
    pub(crate) fn tick(&self, time: i64, unit: Ratio) -> i64 {
        match &self.rule {
            Rule::Every(interval) => rescale(time, unit, *interval),
        }
    }

    /// Instant of a tick, in seconds.
    pub(crate) fn instant(&self, tick: i64) -> f64 {
        match &self.rule {
            Rule::Every(interval) => (tick as f64 + 0.5) * interval.as_f64(),
        }
    }

    /// Number of frames to expect; `None` if it depends on a duration that is unknown.
    pub(crate) fn expected_count(&self) -> Option<u64> {
        self.expected_count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tick_of_a_time_is_that_of_the_first_instant_after_it(
            time in 0..1_i64 << 40,
            unit in 1..1_000_000_i64,
            num in 1..100_000_i64,
            den in 1..1_000_i64,
        ) {
            let instants = Instants::every(Ratio::new(num, den), None);
            let tick = instants.tick(time, Ratio::new(1, unit));
            // (n + 1/2) * num / den > time / unit, multiplied by the denominators.
            let is_after = |n: i64| {
                (2 * i128::from(n) + 1) * i128::from(num) * i128::from(unit)
                    > 2 * i128::from(time) * i128::from(den)
            };
            prop_assert!(is_after(tick) && !is_after(tick - 1));
        }
    }

    #[test]
    fn the_expected_count_is_that_of_the_instants_before_the_end() {
        let count = |us| Instants::every(Ratio::new(1, 1), us).expected_count();
        assert_eq!(
            [0, 400_000, 1_499_999, 1_500_000].map(|us| count(Some(us))),
            [1, 1, 1, 2].map(Some)
        );
        assert_eq!(count(None), None);
    }
}
