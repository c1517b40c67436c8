//! Forecast of an archive from a recipe and from what is known about the video.

use std::num::NonZeroU16;

use crate::manifest::{FrameEntry, Manifest, Orientation};
use crate::ratio::Ratio;
use crate::recipe::{Image, Interval, Part, Position, Recipe, Selection, Sharpest};

/// Microseconds in a second.
const SECOND: i128 = 1_000_000;

/// Number of frames that a recipe selects, as far as it is known before the video is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameCount {
    /// Number of frames.
    pub frames: u64,
    /// Accuracy of the number.
    pub accuracy: Accuracy,
}

/// Accuracy of an expected number of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// The recipe alone determines the number.
    Exact,
    /// It follows from the duration of the video.
    Estimate,
    /// The contents of the video may reduce it.
    UpperBound,
}

impl FrameCount {
    /// Whether the recipe alone determines the number.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.accuracy == Accuracy::Exact
    }

    /// Whether a job would have more frames than this limit, whatever the video contains.
    #[must_use]
    pub fn exceeds(&self, limit: u64) -> bool {
        self.frames > limit && self.accuracy != Accuracy::UpperBound
    }
}

impl Recipe {
    /// Number of frames of a video of this duration in microseconds; `None` if it depends on what
    /// is not known. A recipe that counts or lists its frames needs no duration.
    #[must_use]
    pub fn forecast(&self, duration_us: Option<u64>) -> Option<FrameCount> {
        let max = self.max_frames.map(|max| u64::from(max.get()));
        let (frames, accuracy) = match &self.select {
            Selection::Every(interval) => {
                (instants(*interval, self.part, duration_us?), Accuracy::Estimate)
            }
            Selection::At(times) => {
                let listed = times.as_slice().iter().filter(|time| self.part.contains(**time));
                (listed.count() as u64, Accuracy::Exact)
            }
            Selection::Count(count) => (count.get().into(), Accuracy::Exact),
            Selection::Sharpest(Sharpest { every }) => {
                // An interval without a frame yields none.
                (intervals(*every, self.part, duration_us?), Accuracy::UpperBound)
            }
            Selection::KeyFrames(_) | Selection::Scenes(_) => (max?, Accuracy::UpperBound),
        };
        let accuracy = if self.skip.is_none() { accuracy } else { Accuracy::UpperBound };
        Some(FrameCount { frames: max.map_or(frames, |max| frames.min(max)), accuracy })
    }
}

/// Number of the intervals that a part of a video of this duration covers, at least in part.
fn intervals(interval: Interval, part: Part, duration_us: u64) -> u64 {
    let Ratio { num, den } = interval.seconds();
    let unit = i128::from(num) * SECOND;
    let position = |position: Position| i128::from(position.microseconds());
    let end = part.to().map_or(i128::MAX, position).min(duration_us.into());
    let start = part.from().map_or(0, position);
    if start >= end {
        return u64::from(part.from().is_none());
    }
    let first = (start * i128::from(den)).div_euclid(unit);
    let until = (end * i128::from(den) + unit - 1).div_euclid(unit);
    saturated(until - first)
}

/// Number of the instants `(n + 1/2) * interval` in a part of a video of this duration, and at
/// least 1 for a whole video, which has its first frame.
fn instants(interval: Interval, part: Part, duration_us: u64) -> u64 {
    let Ratio { num, den } = interval.seconds();
    let unit = i128::from(num) * SECOND;
    // Number of instants before a time: rounded to whole intervals, half away from zero.
    let before = |us: i128| (2 * us * i128::from(den) + unit).div_euclid(2 * unit);
    let limit = |position: Option<Position>| {
        // An instant at the very limit belongs to what follows.
        position.map(|position| {
            let scaled = 2 * i128::from(position.microseconds()) * i128::from(den);
            (scaled + unit - 1).div_euclid(2 * unit)
        })
    };
    let end = before(i128::from(duration_us));
    let end = limit(part.to()).map_or(end, |to| end.min(to));
    let start = limit(part.from()).unwrap_or_default();
    let count = (end - start).max(i128::from(part.from().is_none()));
    saturated(count)
}

