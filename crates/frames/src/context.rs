//! Context of a video's stream: everything that stays the same for all of its spans.

use crate::av::StreamInfo;
use crate::limits::{Limits, Stop};
use crate::select::FrameSelector;
use crate::time::{MICROSECONDS, rescale};
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
    /// Tick of a timestamp in units of the time base, from the start of the video. `None` if the
    /// selection is by content.
    pub(crate) fn tick(&self, time: i64) -> Option<i64> {
        Some(self.selector.instants()?.tick(time, self.info.source.time_base))
    }

    /// End of a video whose last frame has this timestamp and duration, in units of the time base.
    ///
    /// The ffmpeg command converts through microseconds (FFmpeg 5.1, fftools/ffmpeg.c,
    /// `process_input_packet` and `send_filter_eof`), which decides whether 10.5 seconds have ten
    /// frames or eleven.
    pub(crate) fn end(&self, time: i64, duration: i64) -> i64 {
        let base = self.info.source.time_base;
        let duration_us = if duration > 0 {
            rescale(duration, base, MICROSECONDS)
        } else {
            self.info.source.frame_rate.map_or(0, |rate| 1_000_000 * rate.den / rate.num.max(1))
        };
        let end_us = rescale(time, base, MICROSECONDS).saturating_add(duration_us);
        rescale(end_us, MICROSECONDS, base)
    }
}
