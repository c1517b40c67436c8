//! Task of one span: decode it, and convert and encode its selected frames.

use std::sync::mpsc;

use parking_lot::Mutex;
use rayon::Scope;

use crate::av::{Decoder, Threads};
use crate::context::StreamContext;
use crate::decode::{Pass, PassError, SelectedFrame, SpanReport, Strictness};
use crate::error::Error;
use crate::flow::{Failure, Flow};
use crate::mode::{Mode, Reading};
use crate::plan::{Chunk, Continuation};
use crate::preparation::PreparedPacket;
use crate::rendering::{RenderedFrame, Renderer};
use crate::select::SpanStart;

/// Data shared by all threads of an extraction.
pub(crate) struct SharedResources<'a> {
    pub context: &'a StreamContext<'a>,
    pub renderer: &'a Renderer,
    pub flow: &'a Flow,
    pub mode: Mode,
    /// First tick without a frame in the archive, if an earlier start has written frames.
    pub resume_at: Option<i64>,
    /// Number of threads that decode and encode.
    pub threads: usize,
    /// Decoders that are not in use and equivalent to new ones: they have no threads, and received
    /// only packets with original headers.
    pub decoders: Mutex<Vec<Decoder>>,
}

/// Message from the reader and the span tasks to the writer.
pub(crate) enum WriterMessage {
    /// First message: the first tick of the video, if known from its packets.
    Start {
        from: Option<i64>,
    },
    Frame {
        position: FramePosition,
        frame: RenderedFrame,
    },
    /// All frames of a span were sent.
    SpanEnd {
        span: u64,
        frame_count: usize,
        report: SpanReport,
    },
}

/// Position of a frame in the archive: spans in order, and their frames in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FramePosition {
    pub span: u64,
    /// Number of frames of the span before this one.
    pub order: usize,
}

/// Task of one span.
pub(crate) struct SpanTask<'a, 'scope> {
    resources: &'scope SharedResources<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<WriterMessage>,
    span: u64,
    frame_count: usize,
}

impl<'a, 'scope> SpanTask<'a, 'scope> {
    pub(crate) fn new(
        resources: &'scope SharedResources<'scope>,
        scope: &'a Scope<'scope>,
        sender: mpsc::Sender<WriterMessage>,
        span: u64,
    ) -> Self {
        Self { resources, scope, sender, span, frame_count: 0 }
    }

    /// Report to the writer that all frames of the span were sent.
    pub(crate) fn finish(self, report: SpanReport) {
        let Self { sender, span, frame_count, .. } = self;
        // The writer drops its receiver only after a failure.
        let _ = sender.send(WriterMessage::SpanEnd { span, frame_count, report });
    }

    /// Decode a span that is held as a whole: first only the packets that are needed, and if
    /// one of them is damaged, all of them.
    ///
    /// libav's threads conceal damage differently from run to run and notice it at different times,
    /// and state that a used decoder keeps can affect its output. So with threads, the frames
    /// before the first error are decoded again on one thread, and all after it by a new decoder.
    /// Then the archive of a damaged video is deterministic, too.
    pub(crate) fn decode_whole(
        &mut self,
        from: Option<i64>,
        chunk: &Chunk<PreparedPacket>,
    ) -> Result<SpanReport, Failure> {
        let from = if self.selects_key_frames() { chunk.first_tick() } else { from };
        let threads = if chunk.requires_one_thread() {
            Threads::One
        } else if chunk.certain {
            self.threads_for(chunk)
        } else {
            self.all_threads()
        };
        let mut result = self.decode_needed(from, chunk, threads);
        if let (Err(PassError::Damaged(tick)), Threads::Many(_)) = (&result, threads) {
            result = self.decode_needed(tick.or(from), chunk, Threads::One);
        }
        if self.selects_key_frames() {
            // The numbers of later key frames depend on it. What a decoder makes of a damaged one
            // depends on those before.
            result = match result {
                Ok(report) if report.until == chunk.until_tick() => Ok(report),
                Ok(_) | Err(PassError::Damaged(_)) => Err(PassError::Unpredicted),
                Err(error) => Err(error),
            };
        } else if let (
            Err(PassError::Damaged(tick)),
            Reading::Whole | Reading::WholeByContradiction,
        ) = (&result, self.resources.mode.reading)
        {
            let tick = *tick;
            result = self.decode_damaged(tick.or(from), chunk);
        }
        let report = result.map_err(|error| self.failure(error))?;
        Ok(SpanReport { from: from.or(report.from), ..report })
    }

