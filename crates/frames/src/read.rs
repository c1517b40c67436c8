//! Reads the packets, plans which are needed, and hands the spans to the pool.

use std::sync::mpsc;

use ffmpeg_next as ff;
use rayon::Scope;

use crate::Error;
use crate::av::{self, Demuxer, ReadError, StreamInfo};
use crate::bitstream::{Classifier, Entry, Role};
use crate::decode::SpanReport;
use crate::flow::Stopped;
use crate::options::Decoding;
use crate::plan::{Chunk, Facts, Plan, Planner};
use crate::source::ReadFailure;
use crate::span::{Message, Studio, Task};
use crate::time::MICROSECONDS;

/// What the reading thread found out.
#[derive(Default)]
pub(crate) struct Read {
    /// First slot after the video, by its packets.
    pub until: Option<i64>,
    /// First slot after the video, by its container, if the packets end before.
    pub promised: Option<i64>,
    /// The container breaks off or is shorter than it says.
    pub broken_off: bool,
    /// Packets that the container knows to be cut short or damaged.
    pub damaged_packets: u64,
    pub warnings: Vec<String>,
}

/// Turns packets into spans and hands these to the pool.
pub(crate) struct Reader<'a, 'scope> {
    studio: &'scope Studio<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<Message>,
    next_span: u64,
    long: Option<mpsc::SyncSender<(Chunk<ff::Packet>, bool)>>,
}

impl<'a, 'scope> Reader<'a, 'scope> {
    pub(crate) fn new(
        studio: &'scope Studio<'scope>,
        scope: &'a Scope<'scope>,
        sender: mpsc::Sender<Message>,
    ) -> Self {
        Self { studio, scope, sender, next_span: 0, long: None }
    }

    /// Read the video to its end. What goes wrong is left in the flow.
    pub(crate) fn read(
        mut self,
        mut demuxer: Demuxer,
        failure: &ReadFailure,
        cut_off: bool,
    ) -> Read {
        let result = self.read_all(&mut demuxer, failure, cut_off);
        self.studio.flow.all_read();
        match result {
            Ok(read) => read,
            Err(error) => {
                if let Some(error) = error {
                    self.studio.flow.fail(error);
                }
                Read::default()
            }
        }
    }

    /// `None` as an error says that another step has failed and has said so.
    fn read_all(
        &mut self,
        demuxer: &mut Demuxer,
        failure: &ReadFailure,
        cut_off: bool,
    ) -> Result<Read, Option<Error>> {
        let Studio { scene, options, .. } = *self.studio;
        let selective = options.decoding == Decoding::Selective;
        let mut planner = Planner::new(scene.instants, scene.info.time_base, selective);
        let mut preparation = Preparation::new(scene.info);
        let mut read = Read::default();
        let mut end = i64::MIN;
        let mut first_slot = None;
        loop {
            scene.stop.check()?;
            if self.studio.flow.has_failed() {
                return Err(None);
            }
            match demuxer.read() {
                Ok(mut packet) => {
                    let role = preparation.prepare(&mut packet);
                    let facts =
                        facts(scene.info, if selective { role } else { Role::UNKNOWN }, &packet);
                    read.damaged_packets += u64::from(packet.is_corrupt());
                    if let Some(time) = facts
                        .time
                        .or(packet.dts().map(|time| time.saturating_sub(scene.info.start)))
                    {
                        end = end.max(scene.end(time, facts.duration));
                        let slot = scene.slot(time);
                        let first = *first_slot.get_or_insert(slot);
                        let limit = options.limits.max_frames;
                        if slot.saturating_sub(first) > limit as i64 {
                            return Err(Some(Error::TooLong { limit }));
                        }
                    }
                    planner.push(packet, facts);
                }
                Err(ReadError::End) => break,
                Err(ReadError::Damaged(reason)) => {
                    scene.stop.check()?;
                    if let Some(error) = failure.take() {
                        return Err(Some(error));
                    }
                    read.warnings.push(format!("the container breaks off: {reason}"));
                    read.broken_off = true;
                    break;
                }
            }
            self.hand_on(planner.take()).map_err(|Stopped| None)?;
        }
        scene.stop.check()?;
        if let Some(error) = failure.take() {
            return Err(Some(error));
        }
        read.until = planner.finish(|time, duration| scene.end(time, duration));
        self.hand_on(planner.take()).map_err(|Stopped| None)?;
        if read.damaged_packets > 0 {
            read.warnings.push(format!("packets cut short or damaged: {}", read.damaged_packets));
        }
        read.broken_off |= cut_off;
        let shortfall = scene.info.shortfall(end, read.damaged_packets > 0 || read.broken_off);
        read.promised = shortfall.map(|promised| scene.instants.tick(promised, MICROSECONDS));
        if read.broken_off || read.promised.is_some() {
            read.broken_off = true;
            read.warnings
                .push("the video ends before its container says that it should".to_owned());
        }
        Ok(read)
    }

