//! Recipe of a job: the frames to extract, and their form.
//!
//! A recipe is validated when it is parsed, so every value of these types can be executed. It is
//! passed with its job from the command line or the HTTP API through the database row, the message
//! and the cell to the frame engine, which writes it into the manifest.

mod invalid;
mod json;
mod image;
mod interval;
mod position;
mod times;
mod content;
mod skip;
mod sheet;
mod members;
mod parse;

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use content::{InvalidThreshold, KeyFrames, Scenes, Sharpest, Threshold};
pub use image::{Image, ImageFormat, InvalidImage, Quality};
pub use interval::{Interval, InvalidInterval};
pub use invalid::{InvalidRecipe, Reason};
pub use json::{MAX_BYTES, UniqueMembers};
pub use position::{InvalidPart, InvalidPosition, Part, Position};
pub use sheet::{InvalidSheet, Sheet};
pub use skip::Skip;
pub use times::{InvalidTimes, Times};

/// Frames to extract from a video, and their form. The default is one PNG per second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "RecipeJson")]
pub struct Recipe {
    /// Selection of the frames.
    pub select: Selection,
    /// Part of the video that the frames are selected from. In JSON, `from` and `to`.
    pub part: Part,
    /// Selected frames that are left out.
    pub skip: Skip,
    /// Maximum number of frames: the first ones of the selection.
    pub max_frames: Option<NonZeroU32>,
    /// Form of each frame.
    pub image: Image,
    /// Contact sheets, if they are requested.
    pub sheet: Option<Sheet>,
}

/// JSON form of a recipe. It is read by [`Recipe::try_from`].
#[derive(Serialize)]
struct RecipeJson {
    select: Selection,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Position>,
    #[serde(skip_serializing_if = "Skip::is_none")]
    skip: Skip,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_frames: Option<NonZeroU32>,
    image: Image,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<Sheet>,
}

impl From<Recipe> for RecipeJson {
    fn from(recipe: Recipe) -> Self {
        let Recipe { select, part, skip, max_frames, image, sheet } = recipe;
        Self { select, from: part.from(), to: part.to(), skip, max_frames, image, sheet }
    }
}

/// Selection of frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The frames that `ffmpeg -vf fps=1/interval` selects: for each instant
    /// `(n + 1/2) * interval` the last frame before it (FFmpeg, libavfilter/vf_fps.c).
    Every(Interval),
    /// The frame on screen at each of these times: the last one whose timestamp is not later, or
    /// the first frame of the video.
    At(Times),
    /// The frames on screen at this number of times, which divide the part of the video evenly: at
    /// `(i + 1/2) * duration / count` from its start.
    Count(NonZeroU32),
    /// The key frames: those that `ffmpeg -skip_frame nokey` decodes and marks as such.
    #[serde(rename = "keyframes")]
    KeyFrames(KeyFrames),
    /// The first frame, and each whose scene score exceeds a threshold (FFmpeg,
    /// libavfilter/f_select.c, `get_scene_score`).
    Scenes(Scenes),
    /// Of each interval the frame with the most detail.
    Sharpest(Sharpest),
}

impl Default for Selection {
    /// One frame per second.
    fn default() -> Self {
        Self::Every(Interval::ONE_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_round_trip_through_json() {
        for (json, canonical) in [
            ("{}", r#"{"select":{"every":1},"image":{"format":"png"}}"#),
            (
                r#"{"select":{"every":0.5}}"#,
                r#"{"select":{"every":"1/2"},"image":{"format":"png"}}"#,
            ),
            (
                r#"{"select":{"at":["1:02.5",5,5.0]}}"#,
                r#"{"select":{"at":[5,62.5]},"image":{"format":"png"}}"#,
            ),
            (
                r#"{"from":1,"to":"2:00"}"#,
                r#"{"select":{"every":1},"from":1,"to":120,"image":{"format":"png"}}"#,
            ),
            (
                r#"{"max_frames":2}"#,
                r#"{"select":{"every":1},"max_frames":2,"image":{"format":"png"}}"#,
            ),
            (r#"{"select":{"count":12}}"#, r#"{"select":{"count":12},"image":{"format":"png"}}"#),
            (
                r#"{"select":{"keyframes":{}}}"#,
                r#"{"select":{"keyframes":{}},"image":{"format":"png"}}"#,
            ),
            (
                r#"{"select":{"scenes":{}}}"#,
                r#"{"select":{"scenes":{"threshold":0.3}},"image":{"format":"png"}}"#,
            ),
            (
                r#"{"select":{"scenes":{"threshold":0.45,"min_seconds":1}}}"#,
                concat!(
                    r#"{"select":{"scenes":{"threshold":0.45,"min_seconds":1}},"#,
                    r#""image":{"format":"png"}}"#
                ),
            ),
            (
                r#"{"select":{"sharpest":{}},"skip":{}}"#,
                r#"{"select":{"sharpest":{"every":1}},"image":{"format":"png"}}"#,
            ),
            (
                r#"{"skip":{"blank":true},"sheet":{"columns":4}}"#,
                concat!(
                    r#"{"select":{"every":1},"skip":{"blank":true},"image":{"format":"png"},"#,
                    r#""sheet":{"columns":4,"tile_width":320}}"#
                ),
            ),
            (
                r#"{"select":{"every":"1/3"}}"#,
                r#"{"select":{"every":"1/3"},"image":{"format":"png"}}"#,
            ),
        ] {
            let recipe: Recipe = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&recipe).expect(json), canonical);
            assert_eq!(serde_json::from_str::<Recipe>(canonical).expect(canonical), recipe);
        }
    }

    #[test]
    fn rejects_invalid_recipes() {
        for json in [
            r#"{"select":{"every":0}}"#,
            r#"{"select":{"every":-1.5}}"#,
            r#"{"select":{"every":"soon"}}"#,
            r#"{"select":{"sometimes":1}}"#,
            r#"{"select":{"at":[]}}"#,
            r#"{"select":{"at":[-1]}}"#,
            r#"{"select":{"at":5}}"#,
            r#"{"select":{"count":0}}"#,
            r#"{"select":{"count":1.5}}"#,
            r#"{"select":{"count":1,"every":1}}"#,
            r#"{"from":5,"to":5}"#,
            r#"{"to":0}"#,
            r#"{"max_frames":0}"#,
            r#"{"selection":{"every":1}}"#,
            r#"{"select":{"keyframes":1}}"#,
            r#"{"select":{"keyframes":{"every":1}}}"#,
            r#"{"select":{"scenes":{"threshold":1.5}}}"#,
            r#"{"select":{"scenes":{"threshold":0.3,"min_seconds":-1}}}"#,
            r#"{"select":{"sharpest":{"every":0}}}"#,
            r#"{"skip":{"black":true}}"#,
            r#"{"skip":{"blank":1}}"#,
            r#"{"sheet":{"columns":0}}"#,
            r#"{"sheet":{"tile_width":15}}"#,
            r#"{"sheet":true}"#,
            r#"{"image":{"format":"bmp"}}"#,
            r#"{"image":{"format":"png","quality":85}}"#,
            r#"{"image":{"format":"jpeg","quality":0}}"#,
        ] {
            assert!(serde_json::from_str::<Recipe>(json).is_err(), "{json}");
        }
    }
}