    fn selects_key_frames(&self) -> bool {
        self.resources.context.selector.key_frames().is_some()
    }

    /// Decode the packets of a span that are needed, up to the first error.
    fn decode_needed(
        &mut self,
        from: Option<i64>,
        chunk: &Chunk<PreparedPacket>,
        threads: Threads,
    ) -> Result<SpanReport, PassError> {
        let decoder = self.resources.decoder(threads)?;
        let mut pass =
            Pass::new(self.resources.context, decoder, self.start(from), Strictness::Exact);
        let report = self.run(&mut pass, chunk, chunk.kept())?;
        if chunk.has_original_headers() {
            self.resources.return_decoder(pass.into_decoder());
        }
        Ok(report)
    }

    /// Decode all packets of a span in which there are errors.
    fn decode_damaged(
        &mut self,
        from: Option<i64>,
        chunk: &Chunk<PreparedPacket>,
    ) -> Result<SpanReport, PassError> {
        let context = self.resources.context;
        let decoder = Decoder::open_for_damage(context.info, context.limits)?;
        let mut pass = Pass::new(context, decoder, self.start(from), Strictness::Lenient);
        let all_packets = chunk.packets.iter().map(|planned| &planned.packet);
        self.run(&mut pass, chunk, all_packets)
    }

    /// Start of the span at a tick, if it is known.
    fn start(&self, from: Option<i64>) -> SpanStart {
        SpanStart { from, is_first: self.span == 0 }
    }

    /// Failure of the extraction because of a pass that is not repeated alone.
    fn failure(&self, error: PassError) -> Failure {
        let mode = self.resources.mode;
        match error {
            PassError::Fatal(error) => Failure::Error(error),
            // What a damaged frame looks like depends on all packets around it.
            _ if mode.reading == Reading::Parts => Failure::Restart(mode.reading(Reading::Whole)),
            PassError::Damaged(_) => Failure::Restart(Mode { damaged: true, ..mode }),
            PassError::Unpredicted => Failure::Restart(mode.in_order()),
        }
    }

