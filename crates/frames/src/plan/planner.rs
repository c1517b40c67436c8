//! Planner: cuts a stream into spans.

use jobs::Ratio;

use crate::bitstream::Entry;
use crate::select::{Instants, TimeRange};

use super::chunk::{
    Chunk, ClassifiedPacket, Continuation, LastFrame, PacketInfo, Plan, PlannedPacket,
    ascending_times, needed,
};
use super::frame_order::FrameOrder;
use super::key_frames::{KeyFrames, Unpredictable};
use super::long_span::LongSpan;
use super::wanted::Timeline;

/// Maximum number of packets of a span that is held as a whole. Longer spans are decoded while they
/// are read.
pub(super) const MAX_PACKETS: usize = 1_000;
/// Maximum size of a span that is held as a whole, in bytes.
const MAX_BYTES: usize = 24 << 20;

/// Planner of a stream. It receives packets in decoding order and returns plans in the order of the
/// video.
///
/// It relies on the timestamps of the packets: they have to be unique and to agree with the order
/// that the coded data state, each span has to follow the one before it, and frames must not be
/// reordered further than the decoder knows. What a decoder
/// makes of any other stream depends on everything that it has decoded before, so such a stream has
/// to be decoded as a whole, in order. See [`Planner::is_predictable`].
pub(crate) struct Planner<'a, P> {
    /// Requested instants. Without them, the stream is one span of which all packets are kept.
    timeline: Option<Timeline<'a>>,
    /// Plan of the key frames, if these are selected. Then nothing else is planned.
    key_frames: Option<KeyFrames<'a>>,
    order: FrameOrder,
    predictable: bool,
    /// Whether there were packets that are not part of the current span, or are planned.
    started: bool,
    /// Number of spans that were planned.
    planned_spans: u64,
    /// Complete span whose successor's first timestamp is not known yet.
    closed: Option<Vec<ClassifiedPacket<P>>>,
    /// Frames that follow an open entry and precede it in time: they depend on the span before.
    leading: Vec<ClassifiedPacket<P>>,
    current: Vec<ClassifiedPacket<P>>,
    current_bytes: usize,
    long: Option<LongSpan<'a, P>>,
    gap: Gap,
    /// First span, as long as nothing was wanted.
    first: Option<Vec<ClassifiedPacket<P>>>,
    nothing_wanted: bool,
    ready: Vec<Plan<P>>,
}

/// Place of the latest gap between packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Elsewhere,
    BeforeNext,
    /// Before the open entry with this timestamp. Its leading frames, which are read next, depend
    /// on what was not read.
    BeforeLeading(i64),
}

impl<'a, P: Clone> Planner<'a, P> {
    /// Plan a stream for these instants, or decode all of it in order. `reorder_delay` is the
    /// number of frames by which the decoder delays its output at first.
    pub(crate) fn new(
        instants: Option<&'a Instants>,
        time_base: Ratio,
        reorder_delay: usize,
    ) -> Self {
        Self {
            timeline: instants.map(|instants| Timeline { instants, time_base }),
            key_frames: None,
            order: FrameOrder::new(reorder_delay),
            predictable: true,
            started: false,
            planned_spans: 0,
            closed: None,
            leading: Vec::new(),
            current: Vec::new(),
            current_bytes: 0,
            long: None,
            gap: Gap::Elsewhere,
            first: None,
            nothing_wanted: true,
            ready: Vec::new(),
        }
    }

    /// Plan to decode each key frame in `range` by itself.
    pub(crate) fn of_key_frames(range: &'a TimeRange, time_base: Ratio) -> Self {
        Self { key_frames: Some(KeyFrames::new(range)), ..Self::new(None, time_base, 0) }
    }

    /// Add the next packet. [`Planner::take_plans`] returns the plans that it completes.
    pub(crate) fn push(&mut self, packet: P, info: PacketInfo) {
        if let Some(key_frames) = &mut self.key_frames {
            match key_frames.plan(packet, &info) {
                Ok(plan) => self.ready.extend(plan),
                Err(Unpredictable) => self.predictable = false,
            }
            return;
        }
        if self.starts_span(&info) {
            self.started = true;
            self.finish_closed();
            if let Some(mut long) = self.long.take() {
                if !long.is_certain() {
                    long.push(ClassifiedPacket { packet: packet.clone(), info });
                }
                self.end_long(long, info.time);
            } else {
                self.closed = Some(std::mem::take(&mut self.current));
            }
            self.current_bytes = 0;
            self.order.end_span();
        }
        let is_first = self.current.is_empty() && self.long.is_none();
        if is_first {
            self.order.start_span(info.role.entry);
        }
        if self.timeline.is_some() && !self.order.follows(&info) {
            self.give_up();
        }
        if self.is_leading_after_gap(&info) {
            return;
        }
        if let Some(long) = &mut self.long {
            long.push(ClassifiedPacket { packet, info });
            let was_certain = long.is_certain();
            if let Some(chunk) = long.next_chunk() {
                self.predictable &= chunk.certain || !was_certain;
                self.ready.push(Plan::Continue(Continuation { chunk, is_last: false }));
            }
            return;
        }
        self.current_bytes += info.size;
        // Leading frames directly follow their entry and precede it in time. The first frame that
        // is later in time ends them.
        if self.closed.is_some()
            && let Some(ClassifiedPacket { info: entry, .. }) = self.current.first()
        {
            if info.displayed_time() > entry.displayed_time() {
                self.finish_closed();
            } else if entry.role.entry == Entry::Open && info.displayed_time().is_some() {
                self.leading.push(ClassifiedPacket { packet, info });
                return;
            }
        }
        self.current.push(ClassifiedPacket { packet, info });
        let is_long = self.current.len() > MAX_PACKETS || self.current_bytes > MAX_BYTES;
        if is_long || self.timeline.is_none() {
            self.finish_closed();
            self.begin_long();
        }
    }

