//! What a video is and what an extraction would give, from a handful of its pictures.

use serde::Serialize;

use crate::Error;
use crate::av::{Decoder, Demuxer, Threads};
use crate::convert::Converter;
use crate::manifest;
use crate::options::Options;
use crate::png;
use crate::select::Instants;
use crate::source::{Opened, Source, Watched};

/// Pictures that are decoded to foretell the archive's size.
const SAMPLES: usize = 4;

/// What an extraction would give.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// What the video is.
    pub source: jobs::manifest::Source,
    /// Pictures that its stated duration promises.
    pub frames: Option<u64>,
    /// Bytes of the archive, from the size of the first pictures; films that grow busier give more.
    pub zip_bytes: Option<u64>,
}

/// Look at `source` without extracting it. Decodes a handful of pictures at most.
///
/// # Errors
/// As [`extract`](crate::extract()), so far as the beginning of the video shows it.
pub fn probe(source: impl Source, options: &Options) -> Result<Forecast, Error> {
    let Opened { watched, failure, container, size, .. } =
        Watched::open(Box::new(source), options.stop.clone())?;
    let opened = Demuxer::open(watched, container, &options.limits);
    options.stop.check()?;
    let (mut demuxer, info) = opened.map_err(|error| failure.take().unwrap_or(error))?;
    let frames = info.duration_us.map(|us| Instants::of(&options.recipe.select).frame_count(us));

    let mut decoder = Decoder::open(&info, Threads::One, &options.limits)?;
    let mut converter = Converter::default();
    let mut sizes = Vec::new();
    let mut more = true;
    while more && sizes.len() < SAMPLES {
        options.stop.check()?;
        if let Ok(packet) = demuxer.read() {
            // A damaged packet gives no picture, and the forecast lives on the others.
            let _ = decoder.send(&packet);
        } else {
            decoder.drain();
            more = false;
        }
        while let Ok(Some(picture)) = decoder.receive() {
            options.limits.check_frame(picture.width(), picture.height())?;
            let picture = converter.convert(picture, info.orientation)?;
            sizes.push(png::encode(&picture, None, options.compression)?.len() as u64);
        }
    }
    if sizes.is_empty() {
        return Err(failure.take().unwrap_or(Error::NothingDecodable));
    }
    let mean = sizes.iter().sum::<u64>() / sizes.len() as u64;
    Ok(Forecast {
        source: manifest::source(&info, size),
        frames,
        zip_bytes: frames.map(|frames| frames * mean),
    })
}
