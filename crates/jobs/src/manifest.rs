//! Manifest of an archive: its last entry, which states what the frames are, where they are stored
//! and what is missing. The frame engine writes it and the HTTP API reads it.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};

use crate::ratio::Ratio;
use crate::recipe::{Interval, Recipe, Selection};

/// Name of the manifest's entry in the archive.
pub const MANIFEST_NAME: &str = "manifest.json";

/// Version of the form below, raised when a field changes its meaning. Version 1 named the frames
/// `images` and held the recipe as `{"every": {"num": 1, "den": 1}}`; it is still readable.
pub const MANIFEST_VERSION: u32 = 2;

/// Contents of an archive.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of the writer.
    pub manifest_version: u32,
    /// Program that wrote the archive.
    #[serde(default)]
    pub engine: Engine,
    /// The video.
    pub source: Source,
    /// Frames that were requested, and their form. `None` if the recipe is one of a later version,
    /// which this version does not know.
    #[serde(default, deserialize_with = "recipe_of_any_version")]
    pub recipe: Option<Recipe>,
    /// Compression of PNG frames; `None` for other formats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Whether every expected frame is in the archive and was decoded without error.
    pub complete: bool,
    /// Expected number of frames, from the timestamps and the duration of the video.
    pub expected: u64,
    /// Number of frames in the archive.
    pub written: u64,
    /// Number of further frames that the recipe's `max_frames` left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// Selected frames that the recipe's `skip` left out. Their numbers are not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<SkippedFrame>,
    /// Parts of the video that were read, by its index, because the recipe needs no others. Damage
    /// elsewhere is not noticed. `None` if the whole video was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Vec<ReadPart>>,
    /// Ranges of instants without a frame.
    #[serde(default)]
    pub missing: Vec<MissingRange>,
    /// Damaged parts of the video, whether or not they affect a selected frame.
    #[serde(default)]
    pub damaged: Vec<DamagedRange>,
    /// Other facts that affect the use of the archive, as English sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Contact sheets, if the recipe requests them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sheets: Vec<SheetEntry>,
    /// Name of the WebVTT file that lists the parts of the contact sheets by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webvtt: Option<String>,
    /// Selection of which the archive consists, if it holds only a part of another archive. The
    /// counts, the missing instants and [`Self::complete`] are those of the selection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected: Option<SelectedFrames>,
    /// Frames in ascending order of their numbers.
    #[serde(alias = "images")]
    pub frames: Vec<FrameEntry>,
}

/// Whether a number is 0.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Selection of frames of a whole archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelectedFrames {
    /// Numbers that were selected, such as `1,5,9-12`.
    pub numbers: String,
    /// Number of frames of the whole archive that were left out.
    pub left_out: u64,
}

/// Name and version of the program that wrote an archive, and of the libraries it used.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// Name of the program.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Version of each libav library, by name.
    pub libraries: BTreeMap<String, String>,
}

/// Properties of a video, from its container and its frames.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Source {
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// libav's name of the container.
    pub container: String,
    /// libav's name of the codec.
    pub codec: String,
    /// Duration in seconds, as the container states it.
    pub duration_s: Option<f64>,
    /// Coded width in pixels, before rotation.
    pub width: u32,
    /// Coded height in pixels, before rotation.
    pub height: u32,
    /// Average frames per second.
    pub frame_rate: Option<Ratio>,
    /// Unit of the timestamps, in seconds.
    pub time_base: Ratio,
    /// Rotation that was applied to display the frames upright.
    #[serde(default)]
    pub rotation: Orientation,
    /// Width to height of one sample, if samples are not square.
    pub sample_aspect_ratio: Option<Ratio>,
    /// libav's name of the pixel format.
    pub pixel_format: String,
    /// Matrix coefficients, as tagged.
    #[serde(default = "unknown")]
    pub color_space: String,
    /// Range of the samples, as tagged.
    #[serde(default = "unknown")]
    pub color_range: String,
    /// Primaries, as tagged.
    #[serde(default = "unknown")]
    pub color_primaries: String,
    /// Transfer characteristics, as tagged.
    #[serde(default = "unknown")]
    pub color_transfer: String,
    /// Whether a selected frame is interlaced. Both fields are in the frame, unaltered.
    #[serde(default)]
    pub interlaced: bool,
}

/// libav's name of a property that is not tagged.
fn unknown() -> String {
    "unknown".to_owned()
}

/// Rotation of a video's frames for display, from the display matrix of its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// No rotation.
    #[default]
    Upright,
    /// Quarter turn clockwise.
    Clockwise,
    /// Quarter turn counterclockwise.
    CounterClockwise,
    /// Half turn.
    HalfTurn,
    /// Left and right swapped.
    MirroredHorizontally,
    /// Top and bottom swapped.
    MirroredVertically,
    /// Mirrored along the main diagonal.
    Transposed,
    /// Mirrored along the other diagonal.
    AntiTransposed,
    /// Angle that is not a multiple of 90 degrees. Such frames are stored without rotation.
    Skewed,
}

/// Effort spent on compressing PNG frames. The pixels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Fast compressor, with a match finder for the frames that need one.
    #[default]
    Fast,
    /// On 1080p film one eighth smaller than `Fast`, at twice the time of the whole extraction.
    Balanced,
    /// Smallest size of zlib: a few percent smaller than `Balanced`, at six times the time of
    /// `Fast`.
    Small,
}

/// Consecutive instants without a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingRange {
    /// Number of the first missing frame.
    pub first_number: u64,
    /// Number of the last missing frame.
    pub last_number: u64,
    /// First instant without a frame, in seconds.
    pub from_s: f64,
    /// Last instant without a frame, in seconds.
    pub to_s: f64,
}

