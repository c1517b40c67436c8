//! Recipes from JSON. A new member is one more line in one of the functions below.

use std::num::{NonZeroU8, NonZeroU16};

use serde_json::Value;

use super::content::{InvalidThreshold, KeyFrames, Scenes, Sharpest, Threshold};
use super::image::{Image, ImageFormat, InvalidImage, Quality};
use super::interval::{Interval, InvalidInterval};
use super::invalid::{InvalidRecipe, Reason};
use super::json::value_of;
use super::members::{Members, boolean, elements, whole_number};
use super::position::{InvalidPart, InvalidPosition, Part, Position};
use super::sheet::{InvalidSheet, Sheet};
use super::skip::Skip;
use super::times::{InvalidTimes, Times};
use super::{Recipe, Selection};
use crate::excerpt::Excerpt;

impl Recipe {
    /// Recipe that a text describes in JSON, of at most [`MAX_BYTES`](super::MAX_BYTES).
    ///
    /// # Errors
    /// The text is not JSON, or the recipe cannot be executed.
    pub fn from_json(text: &[u8]) -> Result<Self, InvalidRecipe> {
        value_of(text)?.try_into()
    }
}

impl TryFrom<Value> for Recipe {
    type Error = InvalidRecipe;

    fn try_from(value: Value) -> Result<Self, InvalidRecipe> {
        let mut members = Members::of(value)?;
        let select = members.take("select", selection)?.unwrap_or_default();
        let from = members.take("from", Position::try_from)?;
        let to = members.take("to", Position::try_from)?;
        let skip = members.take("skip", skip)?.unwrap_or_default();
        let max_frames = members.take("max_frames", whole_number(u32::MAX))?;
        let image = members.take("image", image)?.unwrap_or_default();
        let sheet = members.take("sheet", sheet)?;
        members.finish()?;
        Ok(Self { select, part: Part::new(from, to)?, skip, max_frames, image, sheet })
    }
}

fn selection(value: Value) -> Result<Selection, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let selections = [
        members.take("every", Interval::try_from)?.map(Selection::Every),
        members.take("at", times)?.map(Selection::At),
        members.take("count", whole_number(u32::MAX))?.map(Selection::Count),
        members.take("keyframes", key_frames)?.map(Selection::KeyFrames),
        members.take("scenes", scenes)?.map(Selection::Scenes),
        members.take("sharpest", sharpest)?.map(Selection::Sharpest),
    ];
    members.finish_one(selections)
}

fn times(value: Value) -> Result<Times, InvalidRecipe> {
    Ok(elements(value, Position::try_from)?.try_into()?)
}

fn key_frames(value: Value) -> Result<KeyFrames, InvalidRecipe> {
    Members::of(value)?.finish()?;
    Ok(KeyFrames {})
}

fn scenes(value: Value) -> Result<Scenes, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let threshold = members.take("threshold", threshold)?.unwrap_or_default();
    let min_seconds = members.take("min_seconds", Position::try_from)?.unwrap_or_default();
    members.finish()?;
    Ok(Scenes { threshold, min_seconds })
}

#[expect(clippy::needless_pass_by_value, reason = "all readers of members consume the value")]
fn threshold(value: Value) -> Result<Threshold, InvalidRecipe> {
    let number = value.as_f64().ok_or(InvalidThreshold).and_then(Threshold::try_from);
    number.map_err(|error| {
        let message = format!("`{}` is not valid: {error}", Excerpt::of(&value));
        InvalidRecipe::new(Reason::NumberInvalid, message)
    })
}

fn sharpest(value: Value) -> Result<Sharpest, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let every = members.take("every", Interval::try_from)?;
    members.finish()?;
    Ok(every.map_or_else(Sharpest::default, |every| Sharpest { every }))
}

fn skip(value: Value) -> Result<Skip, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let blank = members.take("blank", boolean)?.unwrap_or_default();
    let repeated = members.take("repeated", boolean)?.unwrap_or_default();
    members.finish()?;
    Ok(Skip { blank, repeated })
}

fn sheet(value: Value) -> Result<Sheet, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let columns = members.take("columns", whole_number::<NonZeroU8>(Sheet::MAX_COLUMNS.into()))?;
    let tile_width =
        members.take("tile_width", whole_number::<NonZeroU16>(Sheet::MAX_TILE_WIDTH.into()))?;
    members.finish()?;
    let default = Sheet::default();
    let columns = columns.map_or(default.columns(), NonZeroU8::get);
    Ok(Sheet::new(columns, tile_width.map_or(default.tile_width(), NonZeroU16::get))?)
}

