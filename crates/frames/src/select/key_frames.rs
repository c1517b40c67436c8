//! Selection of key frames.

use crate::error::Error;

use super::frame_selector::{
    DecodedFrame, FrameSelector, LastSelection, Selected, SelectionPass, SpanEnd, SpanStart,
};
use super::time_range::TimeRange;

/// Selector of the key frames in a part of a video. Decoders output only these.
pub(super) struct KeyFrames {
    pub range: TimeRange,
}

impl FrameSelector for KeyFrames {
    fn key_frames(&self) -> Option<&TimeRange> {
        Some(&self.range)
    }

    fn start(&self, SpanStart { from, .. }: SpanStart) -> Box<dyn SelectionPass + '_> {
        Box::new(KeyFramesPass { range: &self.range, next: from.unwrap_or(0) })
    }

    fn expected_count(&self) -> Option<u64> {
        None
    }
}

struct KeyFramesPass<'a> {
    range: &'a TimeRange,
    next: i64,
}

impl SelectionPass for KeyFramesPass<'_> {
    fn next_tick(&self) -> Option<i64> {
        Some(self.next)
    }

    fn push(&mut self, frame: DecodedFrame) -> Result<Option<Selected<DecodedFrame>>, Error> {
        if !self.range.contains(frame.time) {
            return Ok(None);
        }
        self.next += 1;
        Ok(Some(Selected::by_content(frame, self.next - 1, None)))
    }

    fn finish(&mut self, _: SpanEnd) -> LastSelection {
        LastSelection { selected: None, until: Some(self.next) }
    }
}
