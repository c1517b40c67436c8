//! Decoding of one span: from its packets to the selected frames.

use std::collections::VecDeque;

use crate::av::{DecodeError, Decoder, Frame, Packet};
use crate::best_effort::BestEffort;
use crate::context::StreamContext;
use crate::error::Error;
use crate::plan::{Chunk, WantedFrame};
use crate::select::{DecodedFrame, Measure, Selected, SelectionPass, SpanEnd, SpanStart};

/// Frame for the archive.
pub(crate) struct SelectedFrame {
    pub frame: Frame,
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// Ticks for which the frame is selected.
    pub ticks: Vec<i64>,
    /// Measure of its content that decided.
    pub measure: Option<Measure>,
    /// Whether the decoder reported errors in the frame, or in one that it may refer to.
    pub has_errors: bool,
}

/// Result of decoding a span.
#[derive(Debug, Default)]
pub(crate) struct SpanReport {
    /// First tick of the span, if known.
    pub from: Option<i64>,
    /// First tick after the span, if known.
    pub until: Option<i64>,
    /// Part of the span with errors, if there are any.
    pub damage: Option<Damage>,
}

/// Part of a span in which errors were found. Times are in units of the stream's time base, from
/// the start of the video.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Damage {
    /// Timestamp of the first error.
    pub from: i64,
    /// Timestamp of the last error.
    pub to: i64,
}

/// Last frame that was decoded, in units of the stream's time base.
#[derive(Debug, Clone, Copy)]
struct LastFrame {
    time: i64,
    duration: i64,
}

/// Reaction of a pass to errors and unexpected frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// End at the first error, and at the first frame that the timestamps did not predict.
    Exact,
    /// Report errors. Before the first one, end at a frame that the timestamps did not predict.
    Predicted,
    /// Report errors, and accept all frames.
    Lenient,
}

/// Reason why a pass over a span ended early.
pub(crate) enum PassError {
    /// A packet is damaged. The span has to be decoded again, with no packet left out, from this
    /// tick on.
    Damaged(Option<i64>),
    /// The timestamps of the packets did not predict the frames.
    Unpredicted,
    /// The extraction has failed.
    Fatal(Error),
}

