//! Cuts the packets of a stream into spans that decode on their own, and marks in each the packets
//! that nobody needs.
//!
//! A span begins at a clean entry and ends before the next. Which of its pictures are wanted is
//! known from the packets' timestamps before anything is decoded: a picture answers the instants
//! from its own slot up to that of its successor in presentation order.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::bitstream::{Entry, Role, Slots};
use jobs::Ratio;

use crate::select::Instants;

/// Packets of the longest span that is held whole. Longer ones (streams with one key frame) are
/// decoded as they are read.
const MAX_PACKETS: usize = 1_000;
/// Bytes of the largest span that is held whole.
const MAX_BYTES: usize = 24 << 20;
/// In presentation order a picture follows at most this many pictures that it precedes in decoding
/// order: the 16 frames of the largest decoded picture buffer (ITU-T H.264, A.3.1; H.265, A.4.2),
/// each in two field packets.
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
    /// Whether all that is wanted is known. If not, everything is decoded and the pictures' own
    /// times decide.
    pub certain: bool,
    /// The first slot after the span, in its last chunk, if it is known.
    pub until: Option<i64>,
    /// The video answers no instant at all, so its first picture is taken: an archive is never
    /// empty.
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

impl<P> Plan<P> {
    /// The packets.
    #[cfg(any(test, feature = "stages"))]
    pub(crate) fn into_chunk(self) -> Chunk<P> {
        match self {
            Self::Whole { chunk, .. }
            | Self::Begin { chunk, .. }
            | Self::Continue { chunk, .. } => chunk,
        }
    }
}

/// Takes packets in decoding order and gives plans in the order of the video.
pub(crate) struct Planner<P> {
    instants: Instants,
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

/// What is known of the end of a long span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More packets will come.
    ToCome,
    /// This is the first slot after it.
    At(i64),
    /// It has ended, and the packets do not tell when.
    Unknown,
}

/// A long span under way.
struct Long {
    /// How many of the packets at hand are already in `pending`.
    counted: usize,
    /// Times of pictures whose successor is not yet certain, rising.
    pending: Vec<i64>,
    /// Everything before this time is decided.
    horizon: i64,
    /// Times of wanted pictures whose packets are still at hand or were kept anyway.
    wanted: BTreeSet<i64>,
    /// Whether the timestamps can be relied on.
    certain: bool,
}

impl<P: Clone> Planner<P> {
    pub(crate) fn new(instants: Instants, time_base: Ratio, skipping: bool) -> Self {
        Self {
            instants,
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
        // Leading pictures precede their entry in time and follow it directly; the first picture
        // after it in time ends them.
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
            // The end of a long span is decoded as it is read, so an entry cannot be given to it
            // and to the next one too.
            Entry::Open => self.long.is_none() && !self.current.is_empty(),
        }
    }

    /// The stream has ended. `end` gives the end of the video from the time and the duration of its
    /// last picture. Returns the first slot after the video, if the packets' times tell.
    pub(crate) fn finish(&mut self, end: impl Fn(i64, i64) -> i64) -> Option<i64> {
        self.resolve_closed();
        let last = self
            .current
            .iter()
            .filter_map(|(_, facts)| Some((facts.counted()?, facts.duration)))
            .max();
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
        self.instants.tick(time, self.time_base)
    }

    fn resolve_closed(&mut self) {
        if let Some(mut span) = self.closed.take() {
            // The leading pictures of an open entry refer to it and to the span before, so that
            // span decodes it too.
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
        let is_wanted = |facts: &Facts| {
            facts.counted().is_some_and(|time| {
                wanted.binary_search_by_key(&time, |wanted| wanted.time).is_ok()
            })
        };
        if wanted.is_empty() {
            self.first.get_or_insert(span);
            return;
        }
        self.nothing_wanted = false;
        self.first = None;
        let keep = if skipping { needed(&span, is_wanted) } else { vec![true; span.len()] };
        let packets = span
            .into_iter()
            .zip(keep)
            .map(|((packet, _), keep)| Planned { packet, keep })
            .collect();
        self.ready.push(Plan::Whole {
            from,
            chunk: Chunk {
                packets,
                wanted,
                certain: true,
                until: Some(until),
                first_picture: false,
            },
        });
    }

    /// Of pictures at these rising times, with the next one in slot `until`: those that answer an
    /// instant.
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
        self.long = Some(Long {
            counted: 0,
            pending: Vec::new(),
            horizon: i64::MIN,
            wanted: BTreeSet::new(),
            certain,
        });
        self.current = span;
        let chunk = self.next_chunk(End::ToCome);
        self.ready.push(Plan::Begin { from, chunk });
    }

