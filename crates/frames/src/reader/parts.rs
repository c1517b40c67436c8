//! Reading of the parts of a video that hold the wanted frames.

use crate::av::Demuxer;
use crate::context::StreamContext;
use crate::flow::Failure;
use crate::guide::Guide;
use crate::mode::{Mode, Reading};
use crate::plan::{Plan, Planner};
use crate::preparation::{Preparation, PreparedPacket, packet_info};
use crate::route::{Part, Route, Step, Unfit};
use crate::select::Instants;

use super::{Input, ReadFailure, ReadSummary, Reader};

/// Maximum size of packets whose plans are held until all others are read, in bytes.
const MAX_HELD_BYTES: usize = 32 << 20;

impl Reader<'_, '_> {
    /// Read only the parts of the video to which a guide leads.
    pub(super) fn read_parts(
        &mut self,
        mut input: Input<'_>,
        guide: &Guide,
    ) -> Result<ReadSummary, ReadFailure> {
        let (context, mode) = (self.resources.context, self.resources.mode);
        let Some(instants) = context.selector.instants() else {
            return Err(Unfit::Insufficient.failure(mode));
        };
        check_count(context, instants, guide)?;
        let mut parts = PartPlanner::new(context, instants, guide);
        while !parts.is_done {
            context.stop.check()?;
            if self.resources.flow.has_failed() {
                return Err(ReadFailure::Aborted);
            }
            if let Err(unfit) = parts.advance(&mut input.demuxer) {
                context.stop.check()?;
                let error = input.read_error.take().map(ReadFailure::from);
                return Err(error.unwrap_or_else(|| unfit.failure(mode)));
            }
            let confirmed = parts.take_confirmed();
            if parts.has_read_all() {
                // The last spans share the cores from their beginning.
                self.resources.flow.set_all_read();
            }
            self.start(confirmed)?;
        }
        let has_plans = self.next_span > 0 || !parts.held.is_empty();
        let dropped = input.demuxer.dropped_times();
        // It must not read while the source is examined.
        drop(input.demuxer);
        if !has_plans && instants.include_first_frame()
            || dropped > 0
            || input.source.truncation()?.is_some()
        {
            return Err(Unfit::Insufficient.failure(mode));
        }
        let (held, parts) = parts.finish();
        self.start(held)?;
        let mut summary = ReadSummary {
            until: context.tick(guide.end.frames),
            end: guide.end.packets,
            parts: Some(parts),
            ..ReadSummary::default()
        };
        summary.compare_end(context, guide.end.packets);
        Ok(summary)
    }
}

/// Return an error if the video has too many ticks, as [`Extent`](super::Extent) does.
fn check_count(
    context: &StreamContext<'_>,
    instants: &Instants,
    guide: &Guide,
) -> Result<(), ReadFailure> {
    let tick = |time| instants.tick(time, context.time_base());
    let first = tick(guide.index.keys()[0].time);
    let last = tick(guide.end.latest).min(instants.limit(first));
    Ok(context.limits.check_frame_count(last.saturating_sub(first).max(0) as u64)?)
}

impl Unfit {
    /// Failure that causes the whole video to be read.
    fn failure(self, mode: Mode) -> ReadFailure {
        let reading = match self {
            Self::Contradiction => Reading::WholeByContradiction,
            Self::Insufficient => Reading::Whole,
        };
        Failure::Restart(mode.reading(reading)).into()
    }
}

/// Planner of the packets along a route.
struct PartPlanner<'a> {
    context: &'a StreamContext<'a>,
    guide: &'a Guide,
    route: Route<'a>,
    planner: Planner<'a, PreparedPacket>,
    preparation: Preparation,
    /// Plans that are not started. Instants that depend on the end to which the index led have to
    /// be confirmed by all packets first.
    held: Vec<Plan<PreparedPacket>>,
    /// Size of their packets, in bytes; `None` if they are not to be held.
    held_bytes: Option<usize>,
    is_done: bool,
}

impl<'a> PartPlanner<'a> {
    fn new(context: &'a StreamContext<'a>, instants: &'a Instants, guide: &'a Guide) -> Self {
        let info = context.info;
        Self {
            context,
            guide,
            route: Route::new(context, instants, guide),
            planner: Planner::new(Some(instants), info.source.time_base, info.reorder_delay),
            preparation: Preparation::new(info),
            held: Vec::new(),
            held_bytes: instants.depend_on_end().then_some(0),
            is_done: false,
        }
    }

    /// Take the next step of the route.
    fn advance(&mut self, demuxer: &mut Demuxer) -> Result<(), Unfit> {
        let info = self.context.info;
        match self.route.step(demuxer)? {
            Step::Packet(packet) => {
                let is_corrupt = packet.is_corrupt();
                self.held_bytes = self.held_bytes.map(|bytes| bytes + packet.size());
                let (prepared, role) = self.preparation.prepare(packet);
                if is_corrupt || !self.preparation.is_self_contained() {
                    return Err(Unfit::Insufficient);
                }
                let packet_info = packet_info(info, role, &prepared.packet);
                self.route.add(&packet_info)?;
                self.planner.push(prepared, packet_info);
            }
            Step::Cut(at) => self.planner.cut(at),
            Step::End => {
                let end = self.planner.finish(|time, duration| self.context.end(time, duration));
                if end != Some(self.guide.end.frames) {
                    return Err(Unfit::Contradiction);
                }
                self.is_done = true;
            }
            Step::Done => self.is_done = true,
        }
        let plans = self.planner.take_plans();
        let is_certain = self.planner.is_predictable()
            && !self.planner.is_contradictory()
            && plans.iter().all(Plan::is_certain);
        self.held.extend(plans);
        if is_certain { Ok(()) } else { Err(Unfit::Insufficient) }
    }

    /// Whether no packets will be read any more.
    fn has_read_all(&self) -> bool {
        self.is_done || self.route.has_ended()
    }

    /// Return the plans that can be started now.
    fn take_confirmed(&mut self) -> Vec<Plan<PreparedPacket>> {
        if self.held_bytes.is_some_and(|bytes| bytes <= MAX_HELD_BYTES) {
            return Vec::new();
        }
        self.held_bytes = None;
        std::mem::take(&mut self.held)
    }

    /// Return the other plans, and the parts that were read.
    fn finish(self) -> (Vec<Plan<PreparedPacket>>, Vec<Part>) {
        (self.held, self.route.into_parts())
    }
}
