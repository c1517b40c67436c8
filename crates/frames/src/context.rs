//! Context of a video's stream: everything that stays the same for all of its spans.

use jobs::Ratio;

use crate::av::StreamInfo;
use crate::limits::{Limits, Stop};
use crate::select::{FrameSelector, Instants};
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

    /// End of a video whose last frame has this timestamp and duration, in units of the time base:
    /// that of the ffmpeg command, except for listed instants, which select what is on screen.
    pub(crate) fn end(&self, time: i64, duration: i64) -> i64 {
        end(self.info, self.selector, time, duration)
    }

    /// Tick of a timestamp in units of the time base, from the start of the video. `None` if the
    /// selection is by content.
    pub(crate) fn tick(&self, time: i64) -> Option<i64> {
        Some(self.selector.instants()?.tick(time, self.info.source.time_base))
    }
}

/// The same without a context.
pub(crate) fn end(
    info: &StreamInfo,
    selector: &dyn FrameSelector,
    time: i64,
    duration: i64,
) -> i64 {
    if selector.instants().is_some_and(Instants::is_list) {
        info.display_end(time, duration)
    } else {
        info.end(time, duration)
    }
}
