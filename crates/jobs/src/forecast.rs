//! Forecast of an archive from a recipe and from what is known about the video.

use std::num::NonZeroU16;

use crate::manifest::{Manifest, Orientation};
use crate::ratio::Ratio;
use crate::recipe::{
    Image, ImageFormat, Interval, Part, Position, Recipe, Selection, Sharpest, Sheet, Times,
};

/// Microseconds in a second.
const SECOND: i128 = 1_000_000;

/// Number of frames that a recipe selects, as far as it is known before the video is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameCount {
    /// Number of frames.
    pub frames: u64,
    /// Accuracy of the number.
    pub accuracy: Accuracy,
    /// Number of frames that are selected whatever the video contains, including those that `skip`
    /// leaves out: they have numbers and are listed, too.
    selected: u64,
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

    /// Whether a job would have more frames than this limit, whatever the video contains. Frames
    /// that `skip` leaves out count, too.
    #[must_use]
    pub fn exceeds(&self, limit: u64) -> bool {
        self.selected > limit
    }
}

impl Recipe {
    /// Number of frames of a video of this duration in microseconds; `None` if it depends on what
    /// is not known. A recipe that counts or lists its frames needs no duration, but has no frames
    /// beyond the end of the video.
    #[must_use]
    pub fn forecast(&self, duration_us: Option<u64>) -> Option<FrameCount> {
        let max = self.max_frames.map(|max| u64::from(max.get()));
        let (frames, accuracy) = match &self.select {
            Selection::Every(interval) => {
                (instants(*interval, self.part, duration_us?), Accuracy::Estimate)
            }
            Selection::At(times) => listed(times, self.part, duration_us),
            Selection::Count(count) => counted(count.get().into(), self.part, duration_us),
            Selection::Sharpest(Sharpest { every }) => {
                // An interval without a frame yields none.
                (intervals(*every, self.part, duration_us?), Accuracy::UpperBound)
            }
            Selection::KeyFrames(_) | Selection::Scenes(_) => (max?, Accuracy::UpperBound),
        };
        let frames = max.map_or(frames, |max| frames.min(max));
        let selected = if accuracy == Accuracy::UpperBound { 0 } else { frames };
        let accuracy = if self.skip.is_none() { accuracy } else { Accuracy::UpperBound };
        Some(FrameCount { frames, accuracy, selected })
    }
}

/// Number of the times in a part of a video, as far as they are not beyond its end.
fn listed(times: &Times, part: Part, duration_us: Option<u64>) -> (u64, Accuracy) {
    let listed = || times.as_slice().iter().filter(|time| part.contains(**time));
    // The start has a frame, however short the video is.
    let end = duration_us.map(|end| i128::from(end).max(1));
    let is_shown = |time: &&Position| end.is_none_or(|end| i128::from(time.microseconds()) < end);
    let (all, shown) = (listed().count(), listed().filter(is_shown).count());
    let is_exact = all == 0 || duration_us.is_some() && shown == all;
    (shown as u64, if is_exact { Accuracy::Exact } else { Accuracy::Estimate })
}

