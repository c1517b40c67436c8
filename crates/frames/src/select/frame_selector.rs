//! Interface of the selections.

use std::ops::Range;

use crate::av::Frame;

use super::instants::Instants;

/// Rule by which the frames of one video are selected.
///
/// Selected frames are identified by *ticks*. By time, the tick of a frame is the index of the
/// instant that it is selected for. By content, it is the number of frames that were selected
/// before.
pub(crate) trait FrameSelector: Send + Sync {
    /// Requested instants, from which it is planned which packets are decoded. `None` if the
    /// content of the frames decides: then one pass decodes all packets in order.
    fn instants(&self) -> Option<&Instants>;

    /// Start to select from the frames of a span.
    fn start(&self, start: SpanStart) -> Box<dyn SelectionPass + '_>;

    /// Number of frames to expect, if that is known in advance.
    fn expected_count(&self) -> Option<u64> {
        self.instants()?.expected_count()
    }
}

/// Selection from the frames of one span, which arrive in presentation order.
pub(crate) trait SelectionPass {
    /// First tick without a frame; `None` before the first frame.
    fn next_tick(&self) -> Option<i64>;

    /// Add the next frame. Return the frame that is selected thereby, if any.
    fn push(&mut self, frame: DecodedFrame) -> Option<Selected<DecodedFrame>>;

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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selected<F> {
    pub frame: F,
    /// Tick for which the frame is selected whatever frames follow it.
    pub own_tick: i64,
    /// Ticks for which the frame is selected.
    pub ticks: Range<i64>,
}

/// Start of a span. Without [`FrameSelector::instants`] the whole video is one span.
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
}

/// Result of [`SelectionPass::finish`].
pub(crate) struct LastSelection {
    pub selected: Option<Selected<DecodedFrame>>,
    /// First tick after the span, if known.
    pub until: Option<i64>,
}