    /// Whether the packets so far can be decoded in spans. If not, the stream has to be decoded
    /// again, as a whole.
    pub(crate) fn is_predictable(&self) -> bool {
        self.predictable
    }

    /// Whether the stream is decoded as a whole because its timestamps contradict the frames.
    pub(crate) fn is_contradictory(&self) -> bool {
        self.order.is_contradicted()
    }

    /// Decode the stream as a whole: from here on if nothing is planned yet, else from its start.
    fn give_up(&mut self) {
        if self.started {
            self.predictable = false;
        } else {
            self.timeline = None;
        }
    }

    fn starts_span(&self, info: &PacketInfo) -> bool {
        if self.timeline.is_none() || info.displayed_time().is_none() {
            return false;
        }
        match info.role.entry {
            Entry::None => false,
            Entry::Clean => self.long.is_some() || !self.current.is_empty(),
            // The leading frames of an open entry belong to the span before, but the end of a long
            // span may already be in a chunk.
            Entry::Open => self.long.is_none() && !self.current.is_empty(),
        }
    }

    /// Leave out the packets from here on up to an entry, which is added next. `at` is the
    /// timestamp of a frame that was added. All frames before it are known, and of those from there
    /// on up to that entry none is wanted.
    pub(crate) fn cut(&mut self, at: i64) {
        self.finish_closed_before(at);
        if let Some(mut long) = self.long.take() {
            long.cut(at);
            self.end_long(long, Some(at));
        } else if !self.current.is_empty() {
            let span = std::mem::take(&mut self.current);
            self.plan_before(span, at);
        }
        self.current_bytes = 0;
        self.order.cut();
        self.started = true;
        self.gap = Gap::BeforeNext;
    }

    /// Whether a packet is a leading frame of the entry behind a gap.
    fn is_leading_after_gap(&mut self, info: &PacketInfo) -> bool {
        match (self.gap, info.time) {
            (Gap::BeforeNext, Some(time)) if info.role.entry == Entry::Open => {
                self.gap = Gap::BeforeLeading(time);
            }
            (Gap::BeforeLeading(entry), Some(time)) if info.is_displayed() => {
                if time < entry {
                    return true;
                }
                self.gap = Gap::Elsewhere;
            }
            (Gap::BeforeNext, _) => self.gap = Gap::Elsewhere,
            _ => {}
        }
        false
    }

    /// End the stream. `end` computes the end of the video from the timestamp and the duration of
    /// its last frame. Return the end of the video, if the timestamps are known.
    pub(crate) fn finish(&mut self, end: impl Fn(i64, i64) -> i64) -> Option<i64> {
        self.finish_closed();
        let last =
            self.long.as_ref().map_or_else(|| LastFrame::of(&self.current), LongSpan::last_frame);
        let until = last.map(|LastFrame { time, duration }| end(time, duration));
        let planned = self.ready.len();
        if let Some(long) = self.long.take() {
            self.end_long(long, until);
        } else if !self.current.is_empty() {
            let span = std::mem::take(&mut self.current);
            self.plan_whole(span, until);
        }
        if let Some(last) = self.ready[planned..].last_mut() {
            last.chunk_mut().ends_video = true;
        }
        let includes_first = |timeline: Timeline<'_>| timeline.instants.include_first_frame();
        let must_select = self.nothing_wanted && self.timeline.is_none_or(includes_first);
        if let Some(span) = self.first.take().filter(|_| must_select) {
            let chunk = Chunk { select_first: true, ..Chunk::uncertain(span, until) };
            self.ready.push(Plan::Whole { from: None, chunk });
        }
        until
    }

    /// Return the plans that are complete.
    pub(crate) fn take_plans(&mut self) -> Vec<Plan<P>> {
        std::mem::take(&mut self.ready)
    }

