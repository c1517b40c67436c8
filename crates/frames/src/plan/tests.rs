use std::ops::Range;

use jobs::Ratio;
use jobs::recipe::{Interval, Part};
use proptest::prelude::*;

use crate::bitstream::{Entry, ReferenceSlots, Role};
use crate::select::{Instants, Selected, TickSelector};

use super::chunk::{Chunk, Continuation, PacketInfo, Plan};
use super::frame_order::MAX_REORDER;
use super::long_span::CHUNK_PACKETS;
use super::planner::{MAX_PACKETS, Planner};
use super::wanted::WantedFrame;

pub(super) const TENTHS: Ratio = Ratio::new(1, 10);

fn packet(time: i64, entry: Entry, disposable: bool) -> PacketInfo {
    let role = Role { entry, disposable, ..Role::UNKNOWN };
    PacketInfo { role, time: Some(time), duration: 1, size: 1, hidden: false }
}

/// Entry of a span that starts at time 0.
fn clean_at_0(time: i64) -> Entry {
    if time == 0 { Entry::Clean } else { Entry::None }
}

pub(super) fn instants() -> Instants {
    Instants::every(Interval::ONE_SECOND, Part::default(), None)
}

/// Plan packets, which are named by their positions, for one frame per second.
pub(super) fn plan(packets: &[PacketInfo]) -> Vec<Plan<usize>> {
    plan_for(Some(&instants()), packets)
}

fn plan_for(instants: Option<&Instants>, packets: &[PacketInfo]) -> Vec<Plan<usize>> {
    let mut planner = Planner::new(instants, TENTHS, 0);
    let mut plans = Vec::new();
    for (name, info) in packets.iter().enumerate() {
        planner.push(name, *info);
        plans.extend(planner.take_plans());
    }
    planner.finish(|time, duration| time + duration);
    plans.extend(planner.take_plans());
    plans
}

/// Timestamps of the packets that are kept in each plan.
fn kept(packets: &[PacketInfo]) -> Vec<Vec<i64>> {
    let time = |name: &usize| packets[*name].time.expect("all timestamps are known");
    plan(packets).into_iter().map(|plan| plan.into_chunk().kept().map(time).collect()).collect()
}

/// Whether the packets can be decoded in spans. The decoder delays its output by no frames.
fn is_predictable(packets: &[PacketInfo]) -> bool {
    let instants = instants();
    let mut planner = Planner::new(Some(&instants), TENTHS, 0);
    for (name, info) in packets.iter().enumerate() {
        planner.push(name, *info);
        planner.take_plans();
    }
    planner.finish(|time, duration| time + duration);
    planner.is_predictable()
}

/// Three spans of ten frames. `change` is applied to the last one.
fn three_spans(change: impl Fn(&mut PacketInfo)) -> Vec<PacketInfo> {
    let entry = |time| if time % 10 == 0 { Entry::Clean } else { Entry::None };
    let mut packets: Vec<_> = (0..30).map(|time| packet(time, entry(time), false)).collect();
    packets[20..].iter_mut().for_each(change);
    packets
}

#[test]
fn spans_require_timestamps_that_agree_with_the_frames() {
    let time = |info: &PacketInfo| info.time.expect("a timestamp");
    assert!(is_predictable(&three_spans(|_| {})));
    assert!(!is_predictable(&three_spans(|info| info.time = Some(time(info) - 1))), "backward");
    assert!(!is_predictable(&three_spans(|info| info.time = None)), "unknown");
    let equal = three_spans(|info| info.time = Some(time(info).min(25)));
    assert!(!is_predictable(&equal), "not unique");
    let reversed = three_spans(|info| info.role.order = Some(-time(info)));
    assert!(!is_predictable(&reversed), "another order in the coded data");
    let reordered = |learns_delay| {
        three_spans(|info| {
            info.role.learns_delay = learns_delay;
            info.time = Some(if time(info) == 20 { 20 } else { 50 - time(info) });
        })
    };
    let numbered = |entry| {
        three_spans(|info| {
            info.role.order = Some(time(info) - 30);
            info.role.entry = if info.role.entry == Entry::None { Entry::None } else { entry };
        })
    };
    let with_orders = |entry| {
        let mut packets = numbered(entry);
        packets[..20].iter_mut().for_each(|info| info.role.order = Some(time(info)));
        packets
    };
    assert!(is_predictable(&with_orders(Entry::Clean)), "orders begin anew at an entry");
    assert!(!is_predictable(&with_orders(Entry::Open)), "orders go backward");
    assert!(is_predictable(&reordered(false)));
    assert!(!is_predictable(&reordered(true)), "reordered further than the decoder knows");
}

