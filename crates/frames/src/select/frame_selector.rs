//! Interface of the selections.

use std::ops::Range;

use crate::av::Frame;
use crate::error::Error;

use super::instants::Instants;
use super::time_range::TimeRange;

/// Rule by which the frames of one video are selected.
///
/// Selected frames are identified by *ticks*. By time, the tick of a frame is the index of the
/// instant that it is selected for. By content, it is the number of frames that were selected
/// before.
pub(crate) trait FrameSelector: Send + Sync {
    /// Requested instants, from which it is planned which packets are decoded. `None` if the
    /// content of the frames decides: then one pass decodes all packets in order, except for
    /// [`FrameSelector::key_frames`].
    fn instants(&self) -> Option<&Instants> {
        None
    }

    /// Part of the video with the key frames to select, if these are selected. Then only key frames
    /// are decoded, each by itself.
    fn key_frames(&self) -> Option<&TimeRange> {
        None
    }

    /// Start to select from the frames of a span.
    fn start(&self, start: SpanStart) -> Box<dyn SelectionPass + '_>;

    /// Number of frames to expect, if that is known in advance.
    fn expected_count(&self) -> Option<u64>;
}

/// Selection from the frames of one span, which arrive in presentation order.
pub(crate) trait SelectionPass {
    /// First tick without a frame; `None` before the first frame.
    fn next_tick(&self) -> Option<i64>;

    /// Add the next frame. Return the frame that is selected thereby, if any.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    fn push(&mut self, frame: DecodedFrame) -> Result<Option<Selected<DecodedFrame>>, Error>;

    /// End the span. Return the frame that is selected thereby, if any.
    fn finish(&mut self, end: SpanEnd) -> LastSelection;
}

/// Decoded frame that may be selected.
pub(crate) struct DecodedFrame {
    pub frame: Frame,
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// Whether the decoder reported errors in the frame, or in one that it may refer to.
    pub has_errors: bool,
}

impl DecodedFrame {
    /// Another reference to the same pixels; `None` if memory runs out.
    pub(crate) fn share(&self) -> Option<Self> {
        Some(Self { frame: self.frame.share()?, ..*self })
    }
}

/// Selected frame.
#[derive(Debug, PartialEq)]
pub(crate) struct Selected<F> {
    pub frame: F,
    /// Tick for which the frame is selected whatever frames follow it.
    pub own_tick: i64,
    /// Ticks for which the frame is selected.
    pub ticks: Range<i64>,
    /// Measure of its content that decided.
    pub measure: Option<Measure>,
}

impl<F> Selected<F> {
    /// Frame that its content selects, for one tick.
    pub(crate) fn by_content(frame: F, tick: i64, measure: Option<Measure>) -> Self {
        Self { frame, own_tick: tick, ticks: tick..tick + 1, measure }
    }
}

/// Measure of a frame's content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    SceneScore(f64),
    Sharpness(f64),
}

/// Start of a span. Without [`FrameSelector::instants`] the whole video is one span, unless key
/// frames are selected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanStart {
    /// First tick of the span; `None` if it is that of the first frame.
    pub from: Option<i64>,
    /// Whether the video starts with the span.
    pub is_first: bool,
}

/// End of a span. Times are in units of the stream's time base, from the start of the video.
pub(crate) struct SpanEnd {
    /// Timestamp of the first frame after the span, or end of the video, if known from packets.
    pub until: Option<i64>,
    /// End of the last frame of the span, if it has one.
    pub last_frame_end: Option<i64>,
    /// Whether the first frame of the span is selected if no other is: an archive is never empty.
    pub select_first: bool,
    /// Whether the video ends with the span. Then its frames may end later than its packets.
    pub ends_video: bool,
}

/// Result of [`SelectionPass::finish`].
#[derive(Default)]
pub(crate) struct LastSelection {
    pub selected: Option<Selected<DecodedFrame>>,
    /// First tick after the span, if known.
    pub until: Option<i64>,
}
