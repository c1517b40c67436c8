//! The steps one by one, so that benches can measure each. No part of the engine's interface.

use std::fmt::Display;
use std::io::{self, Cursor, Write};

use ffmpeg_next as ff;
use jobs::manifest::Compression;
use rayon::prelude::*;

use crate::av::{Decoder, Demuxer, Picture, StreamInfo, Threads};
use crate::convert::Converter;
use crate::decode::{Pass, Rigor, Scene};
use crate::plan::{Chunk, Facts, Plan, Planner};
use crate::png;
use crate::read::{Preparation, facts};
use crate::select::Instants;
use crate::source::{Opened, Watched};
use crate::span::stopped;
use crate::spent::Spent;
use crate::zip::Archive;
use crate::{Error, Limits, Options};

/// A video whose packets are in memory.
pub struct Clip {
    info: StreamInfo,
    packets: Vec<(ff::Packet, Facts)>,
    options: Options,
    spent: Spent,
}

/// The spans of a clip, planned.
pub struct Plans(Vec<Chunk<ff::Packet>>);

/// Decoded pictures.
pub struct Pictures(Vec<Picture>);

impl Clip {
    /// Read all packets of a video.
    ///
    /// # Errors
    /// As [`extract`](crate::extract()).
    pub fn load(video: Vec<u8>) -> Result<Self, Error> {
        let options = Options::default();
        let Opened { watched, container, .. } =
            Watched::open(Box::new(Cursor::new(video)), options.stop.clone())?;
        let (mut demuxer, info) = Demuxer::open(watched, container, &options.limits)?;
        let mut preparation = Preparation::new(&info);
        let mut packets = Vec::new();
        while let Ok(mut packet) = demuxer.read() {
            let role = preparation.prepare(&mut packet);
            let facts = facts(&info, role, &packet);
            packets.push((packet, facts));
        }
        Ok(Self { info, packets, options, spent: Spent::default() })
    }

    fn scene(&self) -> Scene<'_> {
        let Options { recipe, limits, stop, .. } = &self.options;
        let instants = Instants::of(&recipe.select);
        Scene { info: &self.info, instants, limits, stop, spent: &self.spent }
    }

    /// Plan numbers in the place of packets: the selection alone. Returns how many packets are to
    /// be decoded.
    #[must_use]
    pub fn select(&self) -> usize {
        let scene = self.scene();
        let mut planner = Planner::new(scene.instants, self.info.time_base, true);
        for (n, (_, facts)) in self.packets.iter().enumerate() {
            planner.push(n, *facts);
        }
        planner.finish(|time, duration| scene.end(time, duration));
        let chunks = planner.take().into_iter().map(Plan::into_chunk);
        chunks.map(|chunk| chunk.packets.iter().filter(|planned| planned.keep).count()).sum()
    }

    /// Plan the packets themselves. A clip with a long span is planned in its pieces, which do not
    /// decode on their own.
    #[must_use]
    pub fn plan(&self) -> Plans {
        let scene = self.scene();
        let mut planner = Planner::new(scene.instants, self.info.time_base, true);
        for (packet, facts) in &self.packets {
            planner.push(packet.clone(), *facts);
        }
        planner.finish(|time, duration| scene.end(time, duration));
        Plans(planner.take().into_iter().map(Plan::into_chunk).collect())
    }

    /// Decode the wanted pictures of all spans on one thread.
    ///
    /// # Errors
    /// As [`extract`](crate::extract()).
    pub fn decode(&self, plans: &Plans) -> Result<Pictures, Error> {
        let scene = self.scene();
        let mut pictures = Vec::new();
        let mut decoder = Decoder::open(&self.info, Threads::One, &Limits::default())?;
        for chunk in &plans.0 {
            let mut pass = Pass::new(&scene, decoder, None, Rigor::Lenient);
            pass.expect(chunk);
            let mut take = |taken: crate::decode::Taken| {
                pictures.push(taken.picture);
                Ok(())
            };
            let kept = chunk.packets.iter().filter(|planned| planned.keep);
            for planned in kept {
                stopped(pass.feed(&planned.packet, &mut take))?;
            }
            stopped(pass.finish(chunk.until, chunk.first_picture, &mut take))?;
            decoder = pass.into_decoder();
        }
        Ok(Pictures(pictures))
    }

    /// The floor under every extraction: the needed packets through one bare decoder a span, spans
    /// side by side on all cores, and nothing else. Returns how many pictures came out.
    ///
    /// # Errors
    /// As [`extract`](crate::extract()).
    pub fn floor(&self, plans: &Plans) -> Result<usize, Error> {
        let decode = |chunk: &Chunk<ff::Packet>| {
            let mut decoder = Decoder::open(&self.info, Threads::One, &Limits::default())?;
            let mut pictures = 0;
            let mut drained = |decoder: &mut Decoder| {
                while let Ok(Some(_)) = decoder.receive() {
                    pictures += 1;
                }
            };
            for planned in chunk.packets.iter().filter(|planned| planned.keep) {
                let _ = decoder.send(&planned.packet);
                drained(&mut decoder);
            }
            decoder.drain();
            drained(&mut decoder);
            Ok(pictures)
        };
        plans.0.par_iter().with_max_len(1).map(decode).sum()
    }

    /// Convert pictures to what their PNGs hold.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn convert(&self, pictures: &Pictures) -> Result<Pictures, Error> {
        let mut converter = Converter::default();
        let shared = pictures.0.iter().filter_map(Picture::share);
        shared
            .map(|picture| converter.convert(picture, self.info.orientation))
            .collect::<Result<_, _>>()
            .map(Pictures)
    }
}

impl Pictures {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Bytes of their pixels.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let planes = self.0.iter().flat_map(Picture::planes);
        planes.map(|plane| plane.layout.row_bytes() * plane.layout.height).sum()
    }

    /// Encode converted pictures.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn encode(&self, compression: Compression) -> Result<Vec<Vec<u8>>, Error> {
        self.0.iter().map(|picture| png::encode(picture, None, compression)).collect()
    }
}

/// Write an archive of these files under their names; returns its size.
///
/// # Errors
/// Those of the sink.
pub fn archive<N: Display, B: AsRef<[u8]>>(files: &[(N, B)], sink: impl Write) -> io::Result<u64> {
    let mut archive = Archive::new(sink);
    for (name, bytes) in files {
        archive.add(name.to_string(), crc32fast::hash(bytes.as_ref()), bytes.as_ref())?;
    }
    archive.finish()
}