/// Part of the video that was read. Parts may overlap.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReadPart {
    /// Timestamp of its first frame in seconds.
    pub from_s: f64,
    /// Latest timestamp of a frame in it, in seconds.
    pub to_s: f64,
}

/// Part of the video in which the decoder reported errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DamagedRange {
    /// Start in seconds.
    pub from_s: f64,
    /// End in seconds.
    pub to_s: f64,
}

/// Frame in an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrameEntry {
    /// Number from 1. A number without a frame is listed in [`Manifest::missing`].
    pub number: u64,
    /// Name of the entry in the archive.
    pub name: String,
    /// Requested instant in seconds. The frame is the last one before it. `None` if the recipe
    /// selects by content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant_s: Option<f64>,
    /// Difference to the frame before it, from 0 to 1, if the recipe selects scenes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene_score: Option<f64>,
    /// Amount of detail, if the recipe selects the sharpest frames: the variance of the Laplacian
    /// of luma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<f64>,
    /// Presentation timestamp from the start of the video, in [`Source::time_base`].
    pub timestamp: i64,
    /// Presentation timestamp in seconds.
    pub timestamp_s: f64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Whether the frame is a key frame.
    #[serde(default)]
    pub key_frame: bool,
    /// Whether the decoder reported errors in the frame, or in one that it may refer to.
    pub decode_errors: bool,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Offset of the file's first byte in the archive.
    pub offset: u64,
    /// Size of the file in bytes.
    pub length: u64,
}

/// Selected frame that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SkippedFrame {
    /// Number that the frame would have.
    pub number: u64,
    /// Requested instant in seconds, as in [`FrameEntry::instant_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant_s: Option<f64>,
    /// Presentation timestamp from the start of the video, in [`Source::time_base`].
    pub timestamp: i64,
    /// Presentation timestamp in seconds.
    pub timestamp_s: f64,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Reason why a selected frame was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Almost all of it has the same brightness.
    Blank,
    /// It hardly differs from the frame before it in the archive.
    Repeated,
}

/// Contact sheet in an archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SheetEntry {
    /// Name of the entry in the archive.
    pub name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Number of frames on it.
    pub tiles: u64,
    /// Offset of the file's first byte in the archive.
    pub offset: u64,
    /// Size of the file in bytes.
    pub length: u64,
}

impl FrameEntry {
    /// Bytes of the file in the archive; `None` if they would exceed the range of `u64`.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        Some(self.offset..self.offset.checked_add(self.length)?)
    }
}

/// Read a recipe as any version wrote it.
fn recipe_of_any_version<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Recipe>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum AnyVersion {
        One { every: Ratio },
        Current(Recipe),
        Later(IgnoredAny),
    }
    match AnyVersion::deserialize(from)? {
        AnyVersion::Current(recipe) => Ok(Some(recipe)),
        AnyVersion::Later(_) => Ok(None),
        AnyVersion::One { every: Ratio { num, den } } => {
            let interval: Interval =
                format!("{num}/{den}").parse().map_err(serde::de::Error::custom)?;
            Ok(Some(Recipe { select: Selection::Every(interval), ..Recipe::default() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Manifests of other versions may lack what their readers do not need.
    #[test]
    fn reads_a_manifest_without_optional_fields() {
        let json = r#"{
            "manifest_version": 3, "recipe": {}, "complete": true, "expected": 1, "written": 1,
            "source": {
                "size_bytes": 1, "container": "mov", "codec": "h264", "duration_s": null,
                "width": 2, "height": 2, "frame_rate": null, "time_base": { "num": 1, "den": 1 },
                "pixel_format": "yuv420p"
            },
            "frames": [{
                "number": 1, "name": "a.png", "timestamp": 0, "timestamp_s": 0.0, "width": 2,
                "height": 2, "decode_errors": false, "sha256": "", "offset": 35, "length": 1,
                "score": 0.5
            }]
        }"#;
        let manifest: Manifest = serde_json::from_str(json).expect("a valid manifest");
        assert_eq!(manifest.compression, None);
        assert_eq!(manifest.source.rotation, Orientation::Upright);
        assert_eq!(manifest.source.color_space, "unknown");
        let frame = &manifest.frames[0];
        assert_eq!((frame.instant_s, frame.key_frame), (None, false));
        assert_eq!(frame.range(), Some(35..36));
        let written = serde_json::to_string(&manifest).expect("it can be written");
        assert!(!written.contains("compression") && !written.contains("instant_s"), "{written}");
    }

    #[test]
    fn reads_recipes_of_all_versions() {
        #[derive(Deserialize)]
        struct Holder(#[serde(deserialize_with = "recipe_of_any_version")] Option<Recipe>);
        let read = |json: &str| serde_json::from_str::<Holder>(json).map(|holder| holder.0);
        let half = Selection::Every("1/2".parse().expect("a valid interval"));
        let half = Some(Recipe { select: half, ..Recipe::default() });
        assert_eq!(read(r#"{"every":{"num":5,"den":10}}"#).expect("version 1"), half);
        let current = r#"{"select":{"every":"1/2"},"image":{"format":"png"}}"#;
        assert_eq!(read(current).expect("version 2"), half);
        let later = r#"{"select":{"scenes":0.25},"image":{"format":"jpeg"}}"#;
        assert_eq!(read(later).expect("a later version"), None);
        assert!(read(r#"{"every":{"num":0,"den":1}}"#).is_err());
    }
}