    fn continue_long(&mut self) {
        if self.current.len() >= CHUNK + 2 * REORDER {
            let chunk = self.next_chunk(End::ToCome);
            self.ready.push(Plan::Continue { chunk, last: false });
        }
    }

    fn end_long(&mut self, until: Option<i64>) {
        let chunk = self.next_chunk(until.map_or(End::Unknown, End::At));
        let chunk = Chunk { until, ..chunk };
        self.ready.push(Plan::Continue { chunk, last: true });
        self.long = None;
    }

    /// The packets of the long span about which all is certain; all that are left where it ends.
    fn next_chunk(&mut self, end: End) -> Chunk<P> {
        let Some(mut long) = self.long.take() else { return Chunk::uncertain(Vec::new(), None) };
        let fresh = rising_times(&self.current[long.counted..]);
        long.certain &= end != End::Unknown && fresh.is_some_and(|fresh| long.add(&fresh));
        if !long.certain {
            self.long = Some(Long { counted: 0, ..long });
            return Chunk::uncertain(std::mem::take(&mut self.current), None);
        }
        let (decided, until) = if let End::At(until) = end {
            long.horizon = i64::MAX;
            (long.pending.len(), until)
        } else {
            // No packet to come can lie before this time, so what precedes it has its final
            // successor.
            let decided = long.pending.len().saturating_sub(1 + REORDER);
            long.horizon = long.pending.get(decided).copied().unwrap_or(i64::MIN);
            (decided, self.slot(long.horizon))
        };
        let times: Vec<i64> = long.pending.drain(..decided).collect();
        let wanted = self.wanted(&times, until);
        long.wanted.extend(wanted.iter().map(|wanted| wanted.time));

        let undecided =
            |facts: &Facts| facts.role.disposable && facts.counted() >= Some(long.horizon);
        let ready = self
            .current
            .iter()
            .position(|(_, facts)| undecided(facts))
            .unwrap_or(self.current.len());
        let rest = self.current.split_off(ready);
        let handed = std::mem::replace(&mut self.current, rest);
        let skipping = self.skipping;
        let mut is_kept = |facts: &Facts| {
            let is_wanted = facts.counted().is_some_and(|time| long.wanted.remove(&time));
            !skipping || is_wanted || !facts.role.disposable
        };
        let packets = handed
            .into_iter()
            .map(|(packet, facts)| Planned { packet, keep: is_kept(&facts) })
            .collect();
        long.counted = self.current.len();
        self.long = Some(long);
        Chunk { packets, wanted, certain: true, until: None, first_picture: false }
    }
}

impl Long {
    /// Take up the times of further pictures; `false` where they contradict what was decided or
    /// stand twice.
    fn add(&mut self, fresh: &[i64]) -> bool {
        self.pending.extend(fresh);
        self.pending.sort_unstable();
        let rising = self.pending.windows(2).all(|pair| pair[0] < pair[1]);
        rising && self.pending.first().is_none_or(|first| *first >= self.horizon)
    }
}

/// For each packet of a span, whether a wanted picture needs it: seen from the end, because what
/// nobody later refers to is not needed.
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

