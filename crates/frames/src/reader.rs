//! Reader: reads the packets of a video, plans which of them are decoded, and starts a task for
//! each span.

mod parts;

use std::sync::mpsc;

use jobs::Warning;
use rayon::Scope;

use crate::av::{DemuxError, Demuxer, Packet};
use crate::context::StreamContext;
use crate::decode::SpanReport;
use crate::error::Error;
use crate::flow::{Aborted, Failure};
use crate::guide::Guide;
use crate::plan::{Continuation, PacketInfo, Plan, Planner};
use crate::preparation::{Preparation, PreparedPacket, packet_info};
use crate::route::Part;
use crate::select::Instants;
use crate::source::{ReadError, SharedSource};
use crate::span::{SharedResources, SpanTask, WriterMessage};
use crate::time::MICROSECONDS;

/// An opened video.
pub(crate) struct Input<'a> {
    pub demuxer: Demuxer,
    /// Guide to the parts that are read. Without it, the whole video is read.
    pub guide: Option<&'a Guide>,
    pub source: &'a SharedSource,
    pub read_error: ReadError,
}

/// Result of reading a video.
#[derive(Default)]
pub(crate) struct ReadSummary {
    /// First tick after the video, according to its packets.
    pub until: Option<i64>,
    /// First tick after the video, according to its container, if the packets end earlier because
    /// of truncation or damage.
    pub stated_until: Option<i64>,
    /// Whether the file is truncated, or cannot be read to its end.
    pub truncated: bool,
    /// Number of packets that the container marks as cut short or damaged.
    pub damaged_packets: u64,
    /// End of the packets in units of the time base.
    pub end: i64,
    /// Parts that were read; `None` if the whole video was.
    pub parts: Option<Vec<Part>>,
    pub warnings: Vec<Warning>,
}

/// Reason why reading ended early.
enum ReadFailure {
    /// Another step has failed. The flow holds the reason.
    Aborted,
    Failure(Failure),
}

impl From<Error> for ReadFailure {
    fn from(error: Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Failure> for ReadFailure {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Aborted> for ReadFailure {
    fn from(Aborted: Aborted) -> Self {
        Self::Aborted
    }
}

/// Reader of one video.
pub(crate) struct Reader<'a, 'scope> {
    resources: &'scope SharedResources<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<WriterMessage>,
    next_span: u64,
    /// Receiver of the chunks of the long span that is being decoded.
    long_span: Option<mpsc::SyncSender<Continuation<PreparedPacket>>>,
}

impl<'a, 'scope> Reader<'a, 'scope> {
    pub(crate) fn new(
        resources: &'scope SharedResources<'scope>,
        scope: &'a Scope<'scope>,
        sender: mpsc::Sender<WriterMessage>,
    ) -> Self {
        Self { resources, scope, sender, next_span: 0, long_span: None }
    }

    /// Read the video to its end. Errors are stored in the flow.
    pub(crate) fn read(mut self, input: Input<'_>) -> ReadSummary {
        let result = match input.guide {
            Some(guide) => self.read_parts(input, guide),
            None => self.read_packets(input),
        };
        self.resources.flow.set_all_read();
        result.unwrap_or_else(|failure| {
            if let ReadFailure::Failure(failure) = failure {
                self.resources.flow.fail(failure);
            }
            ReadSummary::default()
        })
    }

    fn planner(&self) -> Planner<'scope, PreparedPacket> {
        let SharedResources { context, mode, .. } = *self.resources;
        let time_base = context.time_base();
        if let Some(range) = context.selector.key_frames().filter(|_| mode.planned) {
            return Planner::of_key_frames(range, time_base);
        }
        let instants = context.selector.instants().filter(|_| mode.planned);
        Planner::new(instants, time_base, context.info.reorder_delay)
    }

    fn read_packets(&mut self, mut input: Input<'_>) -> Result<ReadSummary, ReadFailure> {
        let SharedResources { context, mode, .. } = *self.resources;
        let mut planner = self.planner();
        let mut preparation = Preparation::new(context.info);
        let mut extent = Extent::new(context);
        let mut summary = ReadSummary::default();
        loop {
            context.stop.check()?;
            if self.resources.flow.has_failed() {
                return Err(ReadFailure::Aborted);
            }
            match input.demuxer.read() {
                Ok(packet) => {
                    summary.damaged_packets += u64::from(packet.is_corrupt());
                    let (prepared, role) = preparation.prepare(packet);
                    let info = packet_info(context.info, role, &prepared.packet);
                    extent.add(&prepared.packet, &info)?;
                    planner.push(prepared, info);
                }
                Err(DemuxError::End) => break,
                Err(DemuxError::Damaged(reason)) => {
                    context.stop.check()?;
                    if let Some(error) = input.read_error.take() {
                        return Err(error.into());
                    }
                    summary.warnings.push(Warning::ContainerDamaged { reason });
                    summary.truncated = true;
                    break;
                }
            }
            if !planner.is_predictable() {
                return Err(Failure::Restart(mode.in_order()).into());
            }
            self.start(planner.take_plans())?;
        }
        context.stop.check()?;
        if let Some(error) = input.read_error.take() {
            return Err(error.into());
        }
        let end = planner.finish(|time, duration| context.end(time, duration));
        if !planner.is_predictable() {
            return Err(Failure::Restart(mode.in_order()).into());
        }
        if planner.is_contradictory() {
            summary.warnings.push(Warning::TimesContradictory);
        }
        summary.until = end.and_then(|end| context.tick(end));
        self.start(planner.take_plans())?;
        summary.examine_file(input, context, extent.end)?;
        summary.compare_end(context, extent.end);
        summary.end = extent.end;
        Ok(summary)
    }

    /// Start the tasks of planned spans.
    fn start(&mut self, plans: Vec<Plan<PreparedPacket>>) -> Result<(), Aborted> {
        let context = self.resources.context;
        let first_tick = |from: Option<i64>| context.tick(from?);
        for plan in plans {
            if self.next_span == 0
                && let Plan::Whole { from, .. } | Plan::Begin { from, .. } = plan
            {
                // The writer drops its receiver only after a failure.
                let _ = self.sender.send(WriterMessage::Start { from: first_tick(from) });
            }
            match plan {
                Plan::Whole { from, chunk } => {
                    let from = first_tick(from);
                    let bytes: usize =
                        chunk.packets.iter().map(|planned| planned.packet.packet.size()).sum();
                    self.resources.flow.admit_span(bytes)?;
                    self.spawn(bytes, move |task| task.decode_whole(from, &chunk));
                }
                Plan::Begin { from, chunk } => {
                    let from = first_tick(from);
                    self.resources.flow.admit_span(0)?;
                    let (sender, chunks) = mpsc::sync_channel(1);
                    self.long_span = Some(sender);
                    self.spawn(0, move |task| task.decode_long(from, chunk, &chunks));
                }
                Plan::Continue(continuation) => {
                    let Some(sender) = self.long_span.as_ref() else { continue };
                    let is_last = continuation.is_last;
                    // The task drops its receiver early only after a failure.
                    sender.send(continuation).map_err(|_| Aborted)?;
                    if is_last {
                        self.long_span = None;
                    }
                }
            }
        }
        Ok(())
    }

    /// Run `work` on a span with packets of `bytes`, on a thread of the pool.
    fn spawn(
        &mut self,
        bytes: usize,
        work: impl FnOnce(&mut SpanTask<'_, 'scope>) -> Result<SpanReport, Failure> + Send + 'scope,
    ) {
        let (resources, sender, span) = (self.resources, self.sender.clone(), self.next_span);
        let flow = resources.flow;
        self.next_span += 1;
        self.scope.spawn(move |scope| {
            let _guard = flow.abort_on_panic();
            let working = flow.start_work();
            let mut task = SpanTask::new(resources, scope, sender, span);
            let result =
                if flow.has_failed() { Ok(SpanReport::default()) } else { work(&mut task) };
            drop(working);
            flow.span_decoded(bytes);
            match result {
                Ok(report) => task.finish(report),
                Err(failure) => flow.fail(failure),
            }
        });
    }
}

/// Part of the video that the packets read so far cover.
struct Extent<'a> {
    context: &'a StreamContext<'a>,
    instants: Option<&'a Instants>,
    /// End in units of the time base.
    end: i64,
    first_tick: Option<i64>,
}

impl<'a> Extent<'a> {
    fn new(context: &'a StreamContext<'a>) -> Self {
        Self { context, instants: context.selector.instants(), end: i64::MIN, first_tick: None }
    }

