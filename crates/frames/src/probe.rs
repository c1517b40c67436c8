//! Probe: properties of a video and a forecast of its extraction, from its first frames.

use jobs::manifest;
use serde::Serialize;

use crate::av::{Decoder, Demuxer, OpenedStream, Packet, StreamInfo, Threads};
use crate::context::end;
use crate::convert::{Converted, Converter, Target};
use crate::encode::encoder;
use crate::error::Error;
use crate::fit::Fit;
use crate::options::Options;
use crate::select::{FrameSelector, selector};
use crate::source::{GuardedReader, OpenedSource, Source};
use crate::time::{MICROSECONDS, rescale};

/// Number of frames that are encoded to estimate the size of the archive.
const SAMPLES: usize = 4;
/// Number of packets that are read to estimate the bitrate.
const SAMPLE_PACKETS: u64 = 250;

/// Forecast of an extraction.
#[derive(Debug, Serialize)]
pub struct Forecast {
    /// Properties of the video.
    pub source: manifest::Source,
    /// Number of frames to expect from the duration that the container states. If the size of the
    /// file and the bitrate of its beginning rule that duration out, they decide.
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
    let sample = Sample::take(demuxer, &info, options)?;
    if sample.sizes.is_empty() {
        return Err(read_error.take().unwrap_or(Error::NothingDecodable));
    }
    let duration_us = sample.plausible_duration(info.duration_us, size);
    let selector = selector(&options.recipe, info.source.time_base, duration_us);
    let frames = selector.expected_count();
    if let (Some(0), Some(end)) = (frames, duration_us) {
        return Err(Error::NothingSelected { end_s: end as f64 / 1e6, left_out: 0 });
    }
    let mean = sample.sizes.iter().sum::<u64>() / sample.sizes.len() as u64;
    let zip_bytes = frames.map(|frames| frames.saturating_mul(mean));
    Ok(Forecast { source: info.source, frames, zip_bytes })
}

/// Beginning of a video.
#[derive(Default)]
struct Sample {
    /// Sizes of the first frames when encoded, in bytes.
    sizes: Vec<u64>,
    /// Number of packets that were read, and their size in bytes.
    packets: u64,
    bytes: u64,
    /// End of these packets in microseconds.
    end_us: i64,
    /// Whether there are no others.
    is_all: bool,
}

impl Sample {
    fn take(mut demuxer: Demuxer, info: &StreamInfo, options: &Options) -> Result<Self, Error> {
        let mut decoder = Decoder::open(info, Threads::One, &options.limits)?;
        let selector = selector(&options.recipe, info.source.time_base, None);
        let mut converter = Converter::default();
        let encoder = encoder(&options.recipe.image, options.compression)?;
        let target = Target {
            formats: encoder.pixel_formats(),
            fit: Fit::new(&options.recipe.image),
            limits: &options.limits,
        };
        let mut sample = Self::default();
        while !sample.is_all && (sample.sizes.len() < SAMPLES || sample.packets < SAMPLE_PACKETS) {
            options.stop.check()?;
            if let Ok(packet) = demuxer.read() {
                sample.add(&packet, info, selector.as_ref());
                if sample.sizes.len() == SAMPLES {
                    continue;
                }
                // A damaged packet yields no frame; the others suffice for a forecast.
                let _ = decoder.send(&packet);
            } else {
                decoder.drain();
                sample.is_all = true;
            }
            while sample.sizes.len() < SAMPLES
                && let Ok(Some(frame)) = decoder.receive()
            {
                options.limits.check_frame(frame.width(), frame.height())?;
                let rotation = frame.orientation().unwrap_or(info.source.rotation);
                let aspect = info.displayed_aspect(&frame, rotation);
                let Converted { frame, aspect } =
                    converter.convert(frame, rotation, aspect, target)?;
                sample.sizes.push(encoder.encode(&frame, aspect)?.len() as u64);
            }
        }
        Ok(sample)
    }

    fn add(&mut self, packet: &Packet, info: &StreamInfo, selector: &dyn FrameSelector) {
        self.packets += 1;
        self.bytes += packet.size() as u64;
        let time = packet.presentation_time().or(packet.decoding_time()).unwrap_or(info.start);
        let end = end(info, selector, time.saturating_sub(info.start), packet.duration());
        self.end_us = self.end_us.max(rescale(end, info.source.time_base, MICROSECONDS));
    }

    /// Duration in microseconds of a video whose container states `stated`, in a file of
    /// `size_bytes`; `None` if it is unknown.
    fn plausible_duration(&self, stated: Option<i64>, size_bytes: u64) -> Option<i64> {
        /// Maximum ratio of the bitrate at the beginning to that of the whole video.
        const MAX_RATIO: i64 = 100;
        if self.is_all {
            return Some(self.end_us);
        }
        let bytes = u128::from(self.bytes.max(1));
        let at_constant_rate = self.end_us.max(0) as u128 * u128::from(size_bytes) / bytes;
        let at_constant_rate = i64::try_from(at_constant_rate).unwrap_or(i64::MAX);
        let is_plausible = |stated: i64| stated <= at_constant_rate.saturating_mul(MAX_RATIO);
        stated.map(|stated| if is_plausible(stated) { stated } else { at_constant_rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stated_duration_that_the_size_rules_out_is_replaced() {
        const SECOND: i64 = 1_000_000;
        let mut sample = Sample { bytes: 1_000, end_us: SECOND, ..Sample::default() };
        let plausible = |sample: &Sample, stated: Option<i64>| {
            let duration = sample.plausible_duration(stated.map(|s| s * SECOND), 10_000);
            duration.map(|us| us / SECOND)
        };
        assert_eq!(plausible(&sample, Some(50)), Some(50));
        assert_eq!(plausible(&sample, Some(5_000)), Some(10));
        assert_eq!(plausible(&sample, None), None);
        sample.is_all = true;
        assert_eq!(plausible(&sample, Some(50)), Some(1));
        assert_eq!(plausible(&sample, None), Some(1));
    }
}