    fn run<'p>(
        &mut self,
        pass: &mut Pass<'_>,
        chunk: &Chunk<PreparedPacket>,
        packets: impl Iterator<Item = &'p PreparedPacket>,
    ) -> Result<SpanReport, PassError> {
        pass.expect(chunk);
        for prepared in packets {
            pass.decode(&prepared.packet, &mut |selected| self.process(selected))?;
        }
        pass.finish(chunk, &mut |selected| self.process(selected))
    }

    /// Decode a long span in order with one decoder, while its packets are read. `further`
    /// receives its other chunks.
    pub(crate) fn decode_long(
        &mut self,
        from: Option<i64>,
        first: Chunk<PreparedPacket>,
        further: &mpsc::Receiver<Continuation<PreparedPacket>>,
    ) -> Result<SpanReport, Failure> {
        let SharedResources { context, mode, .. } = *self.resources;
        // Its packets are not kept, so a damaged one requires another start.
        let (strictness, decoder) = if mode.damaged {
            (Strictness::Predicted, Decoder::open_for_damage(context.info, context.limits)?)
        } else {
            let decoder = Decoder::open(context.info, self.all_threads(), context.limits)?;
            (Strictness::Exact, decoder)
        };
        let mut pass = Pass::new(context, decoder, self.start(from), strictness);
        let mut next = Continuation { chunk: first, is_last: false };
        let result = loop {
            let Continuation { chunk, is_last } = next;
            if chunk.requires_one_thread() && !mode.damaged {
                return Err(Failure::Restart(Mode { damaged: true, ..mode }));
            }
            pass.expect(&chunk);
            let decoded = chunk.kept().try_for_each(|prepared| {
                pass.decode(&prepared.packet, &mut |selected| self.process(selected))
            });
            if let Err(error) = decoded {
                break Err(error);
            }
            if is_last {
                break pass.finish(&chunk, &mut |selected| self.process(selected));
            }
            // The reader drops the sender before the last chunk only after a failure, which it
            // reports.
            let Ok(received) = further.recv() else { return Ok(SpanReport::default()) };
            next = received;
        };
        result.map_err(|error| self.failure(error))
    }

    /// Threads of the decoder for a span. Spans are decoded in parallel on one thread each, which
    /// is faster than libav's frame threads, but the last spans share the cores.
    fn threads_for(&self, chunk: &Chunk<PreparedPacket>) -> Threads {
        /// Minimum number of packets for which frame threads pay off.
        const MIN_PACKETS: usize = 16;
        let threads = self.resources.threads;
        match self.resources.flow.spans_left() {
            Some(left) if left <= threads && threads > 1 && chunk.kept().count() >= MIN_PACKETS => {
                Threads::Many(threads.min((2 * threads).div_ceil(left.max(1))))
            }
            _ => Threads::One,
        }
    }

    /// Threads of the decoder for a span that delays all others.
    fn all_threads(&self) -> Threads {
        let threads = self.resources.threads;
        if threads == 1 { Threads::One } else { Threads::Many(threads) }
    }

    /// Convert and encode a frame: on this thread, where its pixels are in the cache, or on an idle
    /// one.
    fn process(&mut self, mut selected: SelectedFrame) -> Result<(), Error> {
        let Self { resources, span, .. } = *self;
        selected.ticks.retain(|tick| Some(*tick) >= resources.resume_at);
        if selected.ticks.is_empty() {
            return Ok(());
        }
        let position = FramePosition { span, order: self.frame_count };
        self.frame_count += 1;
        if resources.flow.admit_frame(span).is_err() {
            return Err(Error::Cancelled);
        }
        let sender = self.sender.clone();
        if resources.flow.has_idle_thread() {
            self.scope.spawn(move |_| {
                let _guard = resources.flow.abort_on_panic();
                let _working = resources.flow.start_work();
                if let Err(error) = resources.encode(selected, position, &sender) {
                    resources.flow.fail(error);
                }
            });
            return Ok(());
        }
        resources.encode(selected, position, &sender)
    }
}

impl SharedResources<'_> {
    /// Return an unused decoder, or open a new one.
    fn decoder(&self, threads: Threads) -> Result<Decoder, Error> {
        let unused = if threads == Threads::One { self.decoders.lock().pop() } else { None };
        match unused {
            Some(decoder) => Ok(decoder),
            None => Decoder::open(self.context.info, threads, self.context.limits),
        }
    }

    fn return_decoder(&self, mut decoder: Decoder) {
        if decoder.threads() == Threads::One {
            decoder.reset();
            self.decoders.lock().push(decoder);
        }
    }

    /// Encode a frame and send it to the writer.
    fn encode(
        &self,
        selected: SelectedFrame,
        position: FramePosition,
        sender: &mpsc::Sender<WriterMessage>,
    ) -> Result<(), Error> {
        if self.flow.has_failed() {
            return Ok(());
        }
        let frame = self
            .context
            .timing
            .encoding
            .measure(|| self.renderer.render(self.context, selected))?;
        self.flow.frame_encoded(frame.size());
        // The writer drops its receiver only after a failure.
        let _ = sender.send(WriterMessage::Frame { position, frame });
        Ok(())
    }
}