#[test]
fn the_first_frame_of_a_short_stream_without_an_entry_is_selected() {
    let packets: Vec<_> = (0..4).map(|time| packet(time, Entry::None, false)).collect();
    let chunks: Vec<_> = plan(&packets).into_iter().map(Plan::into_chunk).collect();
    assert_eq!(chunks.len(), 1);
    assert!(chunks[0].select_first);
    assert_eq!(chunks[0].kept().count(), 4);
}

/// Whether a decoder outputs the last frames of a span without an entry depends on the next one.
#[test]
fn a_first_span_without_an_entry_is_decoded_with_the_entry_after_it() {
    let entry = |time, at| if time == at { Entry::Clean } else { Entry::None };
    let packets: Vec<_> = (4..16).map(|time| packet(time, entry(time, 8), false)).collect();
    assert_eq!(kept(&packets), [vec![4, 5, 6, 7, 8], (8..15).collect()]);
    let at = 2 * MAX_PACKETS as i64;
    let packets: Vec<_> = (0..at + 9).map(|time| packet(time, entry(time, at), false)).collect();
    assert_eq!(kept(&packets).concat()[..=at as usize], (0..=at).collect::<Vec<_>>());
}

#[test]
fn a_stream_without_timestamps_is_one_span() {
    let unknown = |time| PacketInfo { time: None, ..packet(time, clean_at_0(time), false) };
    let packets: Vec<_> = (0..20).map(unknown).collect();
    assert!(is_predictable(&packets));
    let plans = plan(&packets);
    assert!(matches!(plans.first(), Some(Plan::Begin { .. })));
    let kept: usize = plans.into_iter().map(|plan| plan.into_chunk().kept().count()).sum();
    assert_eq!(kept, 20);
}

#[test]
fn drops_packets_after_the_last_wanted_frame() {
    let span: Vec<_> = (0..13).map(|time| packet(time, clean_at_0(time), false)).collect();
    // Of 1.3 seconds only the frame before 0.5 is wanted.
    assert_eq!(kept(&span), [[0, 1, 2, 3, 4]]);
}

#[test]
fn drops_unwanted_non_reference_frames() {
    // I P b b P b b in decoding order: the P frames are at 3 and 6, and 4 is wanted.
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
    let span = span.map(|(time, disposable)| packet(time, clean_at_0(time), disposable));
    assert_eq!(kept(&span), [[0, 3, 6, 4]]);
}

#[test]
fn decodes_leading_frames_of_an_open_entry_with_the_span_before() {
    // The entry at 6 is followed by 4 and 5, which precede it in time; 4 is wanted.
    let packets = [
        packet(0, Entry::Clean, false),
        packet(3, Entry::None, false),
        packet(6, Entry::Open, false),
        packet(4, Entry::None, true),
        packet(5, Entry::None, true),
        packet(14, Entry::None, false),
        packet(15, Entry::None, false),
    ];
    assert_eq!(kept(&packets), [vec![0, 3, 6, 4], vec![6, 14]]);
}

#[test]
fn keeps_only_frames_in_reference_slots_that_are_read_later() {
    let mut span = [0, 1, 2, 3, 4, 5].map(|time| packet(time, clean_at_0(time), false));
    let slots = [(0, 0xFF), (1, 2), (1, 4), (4, 8), (2, 0), (1, 16)];
    for (info, (reads, writes)) in span.iter_mut().zip(slots) {
        info.role.slots = Some(ReferenceSlots { reads, writes });
    }
    // The wanted frame at 4 reads only slot 1, which the frame at 1 wrote.
    assert_eq!(kept(&span), [[0, 1, 4]]);
}

#[test]
fn splits_a_long_span_into_chunks_without_losing_wanted_frames() {
    // I, then groups of P and b, where b precedes P in time and nothing refers to it.
    let mut packets = vec![packet(0, Entry::Clean, false)];
    for group in 0..3_000 {
        packets.push(packet(2 * group + 2, Entry::None, false));
        packets.push(packet(2 * group + 1, Entry::None, true));
    }
    let plans = plan(&packets);
    assert!(matches!(plans.first(), Some(Plan::Begin { .. })));
    assert!(matches!(plans.last(), Some(Plan::Continue(Continuation { is_last: true, .. }))));
    let chunks: Vec<_> = plans.into_iter().map(Plan::into_chunk).collect();
    let max = CHUNK_PACKETS + 3 * MAX_REORDER;
    assert!(chunks[1..].iter().all(|chunk| chunk.packets.len() <= max));
    // The last frames before each half second are wanted: 4, 14, 24, all P. Every P is needed.
    assert_eq!(kept(&packets).concat(), (0..=3_000).map(|group| 2 * group).collect::<Vec<_>>());
    let wanted: Vec<i64> =
        chunks.iter().flat_map(|chunk| &chunk.wanted).map(|wanted| wanted.time).collect();
    assert_eq!(wanted, (0..600).map(|second| 10 * second + 4).collect::<Vec<_>>());
}

