//! Route through a video: the parts of it that hold the frames for the requested instants.
//!
//! The index of the container tells where to continue. It is not trusted: the timestamps of the
//! packets show that each part starts at the instant at which the one before it ended, so that no
//! instant lies in between.

use crate::av::{DemuxError, Demuxer, Packet, Place};
use crate::bitstream::Entry;
use crate::context::StreamContext;
use crate::guide::Guide;
use crate::plan::{MAX_REORDER, PacketInfo};
use crate::select::Instants;

/// Largest gap that is read instead of skipped, in bytes: a request of a remote store costs more.
const MIN_GAP: u64 = 512 << 10;

/// Part of a video that was read, in units of the time base from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub from: i64,
    pub to: i64,
}

/// Next step of a route.
pub(crate) enum Step {
    Packet(Packet),
    /// The packets that follow are left out. All frames before this time are known.
    Cut(i64),
    /// The last packet was read.
    End,
    /// No frame is wanted any more.
    Done,
}

/// Reason why a video has to be read as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The index contradicts the packets.
    Contradiction,
    /// A packet is damaged, or what it needs may be in one that was not read.
    Insufficient,
}

/// Route through one video. Its packets are read in order, except for gaps between parts.
pub(crate) struct Route<'a> {
    context: &'a StreamContext<'a>,
    instants: &'a Instants,
    guide: &'a Guide,
    next: Next,
    /// Latest key frame of the index that was read.
    key: usize,
    /// Number of packets before the latest one in decoding order, if the index lists all.
    number: usize,
    /// First tick that is not decided before the frames from here on. `None` at first.
    target: Option<i64>,
    /// Timestamps of frames that do not precede the target; at first of all.
    later: Vec<i64>,
    /// Timestamp of the latest clean entry among these.
    entry: Option<i64>,
    /// Whether a frame follows it in presentation order.
    entry_is_followed: bool,
    /// Latest timestamp so far.
    latest: i64,
    parts: Vec<Part>,
}

/// What is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Key(usize),
    Packet,
    Nothing,
}

impl<'a> Route<'a> {
    pub(crate) fn new(
        context: &'a StreamContext<'a>,
        instants: &'a Instants,
        guide: &'a Guide,
    ) -> Self {
        Self {
            context,
            instants,
            guide,
            next: Next::Key(0),
            key: 0,
            number: 0,
            target: None,
            later: Vec::new(),
            entry: None,
            entry_is_followed: false,
            latest: i64::MIN,
            parts: Vec::new(),
        }
    }

    /// Take the next step.
    pub(crate) fn step(&mut self, demuxer: &mut Demuxer) -> Result<Step, Unfit> {
        while let (Next::Packet, Some(at)) = (self.next, self.known_until()) {
            let mut wanted = at;
            if self.target.is_none() {
                // Of the frames before `at`, the first one of the video is undecided.
                wanted = self.later.iter().copied().min().unwrap_or(at);
                self.instants.start_at(wanted, self.context.time_base());
            }
            let wanted = self.tick(wanted);
            let next = self.next_part(at, wanted, demuxer.place());
            self.aim_at(wanted.saturating_add(1));
            if let Some(next) = next {
                self.next = next;
                return Ok(Step::Cut(at));
            }
        }
        match self.next {
            Next::Nothing => Ok(Step::Done),
            Next::Key(key) => self.enter(demuxer, key).map(Step::Packet),
            Next::Packet => match demuxer.read() {
                Ok(packet) => {
                    self.number += 1;
                    if !self.guide.index.agrees(self.number, demuxer.place()) {
                        return Err(Unfit::Contradiction);
                    }
                    self.key += usize::from(self.guide.index.is_at(self.key + 1, demuxer.place()));
                    Ok(Step::Packet(packet))
                }
                Err(DemuxError::End) => Ok(Step::End),
                Err(DemuxError::Damaged(_)) => Err(Unfit::Insufficient),
            },
        }
    }