/// The number `count`, unless the part begins behind the end of the video.
fn counted(count: u64, part: Part, duration_us: Option<u64>) -> (u64, Accuracy) {
    let from = part.from().filter(|from| *from > Position::START);
    let Some(from) = from else { return (count, Accuracy::Exact) };
    let is_behind = duration_us.is_some_and(|end| i128::from(from.microseconds()) >= end.into());
    (if is_behind { 0 } else { count }, Accuracy::Estimate)
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

/// Bytes that each frame adds to an archive beside its file: two ZIP headers with its name, and its
/// entry in the manifest.
const ENTRY_BYTES: u64 = 500;

/// Bytes of an archive without frames: the manifest with its description of the video, and the end
/// of the ZIP directory. The recipe in the manifest is counted separately.
const EMPTY_BYTES: u64 = 1_500;

/// Bytes of a contact sheet beside its pixels: headers of JPEG and ZIP, and its entry in the
/// manifest.
const SHEET_BYTES: u64 = 1_200;

/// Bytes of the entry of a frame in the list of the contact sheets.
const CUE_BYTES: f64 = 75.0;

/// Maximum number of frames on a contact sheet.
const SHEET_FRAMES: u64 = 100;

/// Bytes per pixel of contact sheets of a film: 16 KB for a frame of 320x180.
const SHEET_PIXEL_BYTES: f64 = 0.28;

/// Exponent by which the size of a file grows with its number of pixels: half of them hold more
/// than half of the details.
const GROWTH: f64 = 0.85;

impl KnownVideo<'_> {
    /// Duration in microseconds, if its container states one. Frames that are known to be later
    /// refute it.
    #[must_use]
    pub fn duration_us(&self) -> Option<u64> {
        let seconds = self.manifest.source.duration_s.filter(|seconds| *seconds >= 0.0)?;
        let last = self.manifest.frames.last().map_or(0.0, |frame| frame.timestamp_s);
        Some((seconds.max(last) * SECOND as f64).round() as u64)
    }

    /// Estimated size in bytes of an archive with this number of frames. `None` if the format or
    /// its quality is another one.
    #[must_use]
    pub fn archive_bytes(&self, recipe: &Recipe, frames: u64) -> Option<u64> {
        let frame = self.file_bytes(&recipe.image)?.saturating_add(ENTRY_BYTES);
        let sheets = recipe.sheet.map_or(0, |sheet| self.sheet_bytes(sheet, frames));
        let stated = serde_json::to_string(recipe).map_or(0, |json| json.len() as u64);
        let empty = EMPTY_BYTES + stated;
        Some(frames.saturating_mul(frame).saturating_add(sheets).saturating_add(empty))
    }

    /// Mean size in bytes of the file of a frame in another form.
    fn file_bytes(&self, image: &Image) -> Option<u64> {
        let known = &self.recipe.image;
        if (known.format(), known.quality()) != (image.format(), image.quality()) {
            return None;
        }
        let frames = &self.manifest.frames;
        let count = u64::try_from(frames.len()).ok().filter(|count| *count > 0)?;
        let total = frames.iter().map(|frame| frame.length).fold(0, u64::saturating_add);
        let pixels = self.pixels(image);
        let (headers, most) = match image.format() {
            // Signature, IHDR, pHYs, IDAT and IEND; rows of up to 3 bytes per pixel.
            ImageFormat::Png => (100.0, 3.0 * pixels + pixels.sqrt()),
            // Tables of quantization and of the Huffman code.
            ImageFormat::Jpeg => (620.0, f64::INFINITY),
            ImageFormat::Webp => (60.0, f64::INFINITY),
        };
        let known_content = (total as f64 / count as f64 - headers).max(0.0);
        let ratio = pixels / self.pixels(known);
        let ratio = if ratio < 1.0 { ratio.powf(GROWTH) } else { ratio };
        let most = most.max(known_content * pixels / self.pixels(known));
        Some((headers + (known_content * ratio).min(most)).ceil() as u64)
    }

    /// Estimated size in bytes of the contact sheets for this number of frames.
    fn sheet_bytes(&self, sheet: Sheet, frames: u64) -> u64 {
        let known = &self.manifest.sheets;
        let pixels: f64 =
            known.iter().map(|known| f64::from(known.width) * f64::from(known.height)).sum();
        let bytes: f64 = known.iter().map(|known| known.length as f64).sum();
        let density = if pixels > 0.0 { bytes / pixels } else { SHEET_PIXEL_BYTES };
        let (width, height) = self.displayed_size(true);
        let factor = (f64::from(sheet.tile_width()) / width)
            .min(2.0 * f64::from(sheet.tile_width()) / height)
            .min(1.0);
        let tile = width * height * factor * factor * density + CUE_BYTES;
        let tiles = (frames as f64 * tile).ceil() as u64;
        tiles.saturating_add(frames.div_ceil(SHEET_FRAMES).saturating_mul(SHEET_BYTES))
    }

    /// Number of pixels of a frame in this form.
    fn pixels(&self, image: &Image) -> f64 {
        let (width, height) = self.displayed_size(image.square_pixels());
        let scale =
            |max: Option<NonZeroU16>, side: f64| max.map_or(1.0, |max| f64::from(max.get()) / side);
        let factor =
            scale(image.max_width(), width).min(scale(image.max_height(), height)).min(1.0);
        width * height * factor * factor
    }

    /// Width and height of the upright frames, with their samples or with square pixels.
    fn displayed_size(&self, square_pixels: bool) -> (f64, f64) {
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
        (width * aspect.filter(|_| square_pixels).unwrap_or(1.0), height)
    }
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
        let expected = |frames, accuracy| Some((frames, accuracy));
        let count_of = |json| count(json).map(|count| (count.frames, count.accuracy));
        let five = json!({ "select": { "count": 5 } });
        assert_eq!(count_of(five), expected(5, Accuracy::Exact));
        let part = json!({ "select": { "count": 5 }, "from": 3 });
        assert_eq!(count_of(part), expected(5, Accuracy::Estimate));
        let listed = json!({ "select": { "at": [1, 2] } });
        assert_eq!(count_of(listed.clone()), expected(2, Accuracy::Estimate));
        assert!(count(listed).is_some_and(|count| count.exceeds(1)));
        assert_eq!(count(json!({ "select": { "scenes": {} } })), None);
        assert_eq!(count(json!({ "select": { "sharpest": {} } })), None);
    }

    #[test]
    fn nothing_is_selected_beyond_the_end() {
        for (json, frames, accuracy) in [
            (json!({ "select": { "at": [0, 9.999_999, 10] } }), 2, Accuracy::Estimate),
            (json!({ "select": { "at": [0, 9] } }), 2, Accuracy::Exact),
            (json!({ "select": { "at": [0, 9] }, "to": 30 }), 2, Accuracy::Exact),
            (json!({ "select": { "at": [12, 20] }, "from": 11 }), 0, Accuracy::Estimate),
            (json!({ "select": { "at": [1] }, "from": 5 }), 0, Accuracy::Exact),
            (json!({ "select": { "count": 5 } }), 5, Accuracy::Exact),
            (json!({ "select": { "count": 5 }, "to": 30 }), 5, Accuracy::Exact),
            (json!({ "select": { "count": 5 }, "from": 9 }), 5, Accuracy::Estimate),
            (json!({ "select": { "count": 5 }, "from": 10 }), 0, Accuracy::Estimate),
            (json!({ "select": { "count": 5 }, "from": 20, "to": 30 }), 0, Accuracy::Estimate),
        ] {
            let count = recipe(json.clone()).forecast(Some(10_000_000));
            let found = count.map(|count| (count.frames, count.accuracy));
            assert_eq!(found, Some((frames, accuracy)), "{json}");
        }
        let start = recipe(json!({ "select": { "at": [0, 1] } })).forecast(Some(0));
        assert_eq!(start.map(|count| count.frames), Some(1));
    }

    #[test]
    fn frames_that_are_skipped_count_for_the_limit() {
        let count = |json| recipe(json).forecast(Some(10_000_000)).expect("a number");
        let skip = json!({ "blank": true });
        let counted = count(json!({ "select": { "count": 5 }, "skip": skip }));
        assert_eq!((counted.frames, counted.accuracy), (5, Accuracy::UpperBound));
        assert!(counted.exceeds(4) && !counted.exceeds(5));
        let regular = count(json!({ "skip": skip }));
        assert!(regular.exceeds(9) && !regular.exceeds(10));
        // The first three frames that are not skipped may be among the first ones.
        let first = count(json!({ "skip": skip, "max_frames": 3 }));
        assert!(first.exceeds(2) && !first.exceeds(3));
    }

    #[test]
    fn selections_by_content_are_bounded() {
        let bounded =
            |frames| Some(FrameCount { frames, accuracy: Accuracy::UpperBound, selected: 0 });
        let json = json!({ "select": { "keyframes": {} }, "max_frames": 9 });
        let count = recipe(json).forecast(None);
        assert_eq!(count, bounded(9));
        assert!(count.is_some_and(|count| !count.exceeds(1)));
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
        let bytes = |json, frames| video.archive_bytes(&recipe(json), frames);
        let per_frame = |image: Value| {
            let json = json!({ "image": image });
            Some(bytes(json.clone(), 1001)?.checked_sub(bytes(json, 1)?)? / 1000)
        };
        assert_eq!(per_frame(json!({})), Some(4_000));
        assert_eq!(per_frame(json!({ "max_width": 5_000 })), Some(4_000));
        let half = per_frame(json!({ "max_width": 960 })).expect("the same format");
        assert!((1_500..2_000).contains(&half), "{half}");
        // The headers do not shrink.
        assert!(per_frame(json!({ "max_width": 1 })).is_some_and(|bytes| bytes > 600));
        assert_eq!(per_frame(json!({ "format": "jpeg" })), None);
        let none = bytes(json!({}), 0).expect("the same format");
        assert!((1_000..3_000).contains(&none), "{none}");
        let sheet = json!({ "sheet": { "columns": 5, "tile_width": 320 } });
        let sheets = bytes(sheet, 100).zip(bytes(json!({}), 100)).expect("the same format");
        // A hundred copies of 320x180.
        let pixels = 100 * 320 * 180;
        assert!((pixels / 4..pixels / 2).contains(&(sheets.0 - sheets.1)), "{sheets:?}");
    }
}
