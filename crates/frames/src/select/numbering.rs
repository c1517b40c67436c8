//! Numbers of the selected frames.

use jobs::manifest::MissingRange;

use crate::error::Error;
use crate::limits::Limits;

use super::frame_selector::FrameSelector;
use super::instants::Instants;

/// Assigns numbers from 1 to the frames of an archive by their ticks, and finds the ticks without a
/// frame.
pub(crate) struct Numbering<'a> {
    selector: &'a dyn FrameSelector,
    limits: &'a Limits,
    /// Maximum number of frames that the recipe requests.
    max_count: Option<u64>,
    /// First tick of the video.
    first: Option<i64>,
    /// First tick after the video, according to its frames.
    until: Option<i64>,
    /// Ticks of the frames that were numbered, including those that were left out, ascending.
    ticks: Vec<i64>,
    /// Number of frames that were left out.
    left_out: u64,
    /// Number of frames that exceed the maximum number.
    omitted: u64,
}

/// Number of a frame in an archive.
#[derive(Debug, PartialEq)]
pub(crate) struct FrameNumber {
    pub number: u64,
    /// Instant in seconds that the frame is selected for; `None` if its content decided.
    pub instant_s: Option<f64>,
}

/// Comparison of the numbered frames with those that the video should have.
#[derive(Debug, PartialEq)]
pub(crate) struct Coverage {
    /// Expected number of frames.
    pub expected: u64,
    pub missing: Vec<MissingRange>,
}

impl<'a> Numbering<'a> {
    pub(crate) fn new(
        selector: &'a dyn FrameSelector,
        limits: &'a Limits,
        max_count: Option<u64>,
    ) -> Self {
        Self {
            selector,
            limits,
            max_count,
            first: None,
            until: None,
            ticks: Vec::new(),
            left_out: 0,
            omitted: 0,
        }
    }

    /// Set the first tick of the video, if it is known now and was not before.
    pub(crate) fn start_at(&mut self, first: Option<i64>) {
        self.first = self.first.or(first);
    }

    /// Set the first tick after the video, if it is known.
    pub(crate) fn end_at(&mut self, until: Option<i64>) {
        self.until = until.or(self.until);
    }

    /// Forget what is known of the video, except the frames that were numbered.
    pub(crate) fn restart(&mut self) {
        self.first = self.first.filter(|_| !self.ticks.is_empty());
        self.until = None;
        self.omitted = 0;
    }

    /// First tick after the numbered frames, if there are any.
    pub(crate) fn next_tick(&self) -> Option<i64> {
        self.ticks.last().map(|last| last + 1)
    }

    /// Whether an earlier frame has this tick: in a damaged stream ticks may repeat, and the first
    /// frame is kept.
    pub(crate) fn is_taken(&self, tick: i64) -> bool {
        let is_before = |other: Option<i64>, or_equal| {
            other.is_some_and(|other| tick < other || or_equal && tick == other)
        };
        is_before(self.first, false) || is_before(self.ticks.last().copied(), true)
    }

    /// Number of the next frame, which is selected for `tick`. `None` if it exceeds the maximum
    /// number of frames.
    pub(crate) fn number(&mut self, tick: i64) -> Result<Option<FrameNumber>, Error> {
        let first = *self.first.get_or_insert(tick);
        let number = tick.saturating_sub(first) as u64 + 1;
        if self.max_count.is_some_and(|max| number - self.left_out > max) {
            self.omitted += 1;
            return Ok(None);
        }
        self.limits.check_frame_count(number)?;
        self.ticks.push(tick);
        let instant_s = self.selector.instants().map(|instants| instants.instant(tick));
        Ok(Some(FrameNumber { number, instant_s }))
    }

    /// Number of the next frame, which is selected for `tick` and left out. `None` if it exceeds
    /// the maximum number of frames.
    pub(crate) fn leave_out(&mut self, tick: i64) -> Result<Option<FrameNumber>, Error> {
        let omitted = self.omitted;
        let number = self.number(tick)?;
        self.omitted = omitted;
        self.left_out += u64::from(number.is_some());
        Ok(number)
    }

    /// Number of frames that exceed the maximum number.
    pub(crate) fn omitted_count(&self) -> u64 {
        self.omitted
    }

