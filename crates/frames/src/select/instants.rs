//! Instants that a recipe requests.

use std::ops::Range;

use jobs::Ratio;
use jobs::recipe::{Interval, Part, Position, Times};
use parking_lot::RwLock;

use crate::time::{MICROSECONDS, rescale};

/// Ascending list of instants, numbered by *ticks*. The frame for an instant is the last one before
/// it, or at it, as the rule states. So a frame with timestamp `p` is selected for the ticks from
/// [`Instants::tick`]`(p)` up to the tick of the next frame.
#[derive(Debug)]
pub(crate) struct Instants {
    rule: Rule,
    /// Ticks that are requested.
    requested: Range<i64>,
    /// Maximum number of ticks from the first one of the video on.
    max_count: Option<i64>,
    /// Duration of the video in microseconds, if it is known.
    duration_us: Option<i64>,
    start: RwLock<Option<Start>>,
}

#[derive(Debug)]
enum Rule {
    /// `(tick + 1/2) * interval`. A frame must precede its instant.
    Every(Ratio),
    /// These times, in microseconds. A frame may have the time of its instant.
    At(Vec<i64>),
    /// `start + (tick + 1/2) * length / count`, in microseconds. A frame may have that time.
    Spread { start: i64, length: i64, count: i64 },
}

/// Start of a video.
#[derive(Debug, Clone, Copy)]
struct Start {
    /// Timestamp of the first frame.
    time: i64,
    /// First tick that exceeds the maximum number.
    until: i64,
}

impl Instants {
    /// The instants `(tick + 1/2) * interval`, as in `ffmpeg -vf fps=1/interval` (FFmpeg,
    /// libavfilter/vf_fps.c), of a video that starts at 0, as far as they lie in a part of it.
    /// `duration_us` is its duration in microseconds, if its container states it.
    pub(crate) fn every(interval: Interval, part: Part, duration_us: Option<i64>) -> Self {
        let interval = interval.seconds();
        // `(2 * tick + 1) * num / (2 * den)` seconds are not before the microsecond `us`.
        let first = |us: i64| {
            let scaled = 2 * i128::from(us) * i128::from(interval.den);
            let unit = i128::from(interval.num) * 1_000_000;
            ((scaled - unit + 2 * unit - 1).div_euclid(2 * unit)) as i64
        };
        let from = part.from().map_or(i64::MIN, |from| first(from.microseconds()));
        let to = part.to().map_or(i64::MAX, |to| first(to.microseconds()));
        Self::new(Rule::Every(interval), from..to, duration_us)
    }

    /// Those of the times that lie in a part of a video.
    pub(crate) fn at(times: &Times, part: Part, duration_us: Option<i64>) -> Self {
        let times = times.as_slice().iter().filter(|time| part.contains(**time));
        let times: Vec<i64> = times.map(|time| time.microseconds()).collect();
        let requested = 0..times.len() as i64;
        Self::new(Rule::At(times), requested, duration_us)
    }

    /// The times that divide a part of a video evenly: the middles of `count` parts of it. Without
    /// a duration the video is taken for empty.
    pub(crate) fn spread(count: u32, part: Part, duration_us: Option<i64>) -> Self {
        let end = duration_us.unwrap_or(0);
        let start = part.from().map_or(0, Position::microseconds);
        let end = part.to().map_or(end, |to| to.microseconds().min(end));
        let (length, count) = ((end - start).max(0), i64::from(count));
        let rule = Rule::Spread { start, length, count };
        Self::new(rule, 0..if length > 0 { count } else { 0 }, duration_us)
    }

    fn new(rule: Rule, requested: Range<i64>, duration_us: Option<i64>) -> Self {
        Self { rule, requested, max_count: None, duration_us, start: RwLock::default() }
    }

    /// The same, but at most this number of them.
    pub(crate) fn at_most(self, max_count: Option<u32>) -> Self {
        Self { max_count: max_count.map(i64::from), ..self }
    }

