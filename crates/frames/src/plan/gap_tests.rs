//! Plans of a stream of which parts are left out.

use proptest::prelude::*;

use crate::bitstream::Entry;

use super::chunk::{Chunk, PacketInfo, Plan};
use super::planner::Planner;
use super::tests::{Gop, TENTHS, gaps, gop, instants, packets, plan};
use super::wanted::WantedFrame;

/// What a decoder gets, and what is expected of it.
type Summary = (Vec<usize>, Vec<WantedFrame>);

fn summary(chunks: impl IntoIterator<Item = Plan<usize>>) -> Summary {
    let chunks: Vec<Chunk<usize>> = chunks.into_iter().map(Plan::into_chunk).collect();
    let kept = chunks.iter().flat_map(Chunk::kept).copied().collect();
    (kept, chunks.iter().flat_map(|chunk| &chunk.wanted).cloned().collect())
}

/// Plan a stream in which packets are left out as soon as they are known not to be needed.
fn plan_with_gaps(packets: &[PacketInfo]) -> Vec<Plan<usize>> {
    let instants = instants();
    let tick = |time| instants.tick(time, TENTHS);
    let times: Vec<i64> = packets.iter().filter_map(|info| info.time).collect();
    // First tick of the frames from a packet on, apart from leading ones.
    let mut planner = Planner::new(Some(&instants), TENTHS, 0);
    let mut plans = Vec::new();
    let mut at = 0;
    while at < packets.len() {
        planner.push(at, packets[at]);
        plans.extend(planner.take_plans());
        at += 1;
        // Frames whose successor is known: those before all that follow.
        let following = times[at..].iter().copied().min().unwrap_or(i64::MAX);
        let latest = times[..at].iter().copied().max().unwrap_or(i64::MIN);
        let later = times[..at].iter().copied().filter(|time| *time <= following);
        let Some(known) = later.max().filter(|known| *known == latest) else { continue };
        // The next entry at which a frame is wanted, or the end.
        let is_entry = |n: &usize| packets[*n].role.entry != Entry::None;
        let starts: Vec<usize> = (at..packets.len()).filter(is_entry).collect();
        let wanted = tick(known);
        let next = starts.iter().copied().rfind(|n| tick(times[*n]) <= wanted);
        if let Some(next) = next.filter(|next| tick(times[*next]) == wanted && *next > at) {
            planner.cut(known);
            at = next;
        }
    }
    assert!(planner.is_predictable());
    planner.finish(|time, duration| time + duration);
    plans.extend(planner.take_plans());
    plans
}

fn check(gops: &[Gop], gaps: &[i64]) -> Result<(), TestCaseError> {
    let packets = packets(gops, gaps);
    let whole = plan(&packets);
    if whole.iter().all(Plan::is_certain) {
        let (kept, wanted) = summary(plan_with_gaps(&packets));
        let (all_kept, all_wanted) = summary(whole);
        prop_assert_eq!(wanted, all_wanted);
        // A long span that ends early is decoded a little further in the whole stream.
        prop_assert!(kept.iter().all(|name| all_kept.contains(name)));
        let is_long = packets.len() > super::planner::MAX_PACKETS;
        prop_assert!(is_long || kept == all_kept, "{:?} instead of {:?}", kept, all_kept);
    }
    Ok(())
}

proptest! {
    #[test]
    fn what_is_left_out_changes_no_plan(
        gops in prop::collection::vec(gop(0..8), 1..12),
        gaps in gaps(),
    ) {
        check(&gops, &gaps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn what_is_left_out_of_long_spans_changes_no_plan(
        gops in prop::collection::vec(gop(400..700), 1..4),
        gaps in gaps(),
    ) {
        check(&gops, &gaps)?;
    }
}
