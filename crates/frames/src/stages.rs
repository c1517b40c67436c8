//! Single steps of an extraction, for benches and fuzzing. Not part of the engine's interface.

use std::fmt::Display;
use std::io::{self, Cursor, Write};

use jobs::Recipe;
use jobs::recipe::Image;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::archive::Archive;
use crate::av::{Decoder, Demuxer, Frame, OpenedStream, StreamInfo, Threads};
use crate::context::StreamContext;
use crate::convert::{Converter, Target};
use crate::decode::{Pass, PassError, SelectedFrame, Strictness};
use crate::encode::{Encoder, encoder};
use crate::error::Error;
use crate::fit::Fit;
use crate::limits::Limits;
use crate::options::Options;
use crate::plan::{Chunk, ClassifiedPacket, Plan, Planner};
use crate::preparation::{Preparation, PreparedPacket, packet_info};
use crate::select::{FrameSelector, SpanStart, selector};
use crate::source::{GuardedReader, OpenedSource};
use crate::timing::Timing;

/// Video whose packets are in memory.
pub struct Clip {
    info: StreamInfo,
    packets: Vec<ClassifiedPacket<PreparedPacket>>,
    options: Options,
    timing: Timing,
    selector: Box<dyn FrameSelector>,
    encoder: Box<dyn Encoder>,
}

/// Planned spans of a clip.
pub struct Plans(Vec<Chunk<PreparedPacket>>);

/// Decoded or converted frames.
pub struct Frames(Vec<Frame>);

impl Clip {
    /// Read all packets of a video.
    ///
    /// # Errors
    /// Those of [`extract`](crate::extract()).
    pub fn load(video: Vec<u8>) -> Result<Self, Error> {
        let options = Options::default();
        let OpenedSource { reader, container, size, .. } =
            GuardedReader::open(Box::new(Cursor::new(video)), options.stop.clone())?;
        let OpenedStream { mut demuxer, info } =
            Demuxer::open(reader, container, size, &options.limits)?;
        let mut preparation = Preparation::new(&info);
        let mut packets = Vec::new();
        while let Ok(packet) = demuxer.read() {
            let (packet, role) = preparation.prepare(packet);
            let info = packet_info(&info, role, &packet.packet);
            packets.push(ClassifiedPacket { packet, info });
        }
        let encoder = encoder(&options.recipe.image, options.compression)?;
        let selector = selector(&options.recipe, info.source.time_base, info.duration_us);
        let timing = Timing::default();
        Ok(Self { info, packets, options, timing, selector, encoder })
    }

    /// The same clip with another form of the frames.
    ///
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub fn with_image(self, image: Image) -> Result<Self, Error> {
        let encoder = encoder(&image, self.options.compression)?;
        let recipe = Recipe { image, ..self.options.recipe };
        Ok(Self { encoder, options: Options { recipe, ..self.options }, ..self })
    }

