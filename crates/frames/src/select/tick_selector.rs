//! Selection by time from frames in presentation order.

use super::frame_selector::Selected;

/// Assigns ticks to frames that arrive in presentation order.
///
/// Equivalent to the fps filter (FFmpeg, libavfilter/vf_fps.c): a frame is selected for every
/// instant before its successor.
#[derive(Debug)]
pub(crate) struct TickSelector<F> {
    next: Option<i64>,
    held: Option<Held<F>>,
}

/// Frame whose successor is not known yet.
#[derive(Debug)]
struct Held<F> {
    frame: F,
    tick: i64,
}

impl<F> TickSelector<F> {
    /// Start at tick `from`, or at that of the first frame.
    pub(crate) fn new(from: Option<i64>) -> Self {
        Self { next: from, held: None }
    }

    /// First tick without a frame; `None` before the first frame.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Whether no frame was added yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_none()
    }

    /// Add the next frame, whose timestamp has this tick. Return its predecessor if it is selected
    /// for any ticks.
    pub(crate) fn push(&mut self, tick: i64, frame: F) -> Option<Selected<F>> {
        let next = *self.next.get_or_insert(tick);
        let previous = self.held.replace(Held { frame, tick });
        if tick <= next {
            return None;
        }
        self.next = Some(tick);
        previous.map(|Held { frame, tick: own_tick }| Selected {
            frame,
            own_tick,
            ticks: next..tick,
            measure: None,
        })
    }

    /// End the frames at tick `until`. Return the last frame if it is selected for any ticks.
    pub(crate) fn finish(&mut self, until: i64) -> Option<Selected<F>> {
        let next = self.next?;
        self.next = Some(next.max(until));
        let Held { frame, tick } = self.held.take()?;
        let selected = Selected { frame, own_tick: tick, ticks: next..until, measure: None };
        (until > next).then_some(selected)
    }
}

#[cfg(test)]
mod tests {
    use jobs::Ratio;
    use jobs::recipe::{Interval, Part};
    use proptest::prelude::*;

    use super::super::instants::Instants;
    use super::*;

    const MILLISECONDS: Ratio = Ratio::new(1, 1000);

    fn tick(ms: i64) -> i64 {
        Instants::every(Interval::ONE_SECOND, Part::default(), None).tick(ms, MILLISECONDS)
    }

    /// The rule as documented: for each tick n from that of the first frame to the end, the last
    /// frame with p < n + 1/2. Frames are named by their position.
    fn expected(times: &[i64], end: i64) -> Vec<(i64, usize)> {
        let frame = |n: i64| {
            times.iter().rposition(|p| *p < n * 1000 + 500).expect("the first frame is earlier")
        };
        (tick(times[0])..tick(end)).map(|n| (n, frame(n))).collect()
    }

    fn selected(times: &[i64], end: i64) -> Vec<(i64, usize)> {
        let mut selector = TickSelector::new(None);
        let mut frames = Vec::new();
        for (i, p) in times.iter().enumerate() {
            if let Some(Selected { frame, ticks, .. }) = selector.push(tick(*p), i) {
                frames.extend(ticks.map(|n| (n, frame)));
            }
        }
        if let Some(Selected { frame, ticks, .. }) = selector.finish(tick(end)) {
            frames.extend(ticks.map(|n| (n, frame)));
        }
        frames
    }

    /// Time from one frame to the next, in milliseconds: that of 30 and 25 frames per second, short
    /// ones, and gaps of seconds.
    fn gap() -> impl Strategy<Value = i64> {
        prop_oneof![Just(33), Just(40), 1..=20_i64, 250..4_250_i64]
    }

    proptest! {
        #[test]
        fn selects_the_last_frame_before_each_instant(
            first in 0..7_000_i64,
            gaps in prop::collection::vec(gap(), 0..60),
            last_duration in 1..=90_i64,
        ) {
            let mut times = vec![first];
            times.extend(gaps.iter().scan(first, |time, gap| {
                *time += gap;
                Some(*time)
            }));
            let end = times[times.len() - 1] + last_duration;
            prop_assert_eq!(selected(&times, end), expected(&times, end));
        }
    }

    #[test]
    fn half_a_second_at_the_end_adds_a_frame() {
        let times = |count: i64| (0..count).map(|i| i * 1000 / 30).collect::<Vec<_>>();
        assert_eq!(selected(&times(314), 10_466).len(), 10);
        assert_eq!(selected(&times(315), 10_500).len(), 11);
    }
}
