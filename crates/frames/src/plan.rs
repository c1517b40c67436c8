//! Cuts the packets of a stream into spans that decode on their own, and marks in each the packets that nobody needs.
//!
//! A span begins at a clean entry and ends before the next. Which of its pictures are wanted is known from the packets' timestamps
//! before anything is decoded: a picture answers the instants from its own slot up to that of its successor in presentation order.

use std::ops::Range;

use crate::bitstream::{Entry, Role, Slots};
use crate::select::{Ratio, Recipe};

/// Packets of the longest span that is held whole. Longer ones (streams with one key frame) are decoded as they are read.
const MAX_PACKETS: usize = 1_000;
/// Bytes of the largest span that is held whole.
const MAX_BYTES: usize = 24 << 20;
/// In presentation order a picture follows at most this many pictures that it precedes in decoding order: the 16 frames of the
/// largest decoded picture buffer (ITU-T H.264, A.3.1; H.265, A.4.2), each in two field packets.
const REORDER: usize = 32;
/// Packets of a long span that are handed on together.
const CHUNK: usize = 64;

/// What the planner needs to know of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub role: Role,
    /// Presentation time in units of the stream's time base, from the start of the video.
    pub time: Option<i64>,
    /// How long the picture is shown, in the same units; 0 if unknown.
    pub duration: i64,
    /// Bytes.
    pub size: usize,
    /// The container says that the picture is decoded but not shown (edit lists).
    pub hidden: bool,
}

impl Facts {
    /// The time of a picture that counts, if the packet gives one.
    fn counted(&self) -> Option<i64> {
        if self.role.shown && !self.hidden { self.time } else { None }
    }
}

/// A packet with what was decided for it.
#[derive(Debug)]
pub(crate) struct Planned<P> {
    pub packet: P,
    /// Whether the decoder needs it.
    pub keep: bool,
}

/// A picture that the timestamps promise, and the slots that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub slots: Range<i64>,
    pub time: i64,
}

/// Packets in decoding order with what is wanted of them.
#[derive(Debug)]
pub(crate) struct Chunk<P> {
    pub packets: Vec<Planned<P>>,
    pub wanted: Vec<Wanted>,
    /// Whether all that is wanted is known. If not, everything is decoded and the pictures' own times decide.
    pub certain: bool,
    /// The first slot after the span, in its last chunk, if it is known.
    pub until: Option<i64>,
    /// The video answers no instant at all, so its first picture is taken: an archive is never empty.
    pub first_picture: bool,
}

/// What the planner hands on.
#[derive(Debug)]
pub(crate) enum Plan<P> {
    /// A span in one piece. `from` is its first slot, if it is known.
    Whole { from: Option<i64>, chunk: Chunk<P> },
    /// The first piece of a long span.
    Begin { from: Option<i64>, chunk: Chunk<P> },
    /// A further piece of the long span that was begun.
    Continue { chunk: Chunk<P>, last: bool },
}

/// Takes packets in decoding order and gives plans in the order of the video.
pub(crate) struct Planner<P> {
    recipe: Recipe,
    time_base: Ratio,
    /// Whether packets that nobody needs are dropped.
    skipping: bool,
    /// A complete span that waits to learn where the next one begins in time.
    closed: Option<Vec<(P, Facts)>>,
    /// Pictures that follow an open entry and precede it in time: they need the span before.
    leading: Vec<(P, Facts)>,
    current: Vec<(P, Facts)>,
    bytes: usize,
    long: Option<Long>,
    /// The first span, for as long as nothing was wanted.
    first: Option<Vec<(P, Facts)>>,
    nothing_wanted: bool,
    ready: Vec<Plan<P>>,
}

/// A long span under way.
struct Long {
    /// Times of pictures whose successor is not yet certain, rising.
    pending: Vec<i64>,
    /// Whether the timestamps can be relied on.
    certain: bool,
}

impl<P: Clone> Planner<P> {
    pub(crate) fn new(recipe: Recipe, time_base: Ratio, skipping: bool) -> Self {
        Self {
            recipe,
            time_base,
            skipping,
            closed: None,
            leading: Vec::new(),
            current: Vec::new(),
            bytes: 0,
            long: None,
            first: None,
            nothing_wanted: true,
            ready: Vec::new(),
        }
    }