    /// Set the timestamp of the first frame of the video, in units of `unit`, when it is known.
    /// Only the first call has an effect.
    pub(crate) fn start_at(&self, time: i64, unit: Ratio) {
        self.start.write().get_or_insert_with(|| {
            let first = self.is_list().then_some(self.requested.start);
            let first = first.unwrap_or_else(|| self.unlimited_tick(time, unit));
            let until = self.max_count.map_or(i64::MAX, |count| first.saturating_add(count));
            Start { time, until }
        });
    }

    /// Forget the timestamp of the first frame.
    pub(crate) fn restart(&self) {
        *self.start.write() = None;
    }

    /// Tick of the first instant that the frames before `time` do not cover. It is in units of
    /// `unit` from the start of the video.
    pub(crate) fn tick(&self, time: i64, unit: Ratio) -> i64 {
        let start = *self.start.read();
        if self.is_list() && start.is_some_and(|start| time <= start.time) {
            // The first frame is also the one for earlier instants.
            return self.requested.start;
        }
        let until = start.map_or(i64::MAX, |start| start.until);
        self.unlimited_tick(time, unit).min(until)
    }

    /// The same without a maximum number.
    fn unlimited_tick(&self, time: i64, unit: Ratio) -> i64 {
        let Range { start, end } = self.requested;
        self.any_tick(time, unit).clamp(start, end.max(start))
    }

    /// The same, also for instants that are not requested.
    fn any_tick(&self, time: i64, unit: Ratio) -> i64 {
        match &self.rule {
            Rule::Every(interval) => rescale(time, unit, *interval),
            Rule::At(times) => {
                times.partition_point(|us| is_before((*us).into(), 1, time, unit)) as i64
            }
            Rule::Spread { start, length, count } => {
                // The number of instants before `time`, by bisection.
                let (start, length, double) =
                    (i128::from(*start), i128::from(*length), 2 * i128::from(*count));
                let is_before = |tick: i64| {
                    let numerator = start * double + (2 * i128::from(tick) + 1) * length;
                    is_before(numerator, double, time, unit)
                };
                let (mut low, mut high) = (0, *count);
                while low < high {
                    let middle = i64::midpoint(low, high);
                    if is_before(middle) { low = middle + 1 } else { high = middle }
                }
                low
            }
        }
    }

    /// Whether the instant of a tick is so close behind a frame that no other can be between them,
    /// whatever is lost: within the duration of the frame, or within the interval that decides. The
    /// tick is not before that of the frame; `time` and `duration` are its own in units of `unit`.
    pub(crate) fn is_close(&self, tick: i64, time: i64, duration: i64, unit: Ratio) -> bool {
        let end = time.saturating_add(duration.max(0));
        let next = if self.is_list() {
            self.any_tick(time.saturating_add(1), unit)
        } else {
            self.any_tick(time, unit).saturating_add(1)
        };
        tick < next.max(self.any_tick(end, unit))
    }

    /// Number of instants up to `end` that only the maximum number leaves out.
    pub(crate) fn omitted_count(&self, end: i64, unit: Ratio) -> u64 {
        let left_out = self.unlimited_tick(end, unit) - self.tick(end, unit);
        left_out.max(0) as u64
    }

    /// Whether a video that ends at `end` has no frame for any of them, although it is intact.
    pub(crate) fn select_nothing(&self, end: i64, unit: Ratio) -> bool {
        let first = match *self.start.read() {
            _ if self.is_list() => self.requested.start,
            start => self.unlimited_tick(start.map_or(0, |start| start.time), unit),
        };
        !self.include_first_frame() && self.unlimited_tick(end, unit) <= first
    }

    /// First tick after all of them, if their number does not depend on the end of the video.
    pub(crate) fn end(&self) -> Option<i64> {
        let limit = self.max_count.map_or(i64::MAX, |count| self.requested.start + count);
        self.is_list().then(|| self.requested.end.min(limit))
    }

    /// Whether a video without a frame for any of them is represented by its first frame.
    pub(crate) fn include_first_frame(&self) -> bool {
        matches!(self.rule, Rule::Every(_)) && self.requested == (i64::MIN..i64::MAX)
    }

