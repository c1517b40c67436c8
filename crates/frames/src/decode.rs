//! Decoding of one span: from its packets to the selected frames.

use std::collections::VecDeque;
use std::ops::Range;

use ffmpeg_next as ff;

use crate::av::{DecodeError, Decoder, Frame};
use crate::context::StreamContext;
use crate::error::Error;
use crate::plan::{Chunk, WantedFrame};
use crate::select::TickSelector;

/// Frame for the archive.
pub(crate) struct SelectedFrame {
    pub frame: Frame,
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
    /// Ticks for which the frame is selected.
    pub ticks: Vec<i64>,
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
    /// Timestamps of the first and the last error.
    pub damaged: Option<(i64, i64)>,
}

/// Reaction of a pass to errors and unexpected frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strictness {
    /// End at the first error, and at the first frame that the timestamps did not predict.
    Exact,
    /// End at the first error.
    ErrorFree,
    /// Continue, and report what is damaged.
    Lenient,
}

/// Reason why a pass over a span ended early.
pub(crate) enum PassError {
    /// The result contradicts the timestamps of the packets. The span has to be decoded again,
    /// with no packet left out, from this tick on.
    Retry(Option<i64>),
    /// The extraction has failed.
    Fatal(Error),
}

impl From<Error> for PassError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl PassError {
    /// Error of the extraction if the pass is not repeated.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Retry(_) => Error::NothingDecodable,
            Self::Fatal(error) => error,
        }
    }
}

/// One pass of a decoder over a span.
pub(crate) struct Pass<'a> {
    context: &'a StreamContext<'a>,
    decoder: Decoder,
    selector: TickSelector<DecodedFrame>,
    /// Frames that the planner wants and that were not decoded yet.
    wanted: VecDeque<WantedFrame>,
    /// Whether `wanted` has included every wanted frame so far.
    certain: bool,
    strictness: Strictness,
    /// Whether an earlier frame had an error that later frames may inherit.
    after_error: bool,
    /// First frame of the span, until a frame is selected.
    first: Option<DecodedFrame>,
    /// Timestamp and duration of the last frame.
    last: Option<(i64, i64)>,
    report: SpanReport,
}

struct DecodedFrame {
    frame: Frame,
    time: i64,
    tick: i64,
    has_errors: bool,
}

impl<'a> Pass<'a> {
    /// Start at tick `from`, or at that of the first frame.
    pub(crate) fn new(
        context: &'a StreamContext<'a>,
        decoder: Decoder,
        from: Option<i64>,
        strictness: Strictness,
    ) -> Self {
        Self {
            context,
            decoder,
            selector: TickSelector::new(from),
            wanted: VecDeque::new(),
            certain: true,
            strictness,
            after_error: false,
            first: None,
            last: None,
            report: SpanReport { from, ..SpanReport::default() },
        }
    }

    /// Add the frames that are wanted from the packets that follow.
    pub(crate) fn expect(&mut self, chunk: &Chunk<ff::Packet>) {
        self.certain &= chunk.certain;
        self.wanted.extend(chunk.wanted.iter().cloned());
    }

    /// Decode one packet. `emit` receives each frame that is selected.
    pub(crate) fn decode(
        &mut self,
        packet: &ff::Packet,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        self.context.stop.check()?;
        let start = self.context.info.start;
        let time = packet.pts().or(packet.dts()).map(|time| time.saturating_sub(start));
        // The container marks packets that are cut short. Some decoders do not report them.
        if packet.is_corrupt() {
            self.handle_error(DecodeError::Damaged, time)?;
        }
        if let Err(error) = self.context.timing.decoding.measure(|| self.decoder.send(packet)) {
            self.handle_error(error, time)?;
        }
        self.receive_frames(emit)
    }

    /// Return the decoder, ready for another span.
    pub(crate) fn into_decoder(mut self) -> Decoder {
        self.decoder.reset();
        self.decoder
    }