impl From<Error> for PassError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// One pass of a decoder over a span.
pub(crate) struct Pass<'a> {
    context: &'a StreamContext<'a>,
    decoder: Decoder,
    times: BestEffort,
    selection: Box<dyn SelectionPass + 'a>,
    /// First tick for which frames are selected, if it is known.
    start: Option<i64>,
    /// Frames that the planner wants and that were not decoded yet.
    wanted: VecDeque<WantedFrame>,
    /// Whether `wanted` has included every wanted frame so far.
    certain: bool,
    strictness: Strictness,
    /// Whether an earlier frame had an error that later frames may inherit.
    after_error: bool,
    /// Presentation time of the latest packet. With one thread, errors are those of this packet.
    packet_time: Option<i64>,
    /// End of the latest packet by decoding time, from the start of the video.
    packet_end: Option<i64>,
    /// Time of the next frame without timestamps, after the last packet.
    drained_time: Option<i64>,
    last: Option<LastFrame>,
    report: SpanReport,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        context: &'a StreamContext<'a>,
        mut decoder: Decoder,
        start: SpanStart,
        strictness: Strictness,
    ) -> Self {
        let from = start.from;
        if context.selector.key_frames().is_some() {
            decoder.output_only_key_frames();
        }
        Self {
            context,
            decoder,
            times: BestEffort::default(),
            selection: context.selector.start(start),
            start: from,
            wanted: VecDeque::new(),
            certain: true,
            strictness,
            after_error: false,
            packet_time: None,
            packet_end: None,
            drained_time: None,
            last: None,
            report: SpanReport { from, ..SpanReport::default() },
        }
    }

    /// Add the frames that are wanted from the packets that follow, except for ticks before the
    /// start of the pass.
    pub(crate) fn expect<P>(&mut self, chunk: &Chunk<P>) {
        self.certain &= chunk.certain;
        let start = self.start.unwrap_or(i64::MIN);
        let remaining = chunk.wanted.iter().filter(|wanted| wanted.ticks.end > start);
        self.wanted.extend(remaining.map(|WantedFrame { ticks, time }| WantedFrame {
            ticks: ticks.start.max(start)..ticks.end,
            time: *time,
        }));
    }

    /// Decode one packet. `emit` receives each frame that is selected.
    pub(crate) fn decode(
        &mut self,
        packet: &Packet,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        self.context.stop.check()?;
        let start = self.context.info.start;
        let time = packet.presentation_time().or(packet.decoding_time());
        self.packet_time = time.map(|time| time.saturating_sub(start));
        let decoding_time = packet.decoding_time().map(|time| time.saturating_sub(start));
        let end = |time| self.context.info.end(time, packet.duration());
        self.packet_end = decoding_time.map(end).or(self.packet_end);
        // Some decoders do not report packets that are cut short or follow a loss.
        if packet.is_corrupt() {
            self.handle_error(DecodeError::Damaged, self.packet_time)?;
        }
        if let Err(error) = self.context.timing.decoding.measure(|| self.decoder.send(packet)) {
            self.handle_error(error, self.packet_time)?;
        }
        self.receive_frames(emit)
    }

    /// Return the decoder.
    pub(crate) fn into_decoder(self) -> Decoder {
        self.decoder
    }

    /// End the span, of which `chunk` is the last part.
    pub(crate) fn finish<P>(
        &mut self,
        chunk: &Chunk<P>,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<SpanReport, PassError> {
        self.context.timing.decoding.measure(|| self.decoder.drain());
        self.drained_time = self.packet_end;
        self.receive_frames(emit)?;
        let last_frame_end =
            self.last.map(|LastFrame { time, duration }| self.context.end(time, duration));
        let last = self.selection.finish(SpanEnd {
            until: chunk.until,
            last_frame_end,
            select_first: chunk.select_first,
            ends_video: chunk.ends_video,
        });
        if let Some(selected) = last.selected {
            self.select(selected, emit)?;
        }
        if self.is_predicted() && !self.wanted.is_empty() {
            return Err(PassError::Unpredicted);
        }
        self.report.until = last.until;
        Ok(std::mem::take(&mut self.report))
    }

    fn receive_frames(
        &mut self,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        loop {
            match self.context.timing.decoding.measure(|| self.decoder.receive()) {
                Ok(Some(frame)) => self.handle_frame(frame, emit)?,
                Ok(None) => return Ok(()),
                Err(error) => self.handle_error(error, self.packet_time)?,
            }
            self.context.stop.check()?;
        }
    }

    fn handle_frame(
        &mut self,
        frame: Frame,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        let info = self.context.info;
        let estimate = self.times.time(frame.presentation_time(), frame.decoding_time());
        let time = estimate.map(|timestamp| timestamp.saturating_sub(info.start));
        let Some(time) = time.or_else(|| self.next_drained_time()) else { return Ok(()) };
        self.context.limits.check_frame(frame.width(), frame.height())?;
        if frame.has_errors() {
            self.handle_error(DecodeError::Damaged, Some(time))?;
        }
        // A frame that decodes without error may still copy from one that did not. A key frame
        // copies nothing, but the key frames of H.264 and HEVC within a span are only recovery
        // points.
        let restarts = frame.is_key() && !matches!(info.source.codec.as_str(), "h264" | "hevc");
        let is_later = self.report.damage.is_none_or(|damage| damage.to < time);
        self.after_error &= !(restarts && is_later);
        let has_errors = self.after_error;
        self.last = Some(LastFrame { time, duration: frame.duration() });
        let selected = self.selection.push(DecodedFrame { frame, time, has_errors })?;
        self.report.from = self.report.from.or(self.selection.next_tick());
        selected.map_or(Ok(()), |selected| self.select(selected, emit))
    }

    /// Time of a frame without timestamps that the decoder still held after the last packet: the
    /// times continue where the packets end (FFmpeg 5.1, fftools/ffmpeg.c, `decode_video`).
    fn next_drained_time(&mut self) -> Option<i64> {
        let time = self.drained_time?;
        self.drained_time = Some(self.context.info.end(time, 0));
        Some(time)
    }

    /// Emit a frame for those of its ticks for which it is certainly correct.
    fn select(
        &mut self,
        selected: Selected<DecodedFrame>,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        let Selected { frame, own_tick, ticks, measure } = selected;
        let DecodedFrame { frame, time, has_errors } = frame;
        let duration = self.context.info.display_end(time, frame.duration()) - time;
        let instants = self.context.selector.instants();
        let unit = self.context.time_base();
        let is_close = |n: i64| {
            n >= own_tick
                && instants.is_none_or(|instants| instants.is_close(n, time, duration, unit))
        };
        self.context.limits.check_frame_count(ticks.end.saturating_sub(ticks.start) as u64)?;
        let ticks: Vec<i64> = if self.is_predicted() {
            if self.wanted.front() != Some(&WantedFrame { ticks: ticks.clone(), time }) {
                return Err(PassError::Unpredicted);
            }
            self.wanted.pop_front();
            ticks.collect()
        } else {
            ticks.filter(|n| is_close(*n) || self.is_correct_frame(*n, time)).collect()
        };
        if !ticks.is_empty() {
            emit(SelectedFrame { frame, time, ticks, measure, has_errors })?;
        }
        Ok(())
    }

    /// Whether every frame that is selected is one that the planner wants.
    fn is_predicted(&self) -> bool {
        self.certain
            && match self.strictness {
                Strictness::Exact => true,
                Strictness::Predicted => self.report.damage.is_none(),
                Strictness::Lenient => false,
            }
    }

    /// Whether a frame may be selected for tick `n` although later frames before it may be lost: if
    /// the planner predicted it, or if nothing can have been lost.
    fn is_correct_frame(&mut self, n: i64, time: i64) -> bool {
        while self.wanted.front().is_some_and(|wanted| wanted.ticks.end <= n) {
            self.wanted.pop_front();
        }
        let predicted = self
            .wanted
            .front()
            .is_some_and(|wanted| wanted.ticks.contains(&n) && wanted.time == time);
        predicted || (!self.certain && self.report.damage.is_none())
    }

    /// Handle an error at `time`, if that is known.
    fn handle_error(&mut self, error: DecodeError, time: Option<i64>) -> Result<(), PassError> {
        match error {
            DecodeError::Fatal(error) => Err(PassError::Fatal(error)),
            DecodeError::Damaged if self.strictness == Strictness::Exact => {
                Err(PassError::Damaged(self.selection.next_tick()))
            }
            DecodeError::Damaged => {
                self.after_error = true;
                let last = self.last.map(|last| last.time);
                if let Some(time) = time.or(last) {
                    let Damage { from, to } =
                        self.report.damage.unwrap_or(Damage { from: time, to: time });
                    self.report.damage = Some(Damage { from: from.min(time), to: to.max(time) });
                } else {
                    self.report.damage.get_or_insert(Damage { from: 0, to: 0 });
                }
                Ok(())
            }
        }
    }
}