    /// Take the next packet; what became certain by it is to be taken by [`Planner::take`].
    pub(crate) fn push(&mut self, packet: P, facts: Facts) {
        if self.begins_span(&facts) {
            self.resolve_closed();
            if self.long.is_some() {
                let until = facts.time.map(|time| self.slot(time));
                self.end_long(until);
            } else {
                self.closed = Some(std::mem::take(&mut self.current));
            }
            self.bytes = 0;
        }
        self.bytes += facts.size;
        // Leading pictures precede their entry in time and follow it directly; the first picture after it in time ends them.
        if self.closed.is_some()
            && let Some((_, entry)) = self.current.first()
        {
            if facts.counted() > entry.counted() {
                self.resolve_closed();
            } else if entry.role.entry == Entry::Open && facts.counted().is_some() {
                self.leading.push((packet, facts));
                return;
            }
        }
        self.current.push((packet, facts));
        if self.long.is_some() {
            self.continue_long();
        } else if self.current.len() > MAX_PACKETS || self.bytes > MAX_BYTES {
            self.resolve_closed();
            self.begin_long();
        }
    }

    fn begins_span(&self, facts: &Facts) -> bool {
        if facts.counted().is_none() {
            return false;
        }
        match facts.role.entry {
            Entry::None => false,
            Entry::Clean => self.long.is_some() || !self.current.is_empty(),
            // The end of a long span is decoded as it is read, so an entry cannot be given to it and to the next one too.
            Entry::Open => self.long.is_none() && !self.current.is_empty(),
        }
    }

    /// The stream has ended. `end` gives the end of the video from the time and the duration of its last picture.
    /// Returns the first slot after the video, if the packets' times tell.
    pub(crate) fn finish(&mut self, end: impl Fn(i64, i64) -> i64) -> Option<i64> {
        self.resolve_closed();
        let last = self.current.iter().filter_map(|(_, facts)| Some((facts.counted()?, facts.duration))).max();
        let until = last.map(|(time, duration)| self.slot(end(time, duration)));
        if self.long.is_some() {
            self.end_long(until);
        } else if !self.current.is_empty() {
            let span = std::mem::take(&mut self.current);
            self.emit_whole(span, until);
        }
        if let Some(span) = self.first.take().filter(|_| self.nothing_wanted) {
            let chunk = Chunk { first_picture: true, ..Chunk::uncertain(span, until) };
            self.ready.push(Plan::Whole { from: None, chunk });
        }
        until
    }

    /// The plans that are ready.
    pub(crate) fn take(&mut self) -> Vec<Plan<P>> {
        std::mem::take(&mut self.ready)
    }

    fn slot(&self, time: i64) -> i64 {
        self.recipe.slot(time, self.time_base)
    }

    fn resolve_closed(&mut self) {
        if let Some(mut span) = self.closed.take() {
            // The leading pictures of an open entry refer to it and to the span before, so that span decodes it too.
            if !self.leading.is_empty() {
                span.push(self.current[0].clone());
                span.append(&mut self.leading);
            }
            let next = self.current.iter().filter_map(|(_, facts)| facts.counted()).min();
            let until = next.map(|time| self.slot(time));
            self.emit_whole(span, until);
        }
    }

    fn emit_whole(&mut self, span: Vec<(P, Facts)>, until: Option<i64>) {
        let times = rising_times(&span);
        let from = times.as_ref().and_then(|times| times.first()).map(|time| self.slot(*time));
        let (Some(times), Some(until)) = (times, until) else {
            self.nothing_wanted = false;
            self.ready.push(Plan::Whole { from, chunk: Chunk::uncertain(span, until) });
            return;
        };
        let wanted = self.wanted(&times, until);
        let skipping = self.skipping && span[0].1.role.entry != Entry::None;
        let is_wanted =
            |facts: &Facts| facts.counted().is_some_and(|time| wanted.binary_search_by_key(&time, |wanted| wanted.time).is_ok());
        if wanted.is_empty() {
            self.first.get_or_insert(span);
            return;
        }
        self.nothing_wanted = false;
        self.first = None;
        let keep = if skipping { needed(&span, is_wanted) } else { vec![true; span.len()] };
        let packets = span.into_iter().zip(keep).map(|((packet, _), keep)| Planned { packet, keep }).collect();
        self.ready
            .push(Plan::Whole { from, chunk: Chunk { packets, wanted, certain: true, until: Some(until), first_picture: false } });
    }

    /// Of pictures at these rising times, with the next one in slot `until`: those that answer an instant.
    fn wanted(&self, times: &[i64], until: i64) -> Vec<Wanted> {
        let slots: Vec<i64> = times.iter().map(|time| self.slot(*time)).chain([until]).collect();
        times
            .iter()
            .zip(slots.windows(2))
            .filter(|(_, pair)| pair[0] < pair[1])
            .map(|(time, pair)| Wanted { slots: pair[0]..pair[1], time: *time })
            .collect()
    }