fn image(value: Value) -> Result<Image, InvalidRecipe> {
    let mut members = Members::of(value)?;
    let format = members.take("format", image_format)?.unwrap_or_default();
    let quality = members.take("quality", whole_number::<NonZeroU8>(100))?;
    let max_width = members.take("max_width", whole_number(u16::MAX.into()))?;
    let max_height = members.take("max_height", whole_number(u16::MAX.into()))?;
    let square_pixels = members.take("square_pixels", boolean)?.unwrap_or_default();
    members.finish()?;
    let quality = quality.and_then(|number| Quality::new(number.get()));
    let image = Image::new(format, quality)?;
    Ok(image.within(max_width, max_height).with_square_pixels(square_pixels))
}

#[expect(clippy::needless_pass_by_value, reason = "all readers of members consume the value")]
fn image_format(value: Value) -> Result<ImageFormat, InvalidRecipe> {
    let named = |format: &ImageFormat| value == format.name();
    ImageFormat::ALL.into_iter().find(named).ok_or_else(|| {
        let names = ImageFormat::ALL.map(ImageFormat::name).join(", ");
        let message = format!("`{}` is not one of the formats {names}", Excerpt::of(&value));
        InvalidRecipe::new(Reason::FormatUnknown, message)
    })
}

impl From<InvalidInterval> for InvalidRecipe {
    fn from(error: InvalidInterval) -> Self {
        let reason = match error {
            InvalidInterval::NotPositive(_) => Reason::IntervalInvalid,
            InvalidInterval::TooLong(_) => Reason::IntervalTooLong,
            InvalidInterval::TooFine(_) => Reason::TooPrecise,
        };
        Self::new(reason, error)
    }
}

impl From<InvalidPosition> for InvalidRecipe {
    fn from(error: InvalidPosition) -> Self {
        let reason = match error {
            InvalidPosition::NotATime(_) => Reason::TimeInvalid,
            InvalidPosition::TooLate(_) => Reason::TimeTooLate,
            InvalidPosition::TooFine(_) => Reason::TooPrecise,
        };
        Self::new(reason, error)
    }
}

impl From<InvalidTimes> for InvalidRecipe {
    fn from(error: InvalidTimes) -> Self {
        let reason = match error {
            InvalidTimes::None => Reason::TimesMissing,
            InvalidTimes::TooMany => Reason::TooManyTimes,
        };
        Self::new(reason, error)
    }
}

impl From<InvalidPart> for InvalidRecipe {
    fn from(error: InvalidPart) -> Self {
        Self::new(Reason::PartEmpty, error).within("to")
    }
}

impl From<InvalidSheet> for InvalidRecipe {
    fn from(error: InvalidSheet) -> Self {
        let member = if error == InvalidSheet::TileWidth { "tile_width" } else { "columns" };
        Self::new(Reason::NumberInvalid, error).within(member)
    }
}