    /// End the span at tick `until`, or at the end of its last frame. `select_first` is
    /// [`Chunk::select_first`].
    pub(crate) fn finish(
        &mut self,
        until: Option<i64>,
        select_first: bool,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<SpanReport, PassError> {
        self.context.timing.decoding.measure(|| self.decoder.drain());
        self.receive_frames(emit)?;
        let end = until.or_else(|| {
            self.last.map(|(time, duration)| self.context.tick(self.context.end(time, duration)))
        });
        if let Some(end) = end {
            if let Some((frame, ticks)) = self.selector.finish(end) {
                self.select(frame, ticks, emit)?;
            } else if let Some(DecodedFrame { frame, time, tick, has_errors }) = self.first.take()
                && (select_first || (until.is_none() && end <= tick))
            {
                emit(SelectedFrame { frame, time, ticks: vec![tick], has_errors })?;
                self.report.until = Some(tick + 1);
            }
        }
        if self.strictness == Strictness::Exact && !self.wanted.is_empty() {
            return Err(PassError::Retry(self.selector.next()));
        }
        self.report.until = self.report.until.or(end);
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
                Err(error) => self.handle_error(error, None)?,
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
        let Some(timestamp) = frame.timestamp() else { return Ok(()) };
        let time = timestamp.saturating_sub(info.start);
        self.context.limits.check_frame(frame.width(), frame.height())?;
        if frame.has_errors() {
            self.handle_error(DecodeError::Damaged, Some(time))?;
        }
        // A frame that decodes without error may still copy from one that did not. A key frame
        // copies nothing, but the key frames of H.264 and HEVC within a span are only recovery
        // points.
        let resets = frame.is_key() && !matches!(info.codec.as_str(), "h264" | "hevc");
        self.after_error &= !resets || frame.has_errors();
        let has_errors = self.after_error;
        let tick = self.context.tick(time);
        self.report.from.get_or_insert(tick);
        if self.last.is_none() {
            self.first = frame.share().map(|frame| DecodedFrame { frame, time, tick, has_errors });
        }
        self.last = Some((time, frame.duration()));
        match self.selector.push(tick, DecodedFrame { frame, time, tick, has_errors }) {
            Some((frame, ticks)) => self.select(frame, ticks, emit),
            None => Ok(()),
        }
    }

    /// Emit a frame for those of its ticks for which it is certainly correct.
    fn select(
        &mut self,
        frame: DecodedFrame,
        ticks: Range<i64>,
        emit: &mut impl FnMut(SelectedFrame) -> Result<(), Error>,
    ) -> Result<(), PassError> {
        self.first = None;
        if self.strictness == Strictness::Exact {
            if self.wanted.front() != Some(&WantedFrame { ticks: ticks.clone(), time: frame.time })
            {
                return Err(PassError::Retry(Some(ticks.start)));
            }
            self.wanted.pop_front();
        }
        let limit = self.context.limits.max_frames;
        if ticks.end.saturating_sub(ticks.start) as u64 > limit {
            return Err(Error::TooLong { limit }.into());
        }
        let DecodedFrame { frame, time, tick, has_errors } = frame;
        let ticks: Vec<i64> = ticks
            .filter(|n| {
                self.strictness == Strictness::Exact || self.is_correct_frame(*n, time, tick)
            })
            .collect();
        if !ticks.is_empty() {
            emit(SelectedFrame { frame, time, ticks, has_errors })?;
        }
        Ok(())
    }

    /// Whether a frame may be selected for tick `n` although later frames before it may be lost: if
    /// the planner predicted it, or if it lies in the same interval.
    fn is_correct_frame(&mut self, n: i64, time: i64, tick: i64) -> bool {
        while self.wanted.front().is_some_and(|wanted| wanted.ticks.end <= n) {
            self.wanted.pop_front();
        }
        let predicted = self
            .wanted
            .front()
            .is_some_and(|wanted| wanted.ticks.contains(&n) && wanted.time == time);
        predicted || tick == n || (!self.certain && self.report.damaged.is_none())
    }

    /// Handle an error at `time`, if that is known.
    fn handle_error(&mut self, error: DecodeError, time: Option<i64>) -> Result<(), PassError> {
        match error {
            DecodeError::Fatal(error) => Err(PassError::Fatal(error)),
            DecodeError::Damaged if self.strictness != Strictness::Lenient => {
                Err(PassError::Retry(self.selector.next()))
            }
            DecodeError::Damaged => {
                self.after_error = true;
                // Frame threads report an error late and without its timestamp. After a first error
                // that adds no information.
                let last = self.last.filter(|_| self.report.damaged.is_none());
                if let Some(time) = time.or(last.map(|(time, _)| time)) {
                    let (from, to) = self.report.damaged.unwrap_or((time, time));
                    self.report.damaged = Some((from.min(time), to.max(time)));
                } else {
                    self.report.damaged.get_or_insert((0, 0));
                }
                Ok(())
            }
        }
    }
}