    /// Instant of a tick, in seconds.
    pub(crate) fn instant(&self, tick: i64) -> f64 {
        match &self.rule {
            Rule::Every(interval) => (tick as f64 + 0.5) * interval.as_f64(),
            Rule::At(times) => usize::try_from(tick)
                .ok()
                .and_then(|tick| times.get(tick))
                .map_or(0.0, |us| *us as f64 / 1e6),
            Rule::Spread { start, length, count } => {
                (*start as f64 + (tick as f64 + 0.5) * *length as f64 / *count as f64) / 1e6
            }
        }
    }

    /// Number of frames to expect; `None` if it depends on a duration that is unknown.
    pub(crate) fn expected_count(&self) -> Option<u64> {
        let count = if let Some(end) = self.end() {
            // Later instants have no frame.
            let last = self.duration_us.map_or(end, |us| self.unlimited_tick(us, MICROSECONDS));
            end.min(last) - self.requested.start
        } else {
            let ticks = |us| self.unlimited_tick(us, MICROSECONDS);
            let least = i64::from(self.include_first_frame());
            let count = self.duration_us.map(|us| (ticks(us) - ticks(0)).max(least))?;
            self.max_count.map_or(count, |max| max.min(count))
        };
        Some(count as u64)
    }

    /// Whether they depend on the end of the video.
    pub(crate) fn depend_on_end(&self) -> bool {
        matches!(self.rule, Rule::Spread { .. })
    }

    /// First tick that exceeds the maximum number in a video whose first one is `first`.
    pub(crate) fn limit(&self, first: i64) -> i64 {
        self.max_count.map_or(i64::MAX, |count| first.saturating_add(count))
    }

    /// Whether there is a list of instants, whatever frames the video has.
    pub(crate) fn is_list(&self) -> bool {
        !matches!(self.rule, Rule::Every(_))
    }
}