/// The closest number of frames.
fn saturated(count: i128) -> u64 {
    u64::try_from(count.max(0)).unwrap_or(u64::MAX)
}

/// Facts about a video and its frames, from the archive of an earlier job.
#[derive(Debug, Clone, Copy)]
pub struct KnownVideo<'a> {
    /// Manifest of that archive.
    pub manifest: &'a Manifest,
    /// Recipe of that archive.
    pub recipe: &'a Recipe,
}

impl KnownVideo<'_> {
    /// Duration in microseconds, if its container states one.
    #[must_use]
    pub fn duration_us(&self) -> Option<u64> {
        let seconds = self.manifest.source.duration_s.filter(|seconds| *seconds >= 0.0)?;
        Some((seconds * SECOND as f64).round() as u64)
    }

    /// Mean size in bytes of a frame in another form: that of the known frames, in proportion to
    /// the number of pixels. `None` if the format or its quality is another one.
    #[must_use]
    pub fn frame_bytes(&self, image: &Image) -> Option<u64> {
        let known = &self.recipe.image;
        if (known.format(), known.quality()) != (image.format(), image.quality()) {
            return None;
        }
        let frames = &self.manifest.frames;
        let count = u64::try_from(frames.len()).ok().filter(|count| *count > 0)?;
        let total: u64 = frames.iter().map(entry_bytes).fold(0, u64::saturating_add);
        let ratio = self.pixels(image) / self.pixels(known);
        Some((total as f64 / count as f64 * ratio).ceil() as u64)
    }

    /// Number of pixels of a frame in this form.
    fn pixels(&self, image: &Image) -> f64 {
        let source = &self.manifest.source;
        let (width, height) = (f64::from(source.width.max(1)), f64::from(source.height.max(1)));
        let (width, height) = match source.rotation {
            Orientation::Clockwise
            | Orientation::CounterClockwise
            | Orientation::Transposed
            | Orientation::AntiTransposed => (height, width),
            _ => (width, height),
        };
        let aspect = source.sample_aspect_ratio.map(Ratio::as_f64).filter(|ratio| *ratio > 0.0);
        let width = width * aspect.filter(|_| image.square_pixels()).unwrap_or(1.0);
        let scale =
            |max: Option<NonZeroU16>, side: f64| max.map_or(1.0, |max| f64::from(max.get()) / side);
        let factor =
            scale(image.max_width(), width).min(scale(image.max_height(), height)).min(1.0);
        width * height * factor * factor
    }
}

