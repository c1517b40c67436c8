//! Packets of a span, before and after planning.

use crate::bitstream::{ReferenceSlots, Role};

use super::wanted::WantedFrame;

/// Properties of a packet that planning depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PacketInfo {
    pub role: Role,
    /// Presentation timestamp in units of the stream's time base, from the start of the video.
    pub time: Option<i64>,
    /// Duration in the same units; 0 if unknown.
    pub duration: i64,
    /// Size in bytes.
    pub size: usize,
    /// Whether the container marks the frame as decoded but not displayed (edit lists).
    pub hidden: bool,
}

impl PacketInfo {
    /// Whether the packet yields a frame that can be selected.
    pub(super) fn is_displayed(&self) -> bool {
        self.role.displayed && !self.hidden
    }

    /// Timestamp of the frame, if it can be selected and its timestamp is known.
    pub(crate) fn displayed_time(&self) -> Option<i64> {
        self.time.filter(|_| self.is_displayed())
    }
}

/// Packet with its properties.
#[derive(Debug, Clone)]
pub(crate) struct ClassifiedPacket<P> {
    pub packet: P,
    pub info: PacketInfo,
}

/// Packet with the decision about it.
#[derive(Debug)]
pub(crate) struct PlannedPacket<P> {
    pub packet: P,
    /// Whether a wanted frame depends on the packet.
    pub keep: bool,
}

/// Packets in decoding order, and the frames that are wanted from them.
#[derive(Debug)]
pub(crate) struct Chunk<P> {
    pub packets: Vec<PlannedPacket<P>>,
    pub wanted: Vec<WantedFrame>,
    /// Whether `wanted` is complete. If not, everything is decoded and the timestamps of the
    /// decoded frames decide.
    pub certain: bool,
    /// Timestamp of the first frame after the span, or end of the video, if this is the last chunk
    /// of the span and the time is known.
    pub until: Option<i64>,
    /// Whether the first frame is selected because the video has no frame for any instant: an
    /// archive is never empty.
    pub select_first: bool,
    /// Whether the video ends with the chunk.
    pub ends_video: bool,
}

impl<P> Chunk<P> {
    /// Chunk of which nothing is known in advance.
    pub(super) fn uncertain(span: Vec<ClassifiedPacket<P>>, until: Option<i64>) -> Self {
        let packets = span
            .into_iter()
            .map(|classified| PlannedPacket { packet: classified.packet, keep: true })
            .collect();
        Self {
            packets,
            wanted: Vec::new(),
            certain: false,
            until,
            select_first: false,
            ends_video: false,
        }
    }

    /// First tick of the wanted frames.
    pub(crate) fn first_tick(&self) -> Option<i64> {
        self.wanted.first().map(|wanted| wanted.ticks.start)
    }

    /// First tick after the wanted frames.
    pub(crate) fn until_tick(&self) -> Option<i64> {
        self.wanted.last().map(|wanted| wanted.ticks.end)
    }

    /// Packets that are to be decoded.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &P> {
        self.packets.iter().filter(|planned| planned.keep).map(|planned| &planned.packet)
    }
}

/// Instruction of the planner. Instructions are in the order of the video.
#[derive(Debug)]
pub(crate) enum Plan<P> {
    /// Decode a whole span. `from` is its first timestamp, if known.
    Whole { from: Option<i64>, chunk: Chunk<P> },
    /// Start to decode a long span. `from` is its first timestamp, if known.
    Begin { from: Option<i64>, chunk: Chunk<P> },
    /// Continue to decode the long span.
    Continue(Continuation<P>),
}

/// Further part of a long span.
#[derive(Debug)]
pub(crate) struct Continuation<P> {
    pub chunk: Chunk<P>,
    /// Whether the span ends with this chunk.
    pub is_last: bool,
}

impl<P> Plan<P> {
    pub(super) fn chunk_mut(&mut self) -> &mut Chunk<P> {
        match self {
            Self::Whole { chunk, .. }
            | Self::Begin { chunk, .. }
            | Self::Continue(Continuation { chunk, .. }) => chunk,
        }
    }

    /// Whether the wanted frames are known for certain.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            Self::Whole { chunk, .. }
            | Self::Begin { chunk, .. }
            | Self::Continue(Continuation { chunk, .. }) => chunk.certain,
        }
    }

    #[cfg(any(test, feature = "stages"))]
    pub(crate) fn into_chunk(self) -> Chunk<P> {
        match self {
            Self::Whole { chunk, .. }
            | Self::Begin { chunk, .. }
            | Self::Continue(Continuation { chunk, .. }) => chunk,
        }
    }
}

/// Whether a wanted frame depends on each packet of a span. Evaluated from the end: a frame to
/// which no later packet refers is not needed.
pub(super) fn needed<P>(
    span: &[ClassifiedPacket<P>],
    is_wanted: impl Fn(&PacketInfo) -> bool,
) -> Vec<bool> {
    let mut keep = vec![false; span.len()];
    let mut wanted_later = false;
    let mut read_later = 0_u8;
    for (keep, ClassifiedPacket { info, .. }) in keep.iter_mut().zip(span).rev() {
        wanted_later |= is_wanted(info);
        *keep = match info.role.slots {
            Some(slots) => is_wanted(info) || slots.writes & read_later != 0,
            None => is_wanted(info) || (wanted_later && !info.role.disposable),
        };
        if *keep {
            let slots = info.role.slots.unwrap_or(ReferenceSlots { reads: 0xFF, writes: 0 });
            read_later = read_later & !slots.writes | slots.reads;
        }
    }
    keep
}

/// Timestamps of the frames that can be selected, in ascending order; `None` if one is unknown or
/// not unique, so that they are unreliable.
pub(super) fn ascending_times<P>(span: &[ClassifiedPacket<P>]) -> Option<Vec<i64>> {
    let displayed = span.iter().filter(|classified| classified.info.is_displayed());
    let mut times = displayed.map(|classified| classified.info.time).collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    times.windows(2).all(|pair| pair[0] < pair[1]).then_some(times)
}

/// Last frame of some packets in presentation order, as far as their timestamps are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LastFrame {
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// Duration in the same units; 0 if unknown.
    pub duration: i64,
}

impl LastFrame {
    pub(super) fn of<P>(packets: &[ClassifiedPacket<P>]) -> Option<Self> {
        let frame = |ClassifiedPacket { info, .. }: &ClassifiedPacket<P>| {
            Some(Self { time: info.displayed_time()?, duration: info.duration })
        };
        packets.iter().filter_map(frame).max()
    }
}