    fn begin_long(&mut self) {
        self.nothing_wanted = false;
        let span = std::mem::take(&mut self.current);
        let times = rising_times(&span);
        let from = times.as_ref().and_then(|times| times.first()).map(|time| self.slot(*time));
        let certain = times.is_some() && span[0].1.role.entry != Entry::None;
        self.long = Some(Long { pending: Vec::new(), certain });
        self.current = span;
        let chunk = self.next_chunk(None);
        self.ready.push(Plan::Begin { from, chunk });
    }

    fn continue_long(&mut self) {
        if self.current.len() >= CHUNK + 2 * REORDER {
            let chunk = self.next_chunk(None);
            self.ready.push(Plan::Continue { chunk, last: false });
        }
    }

    fn end_long(&mut self, until: Option<i64>) {
        let mut chunk = self.next_chunk(Some(until));
        chunk.until = until;
        self.ready.push(Plan::Continue { chunk, last: true });
        self.long = None;
    }

    /// The packets of the long span about which all is certain; all that are left where `end` says that there are no more.
    fn next_chunk(&mut self, end: Option<Option<i64>>) -> Chunk<P> {
        let Some(mut long) = self.long.take() else { return Chunk::uncertain(Vec::new(), None) };
        let times = rising_times(&self.current);
        long.certain &= times.is_some() && end != Some(None);
        let Some(times) = times.filter(|_| long.certain) else {
            self.long = Some(long);
            return Chunk::uncertain(std::mem::take(&mut self.current), end.flatten());
        };
        let mut known: Vec<i64> = long.pending.iter().copied().chain(times).collect();
        known.sort_unstable();
        let (wanted, horizon) = match end {
            Some(until) => (self.wanted(&known, until.unwrap_or(i64::MIN)), i64::MAX),
            None if known.len() <= REORDER + 1 => (Vec::new(), i64::MIN),
            None => {
                // No packet to come can lie before this time, so what precedes it has its final successor.
                let horizon = known[known.len() - 1 - REORDER];
                let certain = known.partition_point(|time| *time < horizon);
                (self.wanted(&known[..certain], self.slot(horizon)), horizon)
            }
        };
        let is_wanted = |time| wanted.binary_search_by_key(&time, |wanted: &Wanted| wanted.time).is_ok();
        let undecided = |facts: &Facts| facts.role.disposable && facts.counted().is_some_and(|time| time >= horizon);
        let ready = self.current.iter().position(|(_, facts)| undecided(facts)).unwrap_or(self.current.len());
        let rest = self.current.split_off(ready);
        let handed = std::mem::replace(&mut self.current, rest);
        long.pending = known.into_iter().filter(|time| *time >= horizon).collect();
        // Those that stay in `current` are counted again from there.
        let staying: Vec<i64> = self.current.iter().filter_map(|(_, facts)| facts.counted()).collect();
        long.pending.retain(|time| !staying.contains(time));
        self.long = Some(long);
        let skipping = self.skipping;
        let packets = handed
            .into_iter()
            .map(|(packet, facts)| {
                let keep = !skipping || !facts.role.disposable || facts.counted().is_some_and(is_wanted);
                Planned { packet, keep }
            })
            .collect();
        Chunk { packets, wanted, certain: true, until: None, first_picture: false }
    }
}

/// For each packet of a span, whether a wanted picture needs it: seen from the end, because what nobody later refers to is not needed.
fn needed<P>(span: &[(P, Facts)], is_wanted: impl Fn(&Facts) -> bool) -> Vec<bool> {
    let mut keep = vec![false; span.len()];
    let mut wanted_later = false;
    let mut read_later = 0_u8;
    for (keep, (_, facts)) in keep.iter_mut().zip(span).rev() {
        wanted_later |= is_wanted(facts);
        *keep = match facts.role.slots {
            Some(slots) => is_wanted(facts) || slots.writes & read_later != 0,
            None => is_wanted(facts) || (wanted_later && !facts.role.disposable),
        };
        if *keep {
            let slots = facts.role.slots.unwrap_or(Slots { reads: 0xFF, writes: 0 });
            read_later = read_later & !slots.writes | slots.reads;
        }
    }
    keep
}

impl<P> Chunk<P> {
    fn uncertain(span: Vec<(P, Facts)>, until: Option<i64>) -> Self {
        let packets = span.into_iter().map(|(packet, _)| Planned { packet, keep: true }).collect();
        Self { packets, wanted: Vec::new(), certain: false, until, first_picture: false }
    }
}

/// The times of the pictures that count, rising; `None` where one is missing or stands twice, so that they cannot be relied on.
fn rising_times<P>(span: &[(P, Facts)]) -> Option<Vec<i64>> {
    let counting = span.iter().filter(|(_, facts)| facts.role.shown && !facts.hidden);
    let mut times = counting.map(|(_, facts)| facts.time).collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    times.windows(2).all(|pair| pair[0] < pair[1]).then_some(times)
}