/// Bytes that a frame takes in an archive: the file, its two ZIP headers, and its entry in the
/// manifest.
fn entry_bytes(frame: &FrameEntry) -> u64 {
    const HEADERS: u64 = 500;
    frame.length.saturating_add(HEADERS)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn recipe(json: Value) -> Recipe {
        Recipe::try_from(json).expect("a valid recipe")
    }

    fn frames(json: Value, seconds: f64) -> Option<u64> {
        recipe(json).forecast(Some((seconds * 1e6) as u64)).map(|count| count.frames)
    }

    #[test]
    fn instants_are_those_within_the_part() {
        for (seconds, expected) in [(0.0, 1), (0.4, 1), (1.499, 1), (1.5, 2), (10.5, 11)] {
            assert_eq!(frames(json!({}), seconds), Some(expected), "{seconds}");
        }
        for (part, expected) in [
            (json!({ "from": 2 }), 8),
            (json!({ "from": 2.5 }), 8),
            (json!({ "to": 2.5 }), 2),
            (json!({ "from": 2, "to": 4 }), 2),
            (json!({ "from": 20 }), 0),
            (json!({ "max_frames": 3 }), 3),
            (json!({ "select": { "every": "1/3" } }), 30),
            (json!({ "select": { "at": [1, 2, 30] }, "to": 20 }), 2),
            (json!({ "select": { "count": 12 }, "max_frames": 7 }), 7),
        ] {
            assert_eq!(frames(part.clone(), 10.0), Some(expected), "{part}");
        }
    }

    #[test]
    fn immense_numbers_are_not_zero() {
        for select in
            [json!({ "every": "1/4294967295" }), json!({ "sharpest": { "every": "1/4294967295" } })]
        {
            let recipe = json!({ "select": select });
            assert_eq!(frames(recipe.clone(), 1e13), Some(u64::MAX), "{recipe}");
            let part = json!({ "select": select, "from": 20 });
            assert_eq!(frames(part.clone(), 10.0), Some(0), "{part}");
        }
    }

    #[test]
    fn only_regular_instants_need_a_duration() {
        let count = |json| recipe(json).forecast(None);
        assert_eq!(count(json!({})), None);
        let exact = |frames| Some(FrameCount { frames, accuracy: Accuracy::Exact });
        assert_eq!(count(json!({ "select": { "count": 5 } })), exact(5));
        assert_eq!(count(json!({ "select": { "at": [1, 2] } })), exact(2));
        assert_eq!(count(json!({ "select": { "scenes": {} } })), None);
        assert_eq!(count(json!({ "select": { "sharpest": {} } })), None);
    }

    #[test]
    fn selections_by_content_are_bounded() {
        let bounded = |frames| Some(FrameCount { frames, accuracy: Accuracy::UpperBound });
        for (json, expected) in [
            (json!({ "select": { "keyframes": {} }, "max_frames": 9 }), bounded(9)),
            (json!({ "select": { "count": 5 }, "skip": { "blank": true } }), bounded(5)),
        ] {
            let count = recipe(json.clone()).forecast(None);
            assert_eq!(count, expected, "{json}");
            assert!(count.is_some_and(|count| !count.exceeds(1)), "{json}");
        }
        let sharpest = json!({ "select": { "sharpest": { "every": 3 } } });
        assert_eq!(frames(sharpest.clone(), 10.0), Some(4));
        // Frames 6 seconds apart leave every other interval empty.
        let count = recipe(sharpest).forecast(Some(10_000_000));
        assert_eq!(count, bounded(4));
        assert!(count.is_some_and(|count| !count.exceeds(2)));
        let part = json!({ "select": { "sharpest": { "every": 3 } }, "from": 4, "to": 9 });
        assert_eq!(frames(part, 10.0), Some(2));
    }

    #[test]
    fn frame_sizes_are_known_for_the_same_format() {
        let manifest: Manifest = serde_json::from_value(json!({
            "manifest_version": 2, "recipe": {}, "complete": true, "expected": 1, "written": 1,
            "source": {
                "size_bytes": 1, "container": "mov", "codec": "h264", "duration_s": 10.0,
                "width": 1080, "height": 1920, "frame_rate": null,
                "time_base": { "num": 1, "den": 1 }, "pixel_format": "yuv420p",
                "rotation": "clockwise"
            },
            "frames": [{
                "number": 1, "name": "a.png", "timestamp": 0, "timestamp_s": 0.0, "width": 1920,
                "height": 1080, "decode_errors": false, "sha256": "", "offset": 35, "length": 3500
            }]
        }))
        .expect("a valid manifest");
        let whole = Recipe::default();
        let video = KnownVideo { manifest: &manifest, recipe: &whole };
        assert_eq!(video.duration_us(), Some(10_000_000));
        let bytes = |image| video.frame_bytes(&recipe(json!({ "image": image })).image);
        assert_eq!(bytes(json!({})), Some(4_000));
        assert_eq!(bytes(json!({ "max_width": 960 })), Some(1_000));
        assert_eq!(bytes(json!({ "max_width": 5_000 })), Some(4_000));
        assert_eq!(bytes(json!({ "format": "jpeg" })), None);
    }
}