#[test]
fn without_instants_large_packets_are_decoded_before_the_next_is_read() {
    let large = |time| PacketInfo { size: 8 << 20, ..packet(time, Entry::Clean, false) };
    let packets: Vec<_> = (0..5).map(large).collect();
    let plans = plan_for(None, &packets);
    assert!(plans.into_iter().all(|plan| plan.into_chunk().packets.len() <= 1));
}

#[test]
fn selects_the_first_frame_of_a_video_without_instants() {
    let plans = plan(&[packet(0, Entry::Clean, false), packet(1, Entry::Clean, false)]);
    let [Plan::Whole { chunk, .. }] = plans.as_slice() else { panic!("one plan, not {plans:?}") };
    assert!(chunk.select_first);
    assert_eq!(chunk.packets.len(), 1);
}

/// Group of pictures.
#[derive(Debug, Clone)]
pub(super) struct Gop {
    /// Frames that follow the entry and precede it in time. The entry is open if there are any.
    leading: Vec<Bidirectional>,
    /// B frames that follow each P frame and precede it in time.
    groups: Vec<Vec<Bidirectional>>,
}

/// Frame that is decoded after a frame that is later in time.
#[derive(Debug, Clone)]
struct Bidirectional {
    disposable: bool,
}

pub(super) fn gop(groups: Range<usize>) -> impl Strategy<Value = Gop> {
    let frames = |count: Range<usize>| {
        prop::collection::vec(
            any::<bool>().prop_map(|disposable| Bidirectional { disposable }),
            count,
        )
    };
    (frames(0..3), prop::collection::vec(frames(0..4), groups))
        .prop_map(|(leading, groups)| Gop { leading, groups })
}

/// Packets of a stream in decoding order. `gaps` are the times from frame to frame in presentation
/// order, used in turn.
pub(super) fn packets(gops: &[Gop], gaps: &[i64]) -> Vec<PacketInfo> {
    let mut gaps = gaps.iter().cycle();
    let mut time = 0;
    let mut next_time = || {
        time += gaps.next().copied().unwrap_or(1);
        time
    };
    let mut packets = Vec::new();
    for (n, Gop { leading, groups }) in gops.iter().enumerate() {
        // The first entry of a stream has no span before it for its leading frames.
        let leading = if n == 0 { &[] } else { leading.as_slice() };
        let entry = if leading.is_empty() { Entry::Clean } else { Entry::Open };
        add_group(&mut packets, leading, entry, &mut next_time);
        for frames in groups {
            add_group(&mut packets, frames, Entry::None, &mut next_time);
        }
    }
    packets
}

/// Add a reference frame and the frames that follow it and precede it in time.
fn add_group(
    packets: &mut Vec<PacketInfo>,
    frames: &[Bidirectional],
    entry: Entry,
    next_time: &mut impl FnMut() -> i64,
) {
    let earlier: Vec<_> =
        frames.iter().map(|frame| packet(next_time(), Entry::None, frame.disposable)).collect();
    packets.push(packet(next_time(), entry, false));
    packets.extend(earlier);
}

/// Frames that decoding everything in order selects, with their ticks.
fn linear_selection(packets: &[PacketInfo]) -> Vec<WantedFrame> {
    let tick = |time| instants().tick(time, TENTHS);
    let mut times: Vec<i64> = packets.iter().filter_map(|info| info.time).collect();
    times.sort_unstable();
    let mut selector = TickSelector::new(None);
    let mut selected: Vec<_> =
        times.iter().filter_map(|time| selector.push(tick(*time), *time)).collect();
    selected.extend(selector.finish(tick(times[times.len() - 1] + 1)));
    let wanted = |Selected { frame: time, ticks, .. }| WantedFrame { ticks, time };
    selected.into_iter().map(wanted).collect()
}

/// Frames that the plans want, with their ticks.
fn planned_selection(plans: &[Chunk<usize>]) -> Vec<WantedFrame> {
    plans.iter().flat_map(|chunk| &chunk.wanted).cloned().collect()
}

/// Chunks of each span.
fn spans(plans: Vec<Plan<usize>>) -> Vec<Vec<Chunk<usize>>> {
    let mut spans: Vec<Vec<Chunk<usize>>> = Vec::new();
    for plan in plans {
        match plan {
            Plan::Continue(Continuation { chunk, .. }) => {
                spans.last_mut().expect("a long span").push(chunk);
            }
            plan => spans.push(vec![plan.into_chunk()]),
        }
    }
    spans
}

