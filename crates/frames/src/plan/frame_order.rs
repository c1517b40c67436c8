//! Check of the order of frames, before they are decoded.

use crate::bitstream::Entry;

use super::chunk::PacketInfo;

/// Maximum number of frames that precede a frame in decoding order and follow it in presentation
/// order: the 16 frames of the largest decoded picture buffer (ITU-T H.264, A.3.1; H.265, A.4.2),
/// each in two field packets.
pub(crate) const MAX_REORDER: usize = 32;

/// Checks that the frames of a stream have the order that their timestamps state.
pub(super) struct FrameOrder {
    /// Number of frames by which the decoder delays its output at first.
    reorder_delay: usize,
    /// Whether the current span starts at an entry. If not, nothing is expected of its frames.
    certain: bool,
    /// Whether a timestamp contradicted the frames.
    contradicted: bool,
    /// Latest timestamp of the spans before the current one.
    last_before: Option<i64>,
    /// Latest frames of the current span, at most [`MAX_REORDER`], by ascending timestamp.
    latest: Vec<OrderedFrame>,
}

/// Frame with its place in presentation order.
struct OrderedFrame {
    /// Timestamp in units of the stream's time base, from the start of the video.
    time: i64,
    /// [`Role::order`](crate::bitstream::Role::order).
    order: Option<i64>,
}

impl FrameOrder {
    pub(super) fn new(reorder_delay: usize) -> Self {
        Self {
            reorder_delay,
            certain: false,
            contradicted: false,
            last_before: None,
            latest: Vec::new(),
        }
    }

    pub(super) fn end_span(&mut self) {
        self.last_before = self.last_before.max(self.latest.last().map(|last| last.time));
    }

    /// End a span behind which packets are left out, so that no order continues.
    pub(super) fn cut(&mut self) {
        self.end_span();
        self.latest.clear();
    }

    /// Start a span at a packet with this role.
    pub(super) fn start_span(&mut self, entry: Entry) {
        self.certain = entry != Entry::None;
        // The order continues at an open entry.
        let kept = usize::from(entry == Entry::Open).min(self.latest.len());
        self.latest.drain(..self.latest.len() - kept);
    }

    /// Whether the order of the current span's frames can be relied on as long as
    /// [`FrameOrder::follows`] is true.
    pub(super) fn is_certain(&self) -> bool {
        self.certain
    }

    /// Whether the frame of the next packet follows the earlier ones as a decoder of the span
    /// expects.
    pub(super) fn follows(&mut self, info: &PacketInfo) -> bool {
        if !info.is_displayed() {
            return true;
        }
        let Some(time) = info.time else { return !self.certain };
        let order = info.role.order;
        let position = self.latest.partition_point(|latest| latest.time < time);
        let before = position.checked_sub(1).and_then(|before| self.latest[before].order);
        let after = self.latest.get(position);
        let is_unique = after.is_none_or(|after| after.time > time);
        let is_in_order = order.is_none_or(|order| {
            before.is_none_or(|before| before < order)
                && after.and_then(|after| after.order).is_none_or(|after| order < after)
        });
        let overtaken = self.latest.len() - position;
        self.latest.insert(position, OrderedFrame { time, order });
        if self.latest.len() > MAX_REORDER {
            self.latest.remove(0);
        }
        let is_reordered_too_far = info.role.learns_delay && overtaken > self.reorder_delay;
        let is_expected =
            is_unique && is_in_order && self.last_before < Some(time) && !is_reordered_too_far;
        let follows = is_expected || !self.certain;
        self.contradicted |= !follows;
        follows
    }

    /// Whether a timestamp contradicted the frames.
    pub(super) fn is_contradicted(&self) -> bool {
        self.contradicted
    }
}
