//! The work on one span: decode it, and convert and encode the pictures that it gives.

use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use ffmpeg_next as ff;
use rayon::Scope;
use sha2::{Digest, Sha256};

use crate::av::{Decoder, Threads};
use crate::convert::Converter;
use crate::decode::{Halt, Pass, Rigor, Scene, SpanReport, Taken};
use crate::flow::Flow;
use crate::options::Options;
use crate::orientation::displayed_aspect;
use crate::plan::{Chunk, Planned};
use crate::{Error, png};

/// What the tasks of an extraction share: decoders and converters to use again, and the pace.
pub(crate) struct Studio<'a> {
    pub scene: &'a Scene<'a>,
    pub options: &'a Options,
    pub flow: &'a Flow,
    pub decoders: Mutex<Vec<Decoder>>,
    pub converters: Mutex<Vec<Converter>>,
}

/// What the tasks tell the archive.
pub(crate) enum Message {
    /// Before everything else: the first slot of the video, if its packets tell.
    Begin {
        from: Option<i64>,
    },
    Image {
        span: u64,
        order: usize,
        image: Image,
    },
    End {
        span: u64,
        images: usize,
        report: SpanReport,
    },
}

/// A picture ready for the archive.
pub(crate) struct Image {
    pub png: Vec<u8>,
    pub crc: u32,
    pub sha256: String,
    pub time: i64,
    pub slots: Vec<i64>,
    pub width: u32,
    pub height: u32,
    pub key_frame: bool,
    pub interlaced: bool,
    pub errors: bool,
}

/// The work on one span.
pub(crate) struct Task<'a, 'scope> {
    studio: &'scope Studio<'scope>,
    scope: &'a Scope<'scope>,
    sender: mpsc::Sender<Message>,
    span: u64,
    images: usize,
}

impl<'a, 'scope> Task<'a, 'scope> {
    pub(crate) fn new(
        studio: &'scope Studio<'scope>,
        scope: &'a Scope<'scope>,
        sender: mpsc::Sender<Message>,
        span: u64,
    ) -> Self {
        Self { studio, scope, sender, span, images: 0 }
    }

    /// Tell the archive that all pictures of the span have been told.
    pub(crate) fn end(self, report: SpanReport) {
        // The archive's thread is gone only after a failure.
        let _ = self.sender.send(Message::End { span: self.span, images: self.images, report });
    }

    /// Decode a span that is all there: first only what is needed, and if anything is not as
    /// promised, again in full.
    ///
    /// Frame threads conceal damage differently from run to run, and a used decoder's memory shows
    /// through it. So the second pass is a fresh decoder's on one thread, and the archive of a
    /// damaged video is the same every time too.
    pub(crate) fn whole(
        &mut self,
        from: Option<i64>,
        chunk: &Chunk<ff::Packet>,
    ) -> Result<SpanReport, Error> {
        let Studio { scene, .. } = *self.studio;
        let (threads, rigor) = if chunk.certain {
            (self.threads_for(chunk), Rigor::Exact)
        } else {
            (self.all_threads(), Rigor::Clean)
        };
        let mut pass = Pass::new(scene, self.studio.decoder(threads)?, from, rigor);
        let result =
            self.run(&mut pass, chunk, chunk.packets.iter().filter(|planned| planned.keep));
        self.studio.put_back(pass.into_decoder());
        let resume = match result {
            Err(Halt::Again(slot)) => slot.or(from),
            result => return stopped(result),
        };
        let decoder = Decoder::open(scene.info, Threads::One, scene.limits)?;
        let mut pass = Pass::new(scene, decoder, resume, Rigor::Lenient);
        let report = stopped(self.run(&mut pass, chunk, chunk.packets.iter()))?;
        Ok(SpanReport { from: from.or(report.from), ..report })
    }

