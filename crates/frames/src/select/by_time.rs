//! Selection by time: for each requested instant, the last frame before it.

use jobs::Ratio;

use crate::error::Error;

use super::frame_selector::{
    DecodedFrame, FrameSelector, LastSelection, Selected, SelectionPass, SpanEnd, SpanStart,
};
use super::instants::Instants;
use super::tick_selector::TickSelector;

/// Selector of the last frame before each instant.
pub(super) struct ByTime {
    pub instants: Instants,
    /// Unit of the frames' timestamps, in seconds.
    pub time_base: Ratio,
}

impl FrameSelector for ByTime {
    fn instants(&self) -> Option<&Instants> {
        Some(&self.instants)
    }

    fn expected_count(&self) -> Option<u64> {
        self.instants.expected_count()
    }

    fn start(&self, start: SpanStart) -> Box<dyn SelectionPass + '_> {
        let ticks = TickSelector::new(start.from);
        Box::new(ByTimePass { selection: self, start, ticks, first: None })
    }
}

struct ByTimePass<'a> {
    selection: &'a ByTime,
    start: SpanStart,
    ticks: TickSelector<DecodedFrame>,
    /// First frame of the span, until a frame is selected.
    first: Option<DecodedFrame>,
}

impl ByTimePass<'_> {
    fn tick(&self, time: i64) -> i64 {
        self.selection.instants.tick(time, self.selection.time_base)
    }
}

impl SelectionPass for ByTimePass<'_> {
    fn next_tick(&self) -> Option<i64> {
        self.ticks.next()
    }

    fn push(&mut self, frame: DecodedFrame) -> Result<Option<Selected<DecodedFrame>>, Error> {
        if self.ticks.is_empty() {
            if self.start.is_first && self.ticks.next().is_none() {
                self.selection.instants.start_at(frame.time, self.selection.time_base);
            }
            self.first = frame.share();
        }
        let selected = self.ticks.push(self.tick(frame.time), frame);
        if selected.is_some() {
            self.first = None;
        }
        Ok(selected)
    }

    fn finish(&mut self, end: SpanEnd) -> LastSelection {
        let until = end.until.filter(|_| !end.ends_video).or(end.last_frame_end);
        let Some(time) = until.max(end.until) else {
            return LastSelection::default();
        };
        let until = self.tick(time);
        let first = self.first.take();
        if let Some(selected) = self.ticks.finish(until) {
            return LastSelection { selected: Some(selected), until: Some(until) };
        }
        if let Some(frame) = first.filter(|_| self.selection.instants.include_first_frame()) {
            let own_tick = self.tick(frame.time);
            if end.select_first || (end.until.is_none() && until <= own_tick) {
                let ticks = own_tick..own_tick.saturating_add(1);
                let until = Some(ticks.end);
                return LastSelection {
                    selected: Some(Selected { frame, own_tick, ticks, measure: None }),
                    until,
                };
            }
        }
        LastSelection { selected: None, until: Some(until) }
    }
}

#[cfg(test)]
mod tests {
    use jobs::recipe::{Interval, Part};
    use proptest::prelude::*;

    use crate::av::{Frame, PixelFormat};

    use super::*;

    /// Times of the frames that are selected, for each tick, and the first tick after the video.
    fn select(times: &[i64], end: SpanEnd) -> (Vec<(i64, i64)>, Option<i64>) {
        let instants = Instants::every(Interval::ONE_SECOND, Part::default(), None);
        let time_base = Ratio::new(1, 10);
        let selector = ByTime { instants, time_base };
        let mut pass = selector.start(SpanStart { from: None, is_first: true });
        let mut selected = Vec::new();
        for time in times {
            let frame = Frame::blank(PixelFormat::AV_PIX_FMT_GRAY8, 1, 1).expect("memory suffices");
            let frame = DecodedFrame { frame, time: *time, has_errors: false };
            selected.extend(pass.push(frame).expect("memory suffices"));
        }
        let LastSelection { selected: last, until } = pass.finish(end);
        selected.extend(last);
        let pairs = |Selected { frame, ticks, .. }: Selected<DecodedFrame>| {
            ticks.map(move |tick| (tick, frame.time))
        };
        (selected.into_iter().flat_map(pairs).collect(), until)
    }

    proptest! {
        /// The frames of a video, or of a span of it, whose end is known.
        #[test]
        fn each_tick_up_to_the_end_has_one_frame(
            first in 0..30_i64,
            gaps in prop::collection::vec(1..25_i64, 0..20),
            last_duration in 0..30_i64,
            end_is_known: bool,
        ) {
            let times: Vec<i64> = [first]
                .iter()
                .chain(&gaps)
                .scan(0, |time, gap| {
                    *time += gap;
                    Some(*time)
                })
                .collect();
            let end = times[times.len() - 1] + last_duration;
            let (until, last_frame_end) =
                if end_is_known { (Some(end), None) } else { (None, Some(end)) };
            let select_first = !end_is_known;
            let end = SpanEnd { until, last_frame_end, select_first, ends_video: false };
            let (selected, until) = select(&times, end);
            let first_tick = selected.first().map(|(tick, _)| *tick);
            prop_assert!(first_tick.is_some() || end_is_known, "a video has a frame");
            let Some(first_tick) = first_tick else { return Ok(()) };
            let ticks: Vec<i64> = selected.iter().map(|(tick, _)| *tick).collect();
            let until = until.expect("the end is known");
            prop_assert_eq!(ticks, (first_tick..until).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_span_between_two_instants_has_no_frame() {
        let end = SpanEnd {
            until: Some(14),
            last_frame_end: Some(10),
            select_first: false,
            ends_video: false,
        };
        assert_eq!(select(&[6, 8], end), (Vec::new(), Some(1)));
    }

    #[test]
    fn the_first_frame_of_a_short_video_is_selected() {
        let end = SpanEnd {
            until: None,
            last_frame_end: Some(3),
            select_first: false,
            ends_video: false,
        };
        assert_eq!(select(&[0, 2], end), (vec![(0, 0)], Some(1)));
        let end =
            SpanEnd { until: Some(3), last_frame_end: None, select_first: true, ends_video: false };
        assert_eq!(select(&[0, 2], end), (vec![(0, 0)], Some(1)));
    }
}
