//! Context of a video's stream: everything that stays the same for all of its spans.

use jobs::Ratio;

use crate::av::StreamInfo;
use crate::limits::{Limits, Stop};
use crate::select::FrameSelector;
use crate::timing::Timing;

/// Properties of the stream and options of its extraction.
pub(crate) struct StreamContext<'a> {
    pub info: &'a StreamInfo,
    pub selector: &'a dyn FrameSelector,
    pub limits: &'a Limits,
    pub stop: &'a Stop,
    pub timing: &'a Timing,
}

impl StreamContext<'_> {
    /// Unit of the timestamps, in seconds.
    pub(crate) fn time_base(&self) -> Ratio {
        self.info.source.time_base
    }

    /// Tick of a timestamp in units of the time base, from the start of the video. `None` if the
    /// selection is by content.
    pub(crate) fn tick(&self, time: i64) -> Option<i64> {
        Some(self.selector.instants()?.tick(time, self.info.source.time_base))
    }
}
