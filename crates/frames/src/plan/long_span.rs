//! Span that is decoded while it is read: because it is too long to be held in memory as a whole,
//! such as a stream with one key frame, or because nothing is planned.

use std::collections::BTreeSet;

use crate::bitstream::Entry;

use super::chunk::{
    Chunk, ClassifiedPacket, LastFrame, PacketInfo, PlannedPacket, ascending_times,
};
use super::frame_order::MAX_REORDER;
use super::wanted::Timeline;

/// Minimum number of packets in a chunk.
pub(super) const CHUNK_PACKETS: usize = 64;
/// Size from which packets that are all kept form a chunk, in bytes.
const CHUNK_BYTES: usize = 4 << 20;

/// End of the span, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More packets may follow.
    Open,
    /// Timestamp of the first frame after the span, or end of the video.
    At(i64),
    /// The span has ended, and the packets do not state when.
    Unknown,
}

/// Planner of a long span.
pub(super) struct LongSpan<'a, P> {
    /// Timeline, as long as the timestamps are reliable. Without it, all packets are kept.
    timeline: Option<Timeline<'a>>,
    /// Packets that are not in a chunk yet.
    packets: Vec<ClassifiedPacket<P>>,
    /// Size of the packets that were read since the latest chunk, in bytes.
    new_bytes: usize,
    /// Last frame of the latest chunk.
    last_of_chunk: Option<LastFrame>,
    /// Number of these whose timestamps were added to `pending`.
    counted: usize,
    /// Timestamps of frames whose successor is not certain, ascending.
    pending: Vec<i64>,
    /// All frames before this time are decided.
    horizon: i64,
    /// Timestamps of wanted frames whose packets are not in a chunk yet, or were kept anyway.
    wanted: BTreeSet<i64>,
}

impl<'a, P> LongSpan<'a, P> {
    /// Start with the packets that were read so far.
    pub(super) fn new(timeline: Option<Timeline<'a>>, packets: Vec<ClassifiedPacket<P>>) -> Self {
        let certain =
            ascending_times(&packets).is_some() && packets[0].info.role.entry != Entry::None;
        Self {
            timeline: timeline.filter(|_| certain),
            packets,
            new_bytes: 0,
            last_of_chunk: None,
            counted: 0,
            pending: Vec::new(),
            horizon: i64::MIN,
            wanted: BTreeSet::new(),
        }
    }

    /// Whether the timestamps have been reliable so far, so that packets may be left out.
    pub(super) fn is_certain(&self) -> bool {
        self.timeline.is_some()
    }

    pub(super) fn push(&mut self, classified: ClassifiedPacket<P>) {
        self.new_bytes += classified.info.size;
        self.packets.push(classified);
    }

    /// Last frame of the packets that were read latest, which are more than any frame is reordered
    /// by.
    pub(super) fn last_frame(&self) -> Option<LastFrame> {
        self.last_of_chunk.max(LastFrame::of(&self.packets))
    }

    /// Leave out the packets behind the last frame that is before `at` in presentation order.
    pub(super) fn cut(&mut self, at: i64) {
        let is_before = |time: Option<i64>| time.is_some_and(|time| time < at);
        let last = self.packets.iter().rposition(|one| is_before(one.info.displayed_time()));
        self.packets.truncate(last.map_or(0, |last| last + 1));
        self.counted = self.counted.min(self.packets.len());
        for classified in &mut self.packets {
            classified.info.hidden |= classified.info.time >= Some(at);
        }
        self.pending.retain(|time| *time < at);
    }

    /// First chunk: the packets about which all is certain.
    pub(super) fn first_chunk(&mut self) -> Chunk<P> {
        self.chunk(End::Open)
    }

    /// Next chunk, if enough packets were read.
    pub(super) fn next_chunk(&mut self) -> Option<Chunk<P>> {
        let enough = self.packets.len() >= CHUNK_PACKETS + 2 * MAX_REORDER
            || self.timeline.is_none() && self.new_bytes >= CHUNK_BYTES;
        enough.then(|| self.chunk(End::Open))
    }

    /// All remaining packets. `until` is the timestamp of the first frame after the span, or the
    /// end of the video, if known.
    pub(super) fn last_chunk(mut self, until: Option<i64>) -> Chunk<P> {
        let chunk = self.chunk(until.map_or(End::Unknown, End::At));
        Chunk { until, ..chunk }
    }

    /// The packets about which all is certain; all packets at the end of the span.
    fn chunk(&mut self, end: End) -> Chunk<P> {
        self.new_bytes = 0;
        self.last_of_chunk = LastFrame::of(&self.packets);
        if self.timeline.is_some() && (end == End::Unknown || !self.add_times()) {
            self.timeline = None;
        }
        let Some(timeline) = self.timeline else {
            self.counted = 0;
            return Chunk::uncertain(std::mem::take(&mut self.packets), None);
        };
        let (decided, until) = if let End::At(until) = end {
            self.horizon = i64::MAX;
            (self.pending.len(), until)
        } else {
            // No later packet can precede this time, so the frames before it have their final
            // successors.
            let decided = self.pending.len().saturating_sub(1 + MAX_REORDER);
            self.horizon = self.pending.get(decided).copied().unwrap_or(i64::MIN);
            (decided, self.horizon)
        };
        let times: Vec<i64> = self.pending.drain(..decided).collect();
        let wanted = timeline.wanted(&times, until);
        self.wanted.extend(wanted.iter().map(|wanted| wanted.time));

        let undecided =
            |info: &PacketInfo| info.role.disposable && info.displayed_time() >= Some(self.horizon);
        let undecided = self.packets.iter().position(|classified| undecided(&classified.info));
        // A decoder that does not delay its output would output the frames after the last decided
        // one, too.
        let decided = |info: &PacketInfo| info.displayed_time() < Some(self.horizon);
        let decided = self.packets.iter().rposition(|classified| decided(&classified.info));
        let decided = decided.map_or(0, |last| last + 1);
        let ready = undecided.unwrap_or(self.packets.len()).min(decided);
        let rest = self.packets.split_off(ready);
        let ready = std::mem::replace(&mut self.packets, rest);
        self.counted = self.packets.len();
        let packets = ready
            .into_iter()
            .map(|ClassifiedPacket { packet, info }| {
                let keep = self.is_kept(&info);
                PlannedPacket { packet, keep }
            })
            .collect();
        Chunk {
            packets,
            wanted,
            certain: true,
            until: None,
            select_first: false,
            ends_video: false,
        }
    }

    fn is_kept(&mut self, info: &PacketInfo) -> bool {
        let is_wanted = info.displayed_time().is_some_and(|time| self.wanted.remove(&time));
        is_wanted || !info.role.disposable
    }

    /// Add the timestamps of further frames. Return `false` if they are unknown, contradict what
    /// was decided, or are not unique.
    fn add_times(&mut self) -> bool {
        let Some(times) = ascending_times(&self.packets[self.counted..]) else { return false };
        self.pending.extend(times);
        self.pending.sort_unstable();
        let ascending = self.pending.windows(2).all(|pair| pair[0] < pair[1]);
        ascending && self.pending.first().is_none_or(|first| *first >= self.horizon)
    }
}