    fn hand_on(&mut self, plans: Vec<Plan<ff::Packet>>) -> Result<(), Stopped> {
        for plan in plans {
            if self.next_span == 0
                && let Plan::Whole { from, .. } | Plan::Begin { from, .. } = plan
            {
                // The archive's thread is gone only after a failure.
                let _ = self.sender.send(Message::Begin { from });
            }
            match plan {
                Plan::Whole { from, chunk } => {
                    let bytes = size(&chunk);
                    self.studio.flow.admit_span(bytes)?;
                    self.spawn(bytes, move |task| task.whole(from, &chunk));
                }
                Plan::Begin { from, chunk } => {
                    self.studio.flow.admit_span(0)?;
                    let (sender, chunks) = mpsc::sync_channel(1);
                    self.long = Some(sender);
                    self.spawn(0, move |task| task.long(from, chunk, &chunks));
                }
                Plan::Continue { chunk, last } => {
                    let Some(sender) = self.long.as_ref() else { continue };
                    // The other end is gone only after a failure.
                    sender.send((chunk, last)).map_err(|_| Stopped)?;
                    if last {
                        self.long = None;
                    }
                }
            }
        }
        Ok(())
    }

    fn spawn(
        &mut self,
        bytes: usize,
        work: impl FnOnce(&mut Task<'_, 'scope>) -> Result<SpanReport, Error> + Send + 'scope,
    ) {
        let (studio, sender, span) = (self.studio, self.sender.clone(), self.next_span);
        self.next_span += 1;
        self.scope.spawn(move |scope| {
            let _watch = studio.flow.watch();
            let working = studio.flow.work();
            let mut task = Task::new(studio, scope, sender, span);
            let result =
                if studio.flow.has_failed() { Ok(SpanReport::default()) } else { work(&mut task) };
            drop(working);
            studio.flow.span_decoded(bytes);
            match result {
                Ok(report) => task.end(report),
                Err(error) => studio.flow.fail(error),
            }
        });
    }
}

/// Bytes of a chunk's packets.
fn size(chunk: &Chunk<ff::Packet>) -> usize {
    chunk.packets.iter().map(|planned| planned.packet.size()).sum()
}

/// What the planner needs to know of `packet`.
pub(crate) fn facts(info: &StreamInfo, role: Role, packet: &ff::Packet) -> Facts {
    Facts {
        role,
        time: packet.pts().map(|time| time.saturating_sub(info.start)),
        duration: packet.duration().max(0),
        size: packet.size(),
        hidden: av::is_hidden(packet),
    }
}

/// Makes packets fit for a decoder that has not seen those before them.
pub(crate) struct Preparation {
    classifier: Classifier,
    /// Configuration that replaced the stream's own on the way.
    extradata: Option<Vec<u8>>,
}

impl Preparation {
    pub(crate) fn new(info: &StreamInfo) -> Self {
        Self { classifier: Classifier::new(info), extradata: None }
    }

    /// Make `packet` fit and tell its role.
    pub(crate) fn prepare(&mut self, packet: &mut ff::Packet) -> Role {
        let changed = packet
            .side_data()
            .find(|data| data.kind() == ff::packet::side_data::Type::NewExtraData)
            .map(|data| data.data().to_vec());
        let role = self.classifier.role(packet);
        if role.entry != Entry::None {
            let sets = self.classifier.parameter_sets();
            if !sets.is_empty()
                && let Some(data) = packet.data()
            {
                let whole = [&sets, data].concat();
                *packet = av::with_data(packet, &whole);
            }
            if let (None, Some(extradata)) = (&changed, &self.extradata) {
                av::set_extradata(packet, extradata);
            }
        }
        self.extradata = changed.or(self.extradata.take());
        role
    }
}