    /// Compare the numbered frames with the whole video, given first ticks after it that are known
    /// from other sources. `None` if there are no frames.
    pub(crate) fn coverage(&self, ends: [Option<i64>; 2]) -> Option<Coverage> {
        let (first, last) = (self.first?, *self.ticks.last()?);
        let ends = ends.into_iter().chain([self.until]).flatten();
        let listed = self.selector.instants().and_then(Instants::end);
        let until = listed.unwrap_or_else(|| ends.fold(last + 1, i64::max));
        let max_count =
            self.max_count.map_or(self.limits.max_frames, |max| max.min(self.limits.max_frames));
        let until = until.min(first.saturating_add(max_count.saturating_add(self.left_out) as i64));
        let expected = (until - first) as u64 - self.left_out;
        Some(Coverage { expected, missing: self.missing(first, until) })
    }

    /// Ranges of ticks from `first` to `until` without a frame. By content there are none.
    fn missing(&self, first: i64, until: i64) -> Vec<MissingRange> {
        let Some(instants) = self.selector.instants() else { return Vec::new() };
        let mut missing = Vec::new();
        let mut next = first;
        for tick in self.ticks.iter().copied().chain([until]) {
            if tick > next {
                missing.push(MissingRange {
                    first_number: (next - first) as u64 + 1,
                    last_number: (tick - first) as u64,
                    from_s: instants.instant(next),
                    to_s: instants.instant(tick - 1),
                });
            }
            next = next.max(tick + 1);
        }
        missing
    }
}

impl FrameNumber {
    /// Name of the frame's entry: its number, its presentation time, and the suffix of its format.
    pub(crate) fn entry_name(&self, seconds: f64, suffix: &str) -> String {
        let Self { number, .. } = self;
        let sign = if seconds < 0.0 { "-" } else { "" };
        let ms = (seconds.abs() * 1000.0).round() as u64;
        let (s, m, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
        let (ms, s, m) = (ms % 1000, s % 60, m % 60);
        format!("frame_{number:05}_{sign}{h:02}h{m:02}m{s:02}.{ms:03}s.{suffix}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jobs::{Ratio, Recipe};
    use proptest::prelude::*;

    use super::super::selector;
    use super::*;

    fn every_second() -> Box<dyn FrameSelector> {
        selector(&Recipe::default(), Ratio::new(1, 1000), None)
    }

    #[test]
    fn entry_names_state_the_presentation_time() {
        let name =
            |number, seconds| FrameNumber { number, instant_s: None }.entry_name(seconds, "png");
        assert_eq!(name(1, 0.467), "frame_00001_00h00m00.467s.png");
        assert_eq!(name(3_600, 3_599.466_7), "frame_03600_00h59m59.467s.png");
        assert_eq!(name(86_400, 86_399.999_9), "frame_86400_24h00m00.000s.png");
    }

    #[test]
    fn rejects_numbers_above_the_limit() {
        let (selector, limits) = (every_second(), Limits { max_frames: 3, ..Limits::default() });
        let mut numbering = Numbering::new(selector.as_ref(), &limits, None);
        assert!(numbering.number(5).is_ok());
        assert!(numbering.number(7).is_ok());
        assert!(matches!(numbering.number(8), Err(Error::TooLong { limit: 3 })));
        let coverage = numbering.coverage([Some(100), None]).expect("frames");
        assert_eq!(coverage.expected, 3);
    }

    proptest! {
        #[test]
        fn every_expected_number_has_a_frame_or_is_missing(
            first in prop::option::of(0..5_i64),
            ticks in prop::collection::vec(0..60_i64, 0..40),
            until in prop::option::of(0..80_i64),
        ) {
            let (selector, limits) = (every_second(), Limits::default());
            let mut numbering = Numbering::new(selector.as_ref(), &limits, None);
            numbering.start_at(first);
            let mut numbers = BTreeSet::new();
            for tick in ticks {
                if numbering.is_taken(tick) {
                    continue;
                }
                if let Some(FrameNumber { number, .. }) = numbering.number(tick).expect("few") {
                    prop_assert!(numbers.last().is_none_or(|last| *last < number));
                    numbers.insert(number);
                }
            }
            let coverage = numbering.coverage([until, None]);
            prop_assert_eq!(coverage.is_none(), numbers.is_empty());
            let Some(Coverage { expected, missing }) = coverage else { return Ok(()) };
            for range in missing {
                for number in range.first_number..=range.last_number {
                    prop_assert!(numbers.insert(number), "frame {} is not missing", number);
                }
            }
            prop_assert!(numbers.into_iter().eq(1..=expected));
        }
    }
}