    /// Plan the closed span, if there is one.
    fn finish_closed(&mut self) {
        self.finish_closed_before(i64::MAX);
    }

    /// Plan those frames of the closed span, if there is one, that are before `at`.
    fn finish_closed_before(&mut self, at: i64) {
        if let Some(mut span) = self.closed.take() {
            // The leading frames of an open entry refer to it and to the span before, so that span
            // decodes the entry, too. The first span may not start at an entry; then the next one
            // decides which of its frames the decoder outputs (FFmpeg, libavcodec/h264dec.c,
            // `send_next_delayed_frame`: it ends at a frame that cannot be displayed).
            if !self.leading.is_empty() || !starts_clean(&span) {
                span.push(self.current[0].clone());
                span.append(&mut self.leading);
            }
            let times =
                self.current.iter().filter_map(|classified| classified.info.displayed_time());
            match times.min() {
                Some(until) if at <= until => self.plan_before(span, at),
                until => self.plan_whole(span, until),
            }
        }
    }

    /// Plan those frames of a span that are before `at`, the timestamp of a later one.
    fn plan_before(&mut self, mut span: Vec<ClassifiedPacket<P>>, at: i64) {
        let is_before = |classified: &ClassifiedPacket<P>| {
            classified.info.displayed_time().is_some_and(|time| time < at)
        };
        let Some(last) = span.iter().rposition(is_before) else { return };
        span.truncate(last + 1);
        // The frames from `at` on may be needed by those before, but are not selected.
        for classified in &mut span {
            classified.info.hidden |= classified.info.time >= Some(at);
        }
        self.plan_whole(span, Some(at));
    }

    /// Plan a span that is held as a whole. `until` is the timestamp of the first frame after it,
    /// or the end of the video, if known.
    fn plan_whole(&mut self, span: Vec<ClassifiedPacket<P>>, until: Option<i64>) {
        let times = ascending_times(&span);
        let from = first(times.as_deref());
        self.start_video(from);
        let starts_clean = starts_clean(&span);
        let wanted = match (self.timeline, &times, until) {
            (Some(timeline), Some(times), Some(until)) => Some(timeline.wanted(times, until)),
            _ => None,
        };
        if wanted.as_ref().is_some_and(Vec::is_empty) {
            self.first.get_or_insert(span);
            return;
        }
        self.nothing_wanted = false;
        self.first = None;
        let (Some(wanted), Some(until), true) = (wanted, until, starts_clean) else {
            self.predictable &= !starts_clean;
            self.ready.push(Plan::Whole { from, chunk: Chunk::uncertain(span, until) });
            return;
        };
        let is_wanted = |info: &PacketInfo| {
            info.displayed_time().is_some_and(|time| {
                wanted.binary_search_by_key(&time, |wanted| wanted.time).is_ok()
            })
        };
        let keep = needed(&span, is_wanted);
        let packets = span
            .into_iter()
            .zip(keep)
            .map(|(classified, keep)| PlannedPacket { packet: classified.packet, keep })
            .collect();
        let chunk = Chunk {
            packets,
            wanted,
            certain: true,
            until: Some(until),
            select_first: false,
            ends_video: false,
        };
        self.ready.push(Plan::Whole { from, chunk });
    }

    /// Take `from` for the timestamp of the video's first frame, if this is its first span.
    fn start_video(&mut self, from: Option<i64>) {
        if let (Some(timeline), Some(from), 0) = (self.timeline, from, self.planned_spans) {
            timeline.start_at(from);
        }
        self.planned_spans += 1;
    }

    fn begin_long(&mut self) {
        self.nothing_wanted = false;
        let span = std::mem::take(&mut self.current);
        // The timestamp of a single packet does not tell which frame is first.
        let from = self.timeline.and_then(|_| first(ascending_times(&span).as_deref()));
        self.start_video(from);
        let mut long = LongSpan::new(self.timeline, span);
        let chunk = long.first_chunk();
        self.predictable &= chunk.certain || !(self.order.is_certain() && self.timeline.is_some());
        self.started = true;
        self.long = Some(long);
        self.ready.push(Plan::Begin { from, chunk });
    }

    fn end_long(&mut self, long: LongSpan<'a, P>, until: Option<i64>) {
        // Without a timeline the span is the whole video.
        let select_first = self.timeline.is_none();
        let was_certain = long.is_certain();
        let chunk = Chunk { select_first, ..long.last_chunk(until) };
        self.predictable &= chunk.certain || !was_certain;
        self.ready.push(Plan::Continue(Continuation { chunk, is_last: true }));
    }
}

/// Whether a span can be decoded by a new decoder.
fn starts_clean<P>(span: &[ClassifiedPacket<P>]) -> bool {
    span[0].info.role.entry != Entry::None
}

/// First of these times, if they are known.
fn first(times: Option<&[i64]>) -> Option<i64> {
    times?.first().copied()
}
