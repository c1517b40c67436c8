//! Probe: properties of a video and a forecast of its extraction, from its first frames.

use jobs::manifest;
use serde::Serialize;

use crate::av::{Decoder, Demuxer, OpenedStream, StreamInfo, Threads};
use crate::convert::Converter;
use crate::encode::encoder;
use crate::error::Error;
use crate::options::Options;
use crate::select::selector;
use crate::source::{GuardedReader, OpenedSource, Source};

/// Number of frames that are encoded to estimate the size of the archive.
const SAMPLES: usize = 4;

/// Forecast of an extraction.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// Properties of the video.
    pub source: manifest::Source,
    /// Number of frames to expect from the duration that the container states.
    pub frames: Option<u64>,
    /// Size of the archive in bytes, estimated from the first frames. It is too low for videos
    /// whose frames become more detailed.
    pub zip_bytes: Option<u64>,
}

/// Examine `source` without extracting it. Only the first frames are decoded.
///
/// # Errors
/// Those of [`extract`](crate::extract()), as far as the beginning of the video reveals them.
pub fn probe(source: impl Source, options: &Options) -> Result<Forecast, Error> {
    let OpenedSource { reader, read_error, container, size, .. } =
        GuardedReader::open(Box::new(source), options.stop.clone())?;
    let opened = Demuxer::open(reader, container, size, &options.limits);
    options.stop.check()?;
    let OpenedStream { demuxer, info } =
        opened.map_err(|error| read_error.take().unwrap_or(error))?;
    let sizes = sample_sizes(demuxer, &info, options)?;
    if sizes.is_empty() {
        return Err(read_error.take().unwrap_or(Error::NothingDecodable));
    }
    let selector = selector(&options.recipe.select, info.source.time_base, info.duration_us);
    let frames = selector.expected_count();
    let mean = sizes.iter().sum::<u64>() / sizes.len() as u64;
    // The container states the duration, so the number of frames may be anything.
    let zip_bytes = frames.map(|frames| frames.saturating_mul(mean));
    Ok(Forecast { source: info.source, frames, zip_bytes })
}

/// Sizes of the first frames when encoded, in bytes.
fn sample_sizes(
    mut demuxer: Demuxer,
    info: &StreamInfo,
    options: &Options,
) -> Result<Vec<u64>, Error> {
    let mut decoder = Decoder::open(info, Threads::One, &options.limits)?;
    let mut converter = Converter::default();
    let encoder = encoder(&options.recipe.image, options.compression);
    let mut sizes = Vec::new();
    let mut more = true;
    while more && sizes.len() < SAMPLES {
        options.stop.check()?;
        if let Ok(packet) = demuxer.read() {
            // A damaged packet yields no frame; the others suffice for a forecast.
            let _ = decoder.send(&packet);
        } else {
            decoder.drain();
            more = false;
        }
        while let Ok(Some(frame)) = decoder.receive() {
            options.limits.check_frame(frame.width(), frame.height())?;
            let rotation = frame.orientation().unwrap_or(info.source.rotation);
            let frame = converter.convert(frame, rotation, encoder.pixel_formats())?;
            sizes.push(encoder.encode(&frame, None)?.len() as u64);
        }
    }
    Ok(sizes)
}