impl From<InvalidImage> for InvalidRecipe {
    fn from(error: InvalidImage) -> Self {
        let InvalidImage::LosslessQuality(_) = error;
        Self::new(Reason::QualityLossless, error).within("quality")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Member, code and explanation of the mistake in a recipe.
    fn mistake(json: &str) -> (String, &'static str, String) {
        let error = Recipe::from_json(json.as_bytes()).expect_err(json);
        let member = error.member().unwrap_or_default().to_owned();
        (member, error.reason().code(), error.to_string())
    }

    #[test]
    fn mistakes_name_the_member_and_the_reason() {
        let long = format!(r#"{{"select":{{"every":"{}"}}}}"#, "7\n".repeat(40).escape_default());
        let many = format!(r#"{{"select":{{"at":{:?}}}}}"#, (0..1001).collect::<Vec<_>>());
        let recipes = [
            "every second",
            "",
            "null",
            "[]",
            "[{}]",
            r#"{"frames":3}"#,
            r#"{"from":1,"from":2}"#,
            r#"{"select":null}"#,
            r#"{"select":{}}"#,
            r#"{"select":"every"}"#,
            r#"{"select":[{"every":1}]}"#,
            r#"{"select":{"sometimes":1}}"#,
            r#"{"select":{"count":1,"every":1}}"#,
            r#"{"select":{"every":0}}"#,
            r#"{"select":{"every":[]}}"#,
            r#"{"select":{"every":86401}}"#,
            r#"{"select":{"every":0.0000001}}"#,
            &long,
            r#"{"select":{"at":[]}}"#,
            r#"{"select":{"at":5}}"#,
            r#"{"select":{"at":[1,"soon"]}}"#,
            r#"{"select":{"at":["25:00:00"]}}"#,
            &many,
            r#"{"select":{"count":0}}"#,
            r#"{"select":{"count":1.5}}"#,
            r#"{"select":{"keyframes":true}}"#,
            r#"{"select":{"keyframes":{"every":1}}}"#,
            r#"{"select":{"scenes":{"threshold":2}}}"#,
            r#"{"select":{"scenes":{"threshold":"0.3"}}}"#,
            r#"{"select":{"sharpest":{"every":0}}}"#,
            r#"{"skip":{"black":true}}"#,
            r#"{"sheet":{"columns":21}}"#,
            r#"{"sheet":{"tile_width":15}}"#,
            r#"{"from":-1}"#,
            r#"{"from":null}"#,
            r#"{"from":5,"to":"0:05"}"#,
            r#"{"max_frames":4294967296}"#,
            r#"{"image":"png"}"#,
            r#"{"image":{"format":"bmp"}}"#,
            r#"{"image":{"format":1}}"#,
            r#"{"image":{"quality":85}}"#,
            r#"{"image":{"format":"jpeg","quality":101}}"#,
            r#"{"image":{"format":"jpeg","quality":"+5"}}"#,
            r#"{"image":{"max_width":0}}"#,
            r#"{"image":{"max_height":65536}}"#,
            r#"{"image":{"square_pixels":1}}"#,
            r#"{"image":{"width":1}}"#,
        ];
        let mistakes: Vec<String> = recipes
            .into_iter()
            .map(|json| {
                let (_, code, text) = mistake(json);
                let json: String = json.chars().take(60).collect();
                format!("{json}\n    {code}\n    {text}")
            })
            .collect();
        insta::assert_snapshot!("mistakes", mistakes.join("\n"));
    }

    #[test]
    fn members_are_paths() {
        for (json, member) in [
            ("{", ""),
            (r#"{"select":{"at":[0,null]}}"#, "select.at[1]"),
            (r#"{"image":{"quality":0}}"#, "image.quality"),
            (r#"{"image":{"a\nb":0}}"#, r"image.a\nb"),
            (r#"{"to":0}"#, "to"),
        ] {
            assert_eq!(mistake(json).0, member, "{json}");
        }
    }

    #[test]
    fn texts_may_begin_with_a_byte_order_mark() {
        assert_eq!(Recipe::from_json("\u{feff}{}".as_bytes()), Ok(Recipe::default()));
        let utf_16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = Recipe::from_json(&utf_16).expect_err("another encoding");
        assert_eq!(error.to_string(), "it is not JSON: its encoding is not UTF-8");
    }

    #[test]
    fn codes_are_unique_and_in_upper_snake_case() {
        let mut codes: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        for code in &codes {
            let is_known = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
            assert!(code.starts_with("RECIPE_") && code.bytes().all(is_known), "{code}");
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    proptest! {
        #[test]
        fn mistakes_are_short_and_on_one_line(
            name in any::<String>(),
            number in any::<f64>(),
            text in any::<String>(),
        ) {
            let values = [Value::from(name.as_str()), number.into(), text.as_str().into()];
            for member in ["select", "from", "max_frames", "image", "every", "quality", &name] {
                for value in &values {
                    for recipe in [
                        serde_json::json!({ member: value }),
                        serde_json::json!({ "select": { member: value } }),
                        serde_json::json!({ "select": { "at": [value] } }),
                        serde_json::json!({ "image": { member: value } }),
                    ] {
                        let Err(error) = Recipe::try_from(recipe) else { continue };
                        let shown = error.to_string();
                        prop_assert!(!shown.contains(|c: char| c.is_control()), "{}", shown);
                        prop_assert!(shown.chars().count() < 1_000, "{}", shown);
                    }
                }
            }
        }
    }
}