/// Check a plan of packets: it selects what linear decoding selects, keeps what the selected frames
/// depend on, and holds every packet up to the last selected frame in decoding order.
fn check(packets: &[PacketInfo]) -> Result<(), TestCaseError> {
    let spans = spans(plan(packets));
    let expected = linear_selection(packets);
    let planned: Vec<_> = spans.iter().flat_map(|span| planned_selection(span)).collect();
    prop_assert_eq!(&planned, &expected);
    for span in &spans {
        let planned: Vec<_> = span.iter().flat_map(|chunk| &chunk.packets).collect();
        let wanted = planned_selection(span);
        let is_wanted =
            |name: usize| wanted.iter().any(|wanted| Some(wanted.time) == packets[name].time);
        let last = planned.iter().rposition(|planned| is_wanted(planned.packet));
        for (n, planned) in planned.iter().enumerate() {
            let needed = is_wanted(planned.packet)
                || (Some(n) <= last && !packets[planned.packet].role.disposable);
            prop_assert!(planned.keep || !needed, "packet {} is missing", planned.packet);
        }
        let names: Vec<usize> = planned.iter().map(|planned| planned.packet).collect();
        prop_assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "not in order: {names:?}");
    }
    Ok(())
}

/// Packets of spans without wanted frames are not planned; all others are.
fn check_coverage(packets: &[PacketInfo]) -> Result<(), TestCaseError> {
    let chunks: Vec<_> = plan(packets).into_iter().map(Plan::into_chunk).collect();
    let planned: Vec<usize> =
        chunks.iter().flat_map(|chunk| &chunk.packets).map(|planned| planned.packet).collect();
    let selected = linear_selection(packets);
    for (name, info) in packets.iter().enumerate() {
        let is_selected = selected.iter().any(|wanted| Some(wanted.time) == info.time);
        prop_assert!(planned.contains(&name) || !is_selected, "packet {name} is not planned");
    }
    Ok(())
}

pub(super) fn gaps() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(prop_oneof![Just(1), 1..4_i64, 8..30_i64], 1..20)
}

proptest! {
    #[test]
    fn selective_plans_equal_linear_selection(
        gops in prop::collection::vec(gop(0..8), 1..12),
        gaps in gaps(),
    ) {
        let packets = packets(&gops, &gaps);
        check(&packets)?;
        check_coverage(&packets)?;
    }

    #[test]
    fn without_instants_all_packets_are_decoded_in_order_as_one_span(
        gops in prop::collection::vec(gop(0..60), 1..12),
        gaps in gaps(),
    ) {
        let packets = packets(&gops, &gaps);
        let [span] = spans(plan_for(None, &packets)).try_into().expect("one span");
        prop_assert!(span.iter().all(|chunk| !chunk.certain && chunk.wanted.is_empty()));
        let kept: Vec<usize> = span.iter().flat_map(Chunk::kept).copied().collect();
        prop_assert!(kept.into_iter().eq(0..packets.len()));
        let end = packets.iter().filter_map(|info| info.time).max().map(|time| time + 1);
        let until: Vec<_> = span.iter().map(|chunk| chunk.until).collect();
        prop_assert_eq!(until.last(), Some(&end));
        prop_assert!(until[..until.len() - 1].iter().all(Option::is_none));
        prop_assert!(span.last().is_some_and(|chunk| chunk.select_first));
    }

    #[test]
    fn every_reference_slot_that_is_read_holds_the_right_frame(
        slots in prop::collection::vec(any::<(u8, u8)>(), 0..40),
        gap in 1..6_i64,
    ) {
        let slots: Vec<_> = [(0, 0xFF)].into_iter().chain(slots).collect();
        let packets: Vec<_> = slots
            .iter()
            .zip(0_i64..)
            .map(|((reads, writes), n)| {
                let mut info = packet(gap * n, clean_at_0(n), false);
                info.role.slots = Some(ReferenceSlots { reads: *reads, writes: *writes });
                info
            })
            .collect();
        for plan in plan(&packets) {
            let (mut all, mut pruned) = ([0; 8], [0; 8]);
            for planned in plan.into_chunk().packets {
                let (reads, writes) = slots[planned.packet];
                let is_in = |mask: u8, slot: usize| mask >> slot & 1 == 1;
                for slot in 0..8 {
                    prop_assert!(
                        !planned.keep || !is_in(reads, slot) || all[slot] == pruned[slot],
                        "packet {} reads a wrong frame in slot {slot}", planned.packet
                    );
                }
                for slot in (0..8).filter(|slot| is_in(writes, *slot)) {
                    all[slot] = planned.packet;
                    if planned.keep {
                        pruned[slot] = planned.packet;
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn long_spans_equal_linear_selection(
        gops in prop::collection::vec(gop(400..700), 1..3),
        gaps in gaps(),
    ) {
        check(&packets(&gops, &gaps))?;
    }
}
