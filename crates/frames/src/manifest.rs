//! The last entry of every archive: what the pictures are, where they lie, and what is missing.

use serde::Serialize;

use crate::av::{self, StreamInfo};
use crate::convert::Orientation;
use crate::png::Compression;
use crate::select::{Ratio, Recipe};

/// Name of the manifest's entry.
pub const MANIFEST_NAME: &str = "manifest.json";

/// Everything that is to be known of an archive.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// Version of this document's form; it grows when a field changes its meaning.
    pub manifest_version: u32,
    /// What made the archive.
    pub engine: Engine,
    /// What it was made of.
    pub source: SourceInfo,
    /// Which pictures were asked for.
    pub recipe: Recipe,
    /// How they were compressed.
    pub compression: Compression,
    /// Whether every picture that the video promises is here and decoded without an error.
    pub complete: bool,
    /// Pictures that the video promises.
    pub expected: u64,
    /// Pictures in the archive.
    pub written: u64,
    /// Instants without a picture, as ranges.
    pub missing: Vec<MissingRange>,
    /// Parts of the video that are damaged, whether or not a wanted picture is touched.
    pub damaged: Vec<DamagedRange>,
    /// What else a careful user should know, in words.
    pub warnings: Vec<String>,
    /// The pictures in their order.
    pub images: Vec<ImageInfo>,
}

/// Versions of what made the archive.
#[derive(Debug, Serialize)]
pub struct Engine {
    name: &'static str,
    version: &'static str,
    libraries: std::collections::BTreeMap<&'static str, String>,
}

impl Engine {
    pub(crate) fn this() -> Self {
        Self {
            name: "fiapx",
            version: env!("CARGO_PKG_VERSION"),
            libraries: av::versions().into_iter().collect(),
        }
    }
}

/// What the video is, by its container and its pictures.
#[derive(Debug, Clone, Serialize)]
pub struct SourceInfo {
    /// Bytes of the file.
    pub size_bytes: u64,
    /// libav's name of the container.
    pub container: &'static str,
    /// libav's name of the codec.
    pub codec: String,
    /// The duration that the container states, in seconds.
    pub duration_s: Option<f64>,
    /// Stored width in pixels, before any turn.
    pub width: u32,
    /// Stored height in pixels, before any turn.
    pub height: u32,
    /// Average pictures a second.
    pub frame_rate: Option<Ratio>,
    /// Unit of the timestamps, in seconds.
    pub time_base: Ratio,
    /// How the pictures were turned to stand upright.
    pub rotation: Orientation,
    /// Width to height of one sample, where it is not square.
    pub sample_aspect_ratio: Option<Ratio>,
    /// libav's name of the pixel format.
    pub pixel_format: String,
    /// Matrix coefficients, as tagged.
    pub color_space: &'static str,
    /// Range of the samples, as tagged.
    pub color_range: &'static str,
    /// Primaries, as tagged.
    pub color_primaries: &'static str,
    /// Transfer characteristics, as tagged.
    pub color_transfer: &'static str,
    /// Whether a wanted picture was interlaced; both fields are in it, unaltered.
    pub interlaced: bool,
}

impl SourceInfo {
    pub(crate) fn new(info: &StreamInfo, size_bytes: u64) -> Self {
        Self {
            size_bytes,
            container: info.container.name(),
            codec: info.codec.clone(),
            duration_s: info.duration_us.map(|duration| duration as f64 / 1e6),
            width: info.width,
            height: info.height,
            frame_rate: info.frame_rate,
            time_base: info.time_base,
            rotation: info.orientation,
            sample_aspect_ratio: info.sample_aspect.filter(|aspect| aspect.num != aspect.den),
            pixel_format: info.pixel_format.clone(),
            color_space: info.color_space,
            color_range: info.color_range,
            color_primaries: info.color_primaries,
            color_transfer: info.color_transfer,
            interlaced: false,
        }
    }
}

/// Instants in a row that have no picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MissingRange {
    /// Number that the first of the pictures would have.
    pub first_number: u64,
    /// Number that the last would have.
    pub last_number: u64,
    /// First instant without a picture, in seconds.
    pub from_s: f64,
    /// Last instant without a picture, in seconds.
    pub to_s: f64,
}

/// A stretch of the video in which the decoder met errors.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DamagedRange {
    /// Start in seconds.
    pub from_s: f64,
    /// End in seconds.
    pub to_s: f64,
}

/// One picture of the archive.
#[derive(Debug, Clone, Serialize)]
pub struct ImageInfo {
    /// From 1; a number without a picture is named under `missing`.
    pub number: u64,
    /// Name of the entry.
    pub name: String,
    /// The instant asked for, in seconds; the picture is the last before it.
    pub instant_s: f64,
    /// The picture's own time, in units of the source's time base from the start of the video.
    pub timestamp: i64,
    /// The same in seconds.
    pub timestamp_s: f64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether the picture is a key frame.
    pub key_frame: bool,
    /// Whether the decoder met errors in the picture, or in one that it may refer to.
    pub decode_errors: bool,
    /// SHA-256 of the PNG, in hexadecimal.
    pub sha256: String,
    /// Where the PNG's bytes begin in the archive.
    pub offset: u64,
    /// How many they are.
    pub length: u64,
}

/// Name of a picture's entry: its number and its true time.
#[must_use]
pub(crate) fn image_name(number: u64, seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let ms = (seconds.abs() * 1000.0).round() as u64;
    let (s, m, h) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    format!("frame_{number:05}_{sign}{h:02}h{:02}m{:02}.{:03}s.png", m % 60, s % 60, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_true_time() {
        assert_eq!(image_name(1, 0.467), "frame_00001_00h00m00.467s.png");
        assert_eq!(image_name(3_600, 3_599.466_7), "frame_03600_00h59m59.467s.png");
        assert_eq!(image_name(86_400, 86_399.999_9), "frame_86400_24h00m00.000s.png");
    }
}