    fn run<'p>(
        &mut self,
        pass: &mut Pass<'_>,
        chunk: &Chunk<ff::Packet>,
        packets: impl Iterator<Item = &'p Planned<ff::Packet>>,
    ) -> Result<SpanReport, Halt> {
        pass.expect(chunk);
        for planned in packets {
            pass.feed(&planned.packet, &mut |taken| self.take(taken))?;
        }
        pass.finish(chunk.until, chunk.first_picture, &mut |taken| self.take(taken))
    }

    /// Decode a span as its packets are read, in order with one decoder.
    pub(crate) fn long(
        &mut self,
        from: Option<i64>,
        first: Chunk<ff::Packet>,
        chunks: &mpsc::Receiver<(Chunk<ff::Packet>, bool)>,
    ) -> Result<SpanReport, Error> {
        let mut pass = Pass::new(
            self.studio.scene,
            self.studio.decoder(self.all_threads())?,
            from,
            Rigor::Lenient,
        );
        let (mut chunk, mut last) = (first, false);
        let result = loop {
            pass.expect(&chunk);
            let mut kept = chunk.packets.iter().filter(|planned| planned.keep);
            if let Err(halt) = kept
                .try_for_each(|planned| pass.feed(&planned.packet, &mut |taken| self.take(taken)))
            {
                break Err(halt);
            }
            if last {
                break pass.finish(chunk.until, false, &mut |taken| self.take(taken));
            }
            // The reader goes away in mid-span only after a failure, which it has told.
            let Ok(next) = chunks.recv() else { return Ok(SpanReport::default()) };
            (chunk, last) = next;
        };
        self.studio.put_back(pass.into_decoder());
        stopped(result)
    }

    /// Spans decode side by side, each on one thread, which beats libav's frame threads; but the
    /// last ones share the cores.
    fn threads_for(&self, chunk: &Chunk<ff::Packet>) -> Threads {
        const WORTH_THREADS: usize = 16;
        let threads = self.studio.options.threads.get();
        let kept = chunk.packets.iter().filter(|planned| planned.keep).count();
        match self.studio.flow.spans_left() {
            Some(left) if left <= threads && kept >= WORTH_THREADS && threads > 1 => {
                Threads::Frames(threads.min((2 * threads).div_ceil(left.max(1))))
            }
            _ => Threads::One,
        }
    }

    /// For spans that keep the others waiting.
    fn all_threads(&self) -> Threads {
        match self.studio.options.threads.get() {
            1 => Threads::One,
            threads => Threads::Frames(threads),
        }
    }

    /// Convert and encode a picture here, while it is warm, or on a thread that has nothing else to
    /// do.
    fn take(&mut self, taken: Taken) -> Result<(), Error> {
        let Task { studio, span, .. } = *self;
        let order = self.images;
        self.images += 1;
        if studio.flow.admit_picture(span).is_err() {
            return Err(Error::Cancelled);
        }
        let sender = self.sender.clone();
        if studio.flow.has_idle_thread() {
            self.scope.spawn(move |_| {
                let _watch = studio.flow.watch();
                let _working = studio.flow.work();
                if let Err(error) = studio.encode(taken, span, order, &sender) {
                    studio.flow.fail(error);
                }
            });
            return Ok(());
        }
        studio.encode(taken, span, order, &sender)
    }
}

/// The result of a pass that does not ask for another.
pub(crate) fn stopped<T>(result: Result<T, Halt>) -> Result<T, Error> {
    result.map_err(|halt| match halt {
        Halt::Stop(error) => error,
        Halt::Again(_) => Error::NothingDecodable,
    })
}

impl Studio<'_> {
    /// A decoder that was put back, or a new one.
    fn decoder(&self, threads: Threads) -> Result<Decoder, Error> {
        let mut decoders = self.decoders.lock().unwrap_or_else(PoisonError::into_inner);
        let found = decoders.iter().position(|decoder| decoder.threads() == threads);
        match found {
            Some(index) => Ok(decoders.swap_remove(index)),
            None => Decoder::open(self.scene.info, threads, self.scene.limits),
        }
    }

    fn put_back(&self, decoder: Decoder) {
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
    }

    fn encode(
        &self,
        taken: Taken,
        span: u64,
        order: usize,
        sender: &mpsc::Sender<Message>,
    ) -> Result<(), Error> {
        if self.flow.has_failed() {
            return Ok(());
        }
        let image = self.scene.spent.encoding.spend(|| self.image(taken))?;
        self.flow.encoded(image.png.len());
        // The archive's thread is gone only after a failure.
        let _ = sender.send(Message::Image { span, order, image });
        Ok(())
    }

    fn image(&self, taken: Taken) -> Result<Image, Error> {
        let Taken { picture, time, slots, errors } = taken;
        let (key_frame, interlaced) = (picture.is_key(), picture.is_interlaced());
        let orientation = self.scene.info.orientation;
        let aspect = self.scene.info.sample_aspect.or(picture.sample_aspect());
        let aspect = aspect.map(|aspect| displayed_aspect(orientation, aspect));
        let mut converter = self
            .converters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default();
        let result = converter.convert(picture, orientation);
        self.converters.lock().unwrap_or_else(PoisonError::into_inner).push(converter);
        let picture = result?;
        let png = png::encode(&picture, aspect, self.options.compression)?;
        Ok(Image {
            crc: crc32fast::hash(&png),
            sha256: hex(&Sha256::digest(&png)),
            png,
            time,
            slots,
            width: picture.width(),
            height: picture.height(),
            key_frame,
            interlaced,
            errors,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