/// Whether `numerator / denominator` microseconds are before `time`, in units of `unit`.
fn is_before(numerator: i128, denominator: i128, time: i64, unit: Ratio) -> bool {
    let microseconds = i128::from(time) * i128::from(unit.num) * 1_000_000;
    numerator.saturating_mul(unit.den.into()) < microseconds.saturating_mul(denominator)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECONDS: Ratio = Ratio::new(1, 1);
    const MILLISECONDS: Ratio = Ratio::new(1, 1000);

    fn interval(text: &str) -> Interval {
        text.parse().expect("an interval")
    }

    fn part(from: Option<&str>, to: Option<&str>) -> Part {
        let [from, to] = [from, to].map(|text| text.map(|text| text.parse().expect("a time")));
        Part::new(from, to).expect("it ends later")
    }

    fn times(list: &[&str]) -> Times {
        let list: Vec<_> = list.iter().map(|text| text.parse().expect("a time")).collect();
        list.try_into().expect("few times")
    }

    proptest! {
        #[test]
        fn the_tick_of_a_time_is_that_of_the_first_instant_after_it(
            time in 0..1_i64 << 40,
            unit in 1..1_000_000_i64,
            num in 1..86_400_u32,
            den in 1..1_000_u32,
        ) {
            let every = interval(&format!("{num}/{den}"));
            let instants = Instants::every(every, Part::default(), None);
            let tick = instants.tick(time, Ratio::new(1, unit));
            // (n + 1/2) * num / den > time / unit, multiplied by the denominators.
            let is_after = |n: i64| {
                (2 * i128::from(n) + 1) * i128::from(num) * i128::from(unit)
                    > 2 * i128::from(time) * i128::from(den)
            };
            prop_assert!(is_after(tick) && !is_after(tick - 1));
        }

        #[test]
        fn a_part_has_the_instants_that_lie_in_it(
            num in 1..50_u32,
            den in 1..20_u32,
            from in 0..100_u32,
            length in 1..100_u32,
        ) {
            let every = interval(&format!("{num}/{den}"));
            let to = from + length;
            let chosen = part(Some(&from.to_string()), Some(&to.to_string()));
            let instants = Instants::every(every, chosen, None);
            let range = instants.tick(-1_000, SECONDS)..instants.tick(1_000_000, SECONDS);
            let lies_in = |tick: &i64| {
                let double = (2 * tick + 1) * i64::from(num);
                double >= 2 * i64::from(from) * i64::from(den)
                    && double < 2 * i64::from(to) * i64::from(den)
            };
            let expected: Vec<i64> = (-10..4_010).filter(lies_in).collect();
            prop_assert_eq!(range.collect::<Vec<_>>(), expected);
        }

        #[test]
        fn spread_instants_are_the_middles_of_equal_parts(
            count in 1..300_u32,
            ms in 1..100_000_i64,
            time in 0..100_000_i64,
        ) {
            let instants = Instants::spread(count, Part::default(), Some(ms * 1000));
            let before = (0..i64::from(count))
                .filter(|i| (2 * i + 1) * ms < time * 2 * i64::from(count))
                .count();
            prop_assert_eq!(instants.tick(time, MILLISECONDS), before as i64);
            prop_assert_eq!(instants.expected_count(), Some(count.into()));
        }
    }

    #[test]
    fn listed_times_select_the_frame_on_screen() {
        let instants = Instants::at(&times(&["0", "1", "2.5", "9"]), Part::default(), None);
        instants.start_at(400, MILLISECONDS);
        // Frames at 0.4, 1.0, 2.0 and 3.0 seconds; the end is 4.
        let ticks = [400, 1_000, 2_000, 3_000, 4_000].map(|ms| instants.tick(ms, MILLISECONDS));
        assert_eq!(ticks, [0, 1, 2, 3, 3]);
        assert_eq!((instants.end(), instants.expected_count()), (Some(4), Some(4)));
        let instant = |instants: &Instants, tick| format!("{}", instants.instant(tick));
        assert_eq!([0, 2].map(|tick| instant(&instants, tick)), ["0", "2.5"]);
        let late = Instants::at(&times(&["0", "1", "2"]), part(Some("1"), Some("2")), None);
        assert_eq!((late.end(), instant(&late, 0).as_str()), (Some(1), "1"));
    }

    #[test]
    fn large_counts_of_late_parts_do_not_overflow() {
        let late = part(Some("23:59:58"), None);
        let instants = Instants::spread(u32::MAX, late, Some(86_400_000_000));
        assert_eq!(instants.tick(0, SECONDS), 0);
        assert_eq!(instants.tick(86_399, SECONDS), i64::from(u32::MAX / 2));
        assert_eq!(instants.tick(90_000, SECONDS), i64::from(u32::MAX));
    }

    #[test]
    fn only_instants_close_behind_a_frame_are_certain() {
        let listed = Instants::at(&times(&["1", "1.5", "9"]), Part::default(), None);
        let close = |tick| listed.is_close(tick, 1_000, 600, MILLISECONDS);
        assert_eq!([0, 1, 2].map(close), [true, true, false]);
        assert!(listed.is_close(0, 1_000, 0, MILLISECONDS));
        let every = Instants::every(Interval::ONE_SECOND, part(Some("9"), None), None);
        assert!(every.is_close(9, 9_400, 40, MILLISECONDS));
        assert!(!every.is_close(9, 6_000, 40, MILLISECONDS));
    }

    #[test]
    fn at_most_the_first_ones_are_selected() {
        let instants = Instants::every(Interval::ONE_SECOND, Part::default(), Some(9_000_000));
        let instants = instants.at_most(Some(3));
        instants.start_at(2_000, MILLISECONDS);
        let ticks = [2, 3, 5, 9].map(|seconds| instants.tick(seconds, SECONDS));
        assert_eq!(ticks, [2, 3, 5, 5]);
        assert_eq!(instants.omitted_count(9, SECONDS), 4);
        assert_eq!(instants.expected_count(), Some(3));
    }

    #[test]
    fn the_expected_count_is_that_of_the_instants_before_the_end() {
        let count =
            |us| Instants::every(Interval::ONE_SECOND, Part::default(), us).expected_count();
        assert_eq!(
            [0, 400_000, 1_499_999, 1_500_000].map(|us| count(Some(us))),
            [1, 1, 1, 2].map(Some)
        );
        assert_eq!(count(None), None);
    }
}