/// The times of the pictures that count, rising; `None` where one is missing or stands twice, so
/// that they cannot be relied on.
fn rising_times<P>(span: &[(P, Facts)]) -> Option<Vec<i64>> {
    let counting = span.iter().filter(|(_, facts)| facts.role.shown && !facts.hidden);
    let mut times = counting.map(|(_, facts)| facts.time).collect::<Option<Vec<_>>>()?;
    times.sort_unstable();
    times.windows(2).all(|pair| pair[0] < pair[1]).then_some(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTHS: Ratio = Ratio::new(1, 10);

    fn facts(time: i64, entry: Entry, disposable: bool) -> Facts {
        let role = Role { entry, disposable, shown: true, slots: None };
        Facts { role, time: Some(time), duration: 1, size: 1, hidden: false }
    }

    /// Plan packets that are named by their times; ten pictures a second.
    fn plan(packets: &[Facts]) -> Vec<Plan<i64>> {
        let mut planner =
            Planner::new(Instants::of(&jobs::recipe::Selection::default()), TENTHS, true);
        for packet in packets {
            planner.push(packet.time.unwrap_or(-1), *packet);
        }
        planner.finish(|time, duration| time + duration);
        planner.take()
    }

    /// The times of the packets that are kept, plan by plan.
    fn kept(packets: &[Facts]) -> Vec<Vec<i64>> {
        let chunks = plan(packets).into_iter().map(Plan::into_chunk);
        chunks
            .map(|chunk| {
                chunk
                    .packets
                    .iter()
                    .filter(|planned| planned.keep)
                    .map(|planned| planned.packet)
                    .collect()
            })
            .collect()
    }

    #[test]
    fn what_follows_the_last_wanted_picture_is_not_sent() {
        let span: Vec<Facts> = (0..13)
            .map(|t| facts(t, if t == 0 { Entry::Clean } else { Entry::None }, false))
            .collect();
        // Of 1.3 seconds only the picture before 0.5 is wanted.
        assert_eq!(kept(&span), [[0, 1, 2, 3, 4]]);
    }

    #[test]
    fn pictures_that_nobody_refers_to_are_left_out_unless_they_are_wanted() {
        // I P b b P b b in decoding order: the P pictures lie at 3 and 6, and 4 is wanted.
        let span = [
            (0, false),
            (3, false),
            (1, true),
            (2, true),
            (6, false),
            (4, true),
            (5, true),
            (7, false),
        ];
        let span: Vec<Facts> = span
            .map(|(t, disposable)| {
                facts(t, if t == 0 { Entry::Clean } else { Entry::None }, disposable)
            })
            .into();
        assert_eq!(kept(&span), [[0, 3, 6, 4]]);
    }

    #[test]
    fn the_leading_pictures_of_an_open_entry_are_decoded_with_the_span_before() {
        // The entry at 6 is followed by 4 and 5, which precede it in time; 4 is wanted.
        let span = [
            facts(0, Entry::Clean, false),
            facts(3, Entry::None, false),
            facts(6, Entry::Open, false),
            facts(4, Entry::None, true),
            facts(5, Entry::None, true),
            facts(14, Entry::None, false),
            facts(15, Entry::None, false),
        ];
        assert_eq!(kept(&span), [vec![0, 3, 6, 4], vec![6, 14]]);
    }

    #[test]
    fn only_the_frames_in_the_slots_that_are_read_later_are_decoded() {
        let mut span = [0, 1, 2, 3, 4, 5]
            .map(|t| facts(t, if t == 0 { Entry::Clean } else { Entry::None }, false));
        let slots = [(0, 0xFF), (1, 2), (1, 4), (4, 8), (2, 0), (1, 16)]
            .map(|(reads, writes)| Some(Slots { reads, writes }));
        for (facts, slots) in span.iter_mut().zip(slots) {
            facts.role.slots = slots;
        }
        // The wanted picture at 4 reads slot 1 alone, which the picture at 1 wrote.
        assert_eq!(kept(&span), [[0, 1, 4]]);
    }

    #[test]
    fn an_endless_span_is_handed_on_in_pieces_and_nothing_wanted_is_lost() {
        // I, then groups of P and b, where b precedes P in time and no one refers to it.
        let mut packets = vec![facts(0, Entry::Clean, false)];
        for group in 0..3_000 {
            packets.push(facts(2 * group + 2, Entry::None, false));
            packets.push(facts(2 * group + 1, Entry::None, true));
        }
        let plans = plan(&packets);
        assert!(matches!(plans.first(), Some(Plan::Begin { .. })));
        assert!(matches!(plans.last(), Some(Plan::Continue { last: true, .. })));
        let chunks: Vec<_> = plans.into_iter().map(Plan::into_chunk).collect();
        assert!(chunks[1..].iter().all(|chunk| chunk.packets.len() <= CHUNK + 3 * REORDER));
        // Wanted are the last pictures before each half second: 4, 14, 24, all P; and every P is
        // needed.
        assert_eq!(kept(&packets).concat(), (0..=3_000).map(|group| 2 * group).collect::<Vec<_>>());
        let wanted: Vec<i64> =
            chunks.iter().flat_map(|chunk| &chunk.wanted).map(|wanted| wanted.time).collect();
        assert_eq!(wanted, (0..600).map(|second| 10 * second + 4).collect::<Vec<_>>());
    }

    #[test]
    fn a_video_that_answers_no_instant_gives_its_first_span() {
        let plans = plan(&[facts(0, Entry::Clean, false), facts(1, Entry::Clean, false)]);
        let [Plan::Whole { chunk, .. }] = plans.as_slice() else {
            panic!("one plan, not {plans:?}")
        };
        assert!(chunk.first_picture);
        assert_eq!(chunk.packets.len(), 1);
    }
}