    /// Where the frame for the tick `wanted` is, if it pays to continue there. The frames before
    /// `at` are known, and the packet read last is at `place`.
    fn next_part(&self, at: i64, wanted: i64, place: Place) -> Option<Next> {
        if self.tick(at) != wanted {
            return None;
        }
        if wanted >= self.tick(self.guide.end.frames) {
            return Some(Next::Nothing);
        }
        let index = &self.guide.index;
        let keys = index.keys();
        // The last key frame that is not after the instant.
        let is_before = |key: usize| self.tick(keys[key].time) <= wanted;
        let (mut low, mut high) = (self.key, keys.len());
        while low + 1 < high {
            let middle = usize::midpoint(low, high);
            if is_before(middle) { low = middle } else { high = middle }
        }
        let here = place.position.unwrap_or(keys[self.key].position);
        let is_far = keys[low].position.saturating_sub(here) >= MIN_GAP;
        (low > self.key && is_far).then_some(Next::Key(low))
    }

    /// Choose a later target.
    fn aim_at(&mut self, target: i64) {
        self.target = Some(target);
        let later = std::mem::take(&mut self.later);
        self.later = later.into_iter().filter(|time| self.is_later(*time)).collect();
        self.entry = self.entry.filter(|entry| self.is_later(*entry));
        self.entry_is_followed &= self.entry.is_some();
    }

    /// Continue at a key frame. The frame before it, which was read last or not at all, is the one
    /// for no instant from the target on.
    fn enter(&mut self, demuxer: &mut Demuxer, key: usize) -> Result<Packet, Unfit> {
        let packet = self.guide.index.seek(demuxer, key).ok_or(Unfit::Contradiction)?;
        let time = packet.presentation_time().ok_or(Unfit::Contradiction)?;
        let time = time.saturating_sub(self.context.info.start);
        let starts_at = |target| self.tick(time) == target - 1;
        if !self.target.is_none_or(starts_at) || time <= self.latest {
            return Err(Unfit::Contradiction);
        }
        self.key = key;
        self.number = self.guide.index.keys()[key].number;
        self.later.clear();
        self.entry = None;
        self.entry_is_followed = false;
        Ok(packet)
    }

    /// Record a packet that was read.
    pub(crate) fn add(&mut self, info: &PacketInfo) -> Result<(), Unfit> {
        let time = info.time.ok_or(Unfit::Contradiction)?;
        if self.context.end(time, info.duration) > self.guide.end.packets {
            return Err(Unfit::Contradiction);
        }
        let is_first = self.next != Next::Packet;
        if is_first {
            if info.role.entry == Entry::None || info.displayed_time().is_none() {
                return Err(Unfit::Insufficient);
            }
            self.parts.push(Part { from: time, to: time });
            self.next = Next::Packet;
        }
        if let Some(part) = self.parts.last_mut() {
            part.to = part.to.max(time);
        }
        let Some(time) = info.displayed_time() else { return Ok(()) };
        self.latest = self.latest.max(time);
        if !self.is_later(time) {
            return Ok(());
        }
        self.later.push(time);
        self.entry_is_followed |= self.entry.is_some_and(|entry| entry < time);
        if info.role.entry == Entry::Clean && !is_first && !self.entry_is_followed {
            self.entry = Some(time);
        }
        Ok(())
    }

    /// Whether no frame is wanted any more, so that the next step is [`Step::Done`].
    pub(crate) fn has_ended(&self) -> bool {
        self.next == Next::Nothing
    }

    /// Parts that were read.
    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.parts
    }

    fn tick(&self, time: i64) -> i64 {
        self.instants.tick(time, self.context.time_base())
    }

    /// Whether a frame does not precede the target.
    fn is_later(&self, time: i64) -> bool {
        self.target.is_none_or(|target| self.tick(time) >= target)
    }

    /// Timestamp of the first frame that does not precede the target, or of the second one of the
    /// video, if no other can precede it: if the index excludes that, or if the frames behind it
    /// are too many or follow an entry.
    fn known_until(&self) -> Option<i64> {
        let skipped = usize::from(self.target.is_none());
        let mut later = self.later.clone();
        if later.len() <= skipped {
            return None;
        }
        let (_, at, _) = later.select_nth_unstable(skipped);
        let is_known = self.later.len() > MAX_REORDER + skipped
            || self.entry_is_followed
            || self.guide.index.none_precedes(self.number + 1, *at);
        is_known.then_some(*at)
    }
}