    fn context(&self) -> StreamContext<'_> {
        let Self { info, options: Options { limits, stop, .. }, timing, .. } = self;
        StreamContext { info, selector: self.selector.as_ref(), limits, stop, timing }
    }

    /// Plan `packets`, which represent those of the clip.
    fn chunks<P: Clone>(&self, packets: impl Iterator<Item = P>) -> Vec<Chunk<P>> {
        let context = self.context();
        let StreamInfo { source, reorder_delay, .. } = &self.info;
        let instants = self.selector.instants();
        let mut planner = Planner::new(instants, source.time_base, *reorder_delay);
        for (packet, ClassifiedPacket { info, .. }) in packets.zip(&self.packets) {
            planner.push(packet, *info);
        }
        planner.finish(|time, duration| context.info.end(time, duration));
        planner.take_plans().into_iter().map(Plan::into_chunk).collect()
    }

    /// Plan with numbers instead of packets, to measure only the selection. Return the number of
    /// packets that are to be decoded.
    #[must_use]
    pub fn select(&self) -> usize {
        self.chunks(0..self.packets.len()).iter().map(|chunk| chunk.kept().count()).sum()
    }

    /// Plan the packets. The chunks of a long span cannot be decoded independently.
    #[must_use]
    pub fn plan(&self) -> Plans {
        Plans(self.chunks(self.packets.iter().map(|classified| classified.packet.clone())))
    }

    /// Decode the selected frames of all spans on one thread.
    ///
    /// # Errors
    /// Those of [`extract`](crate::extract()).
    pub fn decode(&self, plans: &Plans) -> Result<Frames, Error> {
        let context = self.context();
        let mut frames = Vec::new();
        let mut decoder = Decoder::open(&self.info, Threads::One, &Limits::default())?;
        for (span, chunk) in plans.0.iter().enumerate() {
            let start = SpanStart { from: None, is_first: span == 0 };
            let mut pass = Pass::new(&context, decoder, start, Strictness::Lenient);
            pass.expect(chunk);
            let mut emit = |selected: SelectedFrame| {
                frames.push(selected.frame);
                Ok(())
            };
            for packet in chunk.kept() {
                pass.decode(&packet.packet, &mut emit).map_err(error)?;
            }
            pass.finish(chunk, &mut emit).map_err(error)?;
            decoder = pass.into_decoder();
            decoder.reset();
        }
        Ok(Frames(frames))
    }

    /// Decode these spans in this order, as one thread of an extraction does, and return a checksum
    /// of the selected frames of the last one.
    ///
    /// # Errors
    /// Those of [`extract`](crate::extract()).
    pub fn checksum(&self, plans: &Plans, spans: &[usize]) -> Result<String, Error> {
        let context = self.context();
        let mut unused: Option<Decoder> = None;
        let mut digest = Sha256::new();
        for span in spans {
            let chunk = &plans.0[*span];
            digest = Sha256::new();
            let decoder = match unused.take() {
                Some(decoder) => decoder,
                None => Decoder::open(&self.info, Threads::One, &Limits::default())?,
            };
            let start = SpanStart { from: None, is_first: *span == 0 };
            let mut pass = Pass::new(&context, decoder, start, Strictness::Lenient);
            pass.expect(chunk);
            let mut emit = |selected: SelectedFrame| {
                digest.update(selected.time.to_le_bytes());
                for plane in selected.frame.planes() {
                    digest.update(plane.bytes());
                }
                Ok(())
            };
            for packet in chunk.kept() {
                pass.decode(&packet.packet, &mut emit).map_err(error)?;
            }
            pass.finish(chunk, &mut emit).map_err(error)?;
            if chunk.has_original_headers() {
                let mut decoder = pass.into_decoder();
                decoder.reset();
                unused = Some(decoder);
            }
        }
        Ok(hex::encode(digest.finalize()))
    }

    /// Lower bound of the time of an extraction: decode the needed packets with one bare decoder
    /// per span, spans in parallel on all cores, and do nothing else. Return the number of frames.
    ///
    /// # Errors
    /// Those of [`extract`](crate::extract()).
    pub fn floor(&self, plans: &Plans) -> Result<usize, Error> {
        let decode = |chunk: &Chunk<PreparedPacket>| {
            let mut decoder = Decoder::open(&self.info, Threads::One, &Limits::default())?;
            let mut frames = 0;
            let mut receive = |decoder: &mut Decoder| {
                while let Ok(Some(_)) = decoder.receive() {
                    frames += 1;
                }
            };
            for packet in chunk.kept() {
                let _ = decoder.send(&packet.packet);
                receive(&mut decoder);
            }
            decoder.drain();
            receive(&mut decoder);
            Ok(frames)
        };
        plans.0.par_iter().with_max_len(1).map(decode).sum()
    }

    /// Convert frames to the size of the recipe and to the pixel format of the encoder.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn convert(&self, frames: &Frames) -> Result<Frames, Error> {
        let mut converter = Converter::default();
        let target = Target {
            formats: self.encoder.pixel_formats(),
            fit: Fit::new(&self.options.recipe.image),
            limits: &self.options.limits,
        };
        let rotation = self.info.source.rotation;
        let shared = frames.0.iter().filter_map(Frame::share);
        shared
            .map(|frame| {
                let aspect = self.info.displayed_aspect(&frame, rotation);
                converter.convert(frame, rotation, aspect, target).map(|converted| converted.frame)
            })
            .collect::<Result<_, _>>()
            .map(Frames)
    }

    /// Encode converted frames.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn encode(&self, frames: &Frames) -> Result<Vec<Vec<u8>>, Error> {
        frames.0.iter().map(|frame| self.encoder.encode(frame, None)).collect()
    }
}

impl Plans {
    /// Number of spans.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Frames {
    /// Number of frames.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Size of their pixels in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let planes = self.0.iter().flat_map(Frame::planes);
        planes.map(|plane| plane.layout.row_bytes() * plane.layout.height).sum()
    }
}

fn error(error: PassError) -> Error {
    match error {
        PassError::Fatal(error) => error,
        PassError::Damaged(_) | PassError::Unpredicted => Error::NothingDecodable,
    }
}

/// Write an archive of files, given by name and content. Return its size in bytes.
///
/// # Errors
/// Those of the sink, and names that are not unique.
pub fn archive<N: Display, D: AsRef<[u8]>>(files: &[(N, D)], sink: impl Write) -> io::Result<u64> {
    let mut archive = Archive::new(sink);
    for (name, data) in files {
        archive.add(&name.to_string(), data.as_ref())?;
    }
    archive.finish()
}
