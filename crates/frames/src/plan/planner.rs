//! Planner: cuts a stream into spans.

use jobs::Ratio;

use crate::bitstream::Entry;
use crate::select::Instants;

use super::chunk::{Chunk, PacketInfo, Packets, Plan, PlannedPacket, ascending_times, needed};
use super::long_span::LongSpan;
use super::wanted::StreamSelection;

/// Maximum number of packets of a span that is held as a whole. Longer spans are decoded while they
/// are read.
const MAX_PACKETS: usize = 1_000;
/// Maximum size of a span that is held as a whole, in bytes.
const MAX_BYTES: usize = 24 << 20;

/// Planner of a stream. It receives packets in decoding order and returns plans in the order of the
/// video.
pub(crate) struct Planner<P> {
    selection: StreamSelection,
    /// Whether packets that no wanted frame depends on are left out.
    skipping: bool,
    /// Complete span whose successor's first timestamp is not known yet.
    closed: Option<Packets<P>>,
    /// Frames that follow an open entry and precede it in time: they depend on the span before.
    leading: Packets<P>,
    current: Packets<P>,
    current_bytes: usize,
    long: Option<LongSpan<P>>,
    /// First span, as long as nothing was wanted.
    first: Option<Packets<P>>,
    nothing_wanted: bool,
    ready: Vec<Plan<P>>,
}

impl<P: Clone> Planner<P> {
    pub(crate) fn new(instants: Instants, time_base: Ratio, skipping: bool) -> Self {
        Self {
            selection: StreamSelection { instants, time_base },
            skipping,
            closed: None,
            leading: Vec::new(),
            current: Vec::new(),
            current_bytes: 0,
            long: None,
            first: None,
            nothing_wanted: true,
            ready: Vec::new(),
        }
    }

    /// Add the next packet. [`Planner::take_plans`] returns the plans that it completes.
    pub(crate) fn push(&mut self, packet: P, info: PacketInfo) {
        if self.starts_span(&info) {
            self.finish_closed();
            if let Some(long) = self.long.take() {
                let until = info.time.map(|time| self.selection.tick(time));
                self.end_long(long, until);
            } else {
                self.closed = Some(std::mem::take(&mut self.current));
            }
            self.current_bytes = 0;
        }
        if let Some(long) = &mut self.long {
            long.push(packet, info);
            if let Some(chunk) = long.next_chunk() {
                self.ready.push(Plan::Continue { chunk, last: false });
            }
            return;
        }
        self.current_bytes += info.size;
        // Leading frames directly follow their entry and precede it in time. The first frame that
        // is later in time ends them.
        if self.closed.is_some()
            && let Some((_, entry)) = self.current.first()
        {
            if info.displayed_time() > entry.displayed_time() {
                self.finish_closed();
            } else if entry.role.entry == Entry::Open && info.displayed_time().is_some() {
                self.leading.push((packet, info));
                return;
            }
        }
        self.current.push((packet, info));
        if self.current.len() > MAX_PACKETS || self.current_bytes > MAX_BYTES {
            self.finish_closed();
            self.begin_long();
        }
    }

    fn starts_span(&self, info: &PacketInfo) -> bool {
        if info.displayed_time().is_none() {
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

    /// End the stream. `end` computes the end of the video from the timestamp and the duration of
    /// its last frame. Return the first tick after the video, if the timestamps are known.
    pub(crate) fn finish(&mut self, end: impl Fn(i64, i64) -> i64) -> Option<i64> {
        self.finish_closed();
        let remaining = self.long.as_ref().map_or(self.current.as_slice(), LongSpan::packets);
        let last = remaining
            .iter()
            .filter_map(|(_, info)| Some((info.displayed_time()?, info.duration)))
            .max();
        let until = last.map(|(time, duration)| self.selection.tick(end(time, duration)));
        if let Some(long) = self.long.take() {
            self.end_long(long, until);
        } else if !self.current.is_empty() {
            let span = std::mem::take(&mut self.current);
            self.plan_whole(span, until);
        }
        if let Some(span) = self.first.take().filter(|_| self.nothing_wanted) {
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
        if let Some(mut span) = self.closed.take() {
            // The leading frames of an open entry refer to it and to the span before, so that span
            // decodes the entry, too.
            if !self.leading.is_empty() {
                span.push(self.current[0].clone());
                span.append(&mut self.leading);
            }
            let next = self.current.iter().filter_map(|(_, info)| info.displayed_time()).min();
            let until = next.map(|time| self.selection.tick(time));
            self.plan_whole(span, until);
        }
    }

    /// Plan a span that is held as a whole. `until` is the first tick after it, if known.
    fn plan_whole(&mut self, span: Packets<P>, until: Option<i64>) {
        let times = ascending_times(&span);
        let from = self.first_tick(times.as_deref());
        let (Some(times), Some(until)) = (times, until) else {
            self.nothing_wanted = false;
            self.ready.push(Plan::Whole { from, chunk: Chunk::uncertain(span, until) });
            return;
        };
        let wanted = self.selection.wanted(&times, until);
        if wanted.is_empty() {
            self.first.get_or_insert(span);
            return;
        }
        self.nothing_wanted = false;
        self.first = None;
        let is_wanted = |info: &PacketInfo| {
            info.displayed_time().is_some_and(|time| {
                wanted.binary_search_by_key(&time, |wanted| wanted.time).is_ok()
            })
        };
        let skipping = self.skipping && span[0].1.role.entry != Entry::None;
        let keep = if skipping { needed(&span, is_wanted) } else { vec![true; span.len()] };
        let packets = span
            .into_iter()
            .zip(keep)
            .map(|((packet, _), keep)| PlannedPacket { packet, keep })
            .collect();
        let chunk =
            Chunk { packets, wanted, certain: true, until: Some(until), select_first: false };
        self.ready.push(Plan::Whole { from, chunk });
    }

    fn begin_long(&mut self) {
        self.nothing_wanted = false;
        let span = std::mem::take(&mut self.current);
        let from = self.first_tick(ascending_times(&span).as_deref());
        let mut long = LongSpan::new(self.selection, self.skipping, span);
        let chunk = long.first_chunk();
        self.long = Some(long);
        self.ready.push(Plan::Begin { from, chunk });
    }

    fn end_long(&mut self, long: LongSpan<P>, until: Option<i64>) {
        let chunk = long.last_chunk(until);
        self.ready.push(Plan::Continue { chunk, last: true });
    }

    /// Tick of the first of these times.
    fn first_tick(&self, times: Option<&[i64]>) -> Option<i64> {
        Some(self.selection.tick(*times?.first()?))
    }
}