    /// Add a packet. Return an error if the video has too many ticks.
    fn add(&mut self, packet: &Packet, info: &PacketInfo) -> Result<(), Error> {
        let StreamContext { info: stream, limits, .. } = self.context;
        let decoding_time = || packet.decoding_time().map(|time| time.saturating_sub(stream.start));
        let Some(time) = info.time.or_else(decoding_time) else { return Ok(()) };
        self.end = self.end.max(self.context.end(time, info.duration));
        let Some(instants) = self.instants else { return Ok(()) };
        let tick = instants.tick(time, stream.source.time_base);
        let first = *self.first_tick.get_or_insert(tick);
        limits.check_frame_count(tick.saturating_sub(first).max(0) as u64)
    }
}

impl ReadSummary {
    /// Record what is unusual about the file, after its last packet was read. `end` is the end of
    /// the packets in units of the time base.
    fn examine_file(
        &mut self,
        input: Input<'_>,
        context: &StreamContext<'_>,
        end: i64,
    ) -> Result<(), Error> {
        let Input { demuxer, source, .. } = input;
        let dropped = demuxer.dropped_times();
        if dropped > 0 {
            self.warnings.push(Warning::TimesImplausible { packets: dropped });
        }
        // It must not read while the source is examined.
        drop(demuxer);
        if let Some(reason) = source.truncation()? {
            self.truncated = true;
            let end_s = end.max(0) as f64 * context.info.source.time_base.as_f64();
            self.warnings.push(Warning::FileTruncated { reason, end_s });
        }
        Ok(())
    }

    /// Warning about requested times after the end of the video, if it is intact.
    pub(crate) fn late_times(&self, context: &StreamContext<'_>) -> Option<Warning> {
        let (instants, unit) = (context.selector.instants()?, context.info.source.time_base);
        let late = instants.end()? - instants.tick(self.end, unit);
        let (times, end_s) = (late.max(0) as u64, context.info.seconds(self.end));
        (times > 0 && !self.truncated && self.damaged_packets == 0)
            .then_some(Warning::TimesAfterEnd { times, end_s })
    }

    /// Compare the end of the packets, in units of the time base, with that which the container
    /// states. If they differ, that is where a truncated or damaged video ends. Otherwise the
    /// statement is wrong.
    fn compare_end(&mut self, context: &StreamContext<'_>, end: i64) {
        if self.damaged_packets > 0 {
            self.warnings.push(Warning::PacketsDamaged { packets: self.damaged_packets });
        }
        let damaged = self.damaged_packets > 0 || self.truncated;
        let Some(stated) = context.info.missing_end(end, damaged) else { return };
        let tick = |end| Some(context.selector.instants()?.tick(end, MICROSECONDS));
        self.stated_until = tick(stated).filter(|_| damaged);
        let end_s = end as f64 * context.info.source.time_base.as_f64();
        self.warnings.push(Warning::EndDiffers { end_s, stated_s: stated as f64 / 1e6 });
    }
}
