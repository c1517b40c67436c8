//! Recipes in responses and in the OpenAPI document.
//!
//! A response shows a recipe as the job stores it, so that a job of a newer version is shown
//! completely. The schema describes what this version knows; clients must accept further members.

use std::borrow::Cow;

use jobs::recipe::{Interval, Position};
use jobs::{Recipe, StoredRecipe};
use poem_openapi::Object;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::{Value, json};

use crate::problem::Problem;

/// Frames to extract from a video, and their form: the JSON that the job stores.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeView(Value);

impl From<&StoredRecipe> for RecipeView {
    fn from(recipe: &StoredRecipe) -> Self {
        Self(recipe.to_json())
    }
}

impl ToJSON for RecipeView {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

impl ParseFromJSON for RecipeView {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(value.unwrap_or_default()))
    }
}

impl Example for RecipeView {
    fn example() -> Self {
        (&StoredRecipe::default()).into()
    }
}

/// Recipe in a request, as it was sent. Without one, the default applies.
#[derive(Debug, Clone, PartialEq)]
pub struct RecipeInput(Value);

impl RecipeInput {
    /// The recipe, or the mistake in it.
    pub fn parse(self) -> Result<Recipe, Problem> {
        self.0.try_into().map_err(|mistake| Problem::recipe(&mistake))
    }
}

impl Default for RecipeInput {
    fn default() -> Self {
        Self(json!({}))
    }
}

impl Example for RecipeInput {
    fn example() -> Self {
        Self(json!({ "select": { "count": 12 }, "image": { "format": "jpeg" } }))
    }
}

impl ToJSON for RecipeInput {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

impl ParseFromJSON for RecipeInput {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(value.map(Self).unwrap_or_default())
    }
}

/// Implement [`Type`] with the schema of recipes.
macro_rules! recipe_type {
    ($($name:ident is required: $required:literal),+) => {
        $(impl Type for $name {
            const IS_REQUIRED: bool = $required;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                RecipeSchema::name()
            }

            fn schema_ref() -> MetaSchemaRef {
                RecipeSchema::schema_ref()
            }

            fn register(registry: &mut Registry) {
                RecipeSchema::register(registry);
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        })+
    };
}
recipe_type!(RecipeView is required: true, RecipeInput is required: false);

/// Frames to extract from a video, and their form. Later versions may add members.
#[derive(Debug, Object)]
#[oai(rename = "Recipe", example)]
struct RecipeSchema {
    /// Selection of the frames, with one member. The default is one frame per second.
    #[oai(skip_serializing_if_is_none)]
    select: Option<SelectionSchema>,
    /// Leave out what is before this time.
    #[oai(skip_serializing_if_is_none)]
    from: Option<PositionSchema>,
    /// Leave out what is from this time on.
    #[oai(skip_serializing_if_is_none)]
    to: Option<PositionSchema>,
    /// Selected frames that are left out.
    #[oai(skip_serializing_if_is_none)]
    skip: Option<SkipSchema>,
    /// Maximum number of frames: the first ones.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1")))]
    max_frames: Option<u32>,
    /// Form of each frame.
    #[oai(skip_serializing_if_is_none)]
    image: Option<ImageSchema>,
    /// Contact sheets in the archive, with a WebVTT file for video players.
    #[oai(skip_serializing_if_is_none)]
    sheet: Option<SheetSchema>,
}

/// Selection of frames: exactly one member. Later versions may add alternatives.
#[derive(Debug, Object)]
#[oai(rename = "Selection", example)]
struct SelectionSchema {
    /// Seconds from one frame to the next: a whole number, or a fraction such as `1/3`.
    #[oai(skip_serializing_if_is_none)]
    every: Option<IntervalSchema>,
    /// Times at which the frames are on screen.
    #[oai(skip_serializing_if_is_none, validator(min_items = 1, max_items = 1000))]
    at: Option<Vec<PositionSchema>>,
    /// Number of frames, evenly distributed.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1")))]
    count: Option<u32>,
    /// The key frames.
    #[oai(skip_serializing_if_is_none)]
    keyframes: Option<KeyFramesSchema>,
    /// The first frame, and each at which a scene starts.
    #[oai(skip_serializing_if_is_none)]
    scenes: Option<ScenesSchema>,
    /// Of each interval the frame with the most detail.
    #[oai(skip_serializing_if_is_none)]
    sharpest: Option<SharpestSchema>,
}

/// Selection of key frames. It has no members.
#[derive(Debug, Object)]
#[oai(rename = "KeyFrames", example)]
struct KeyFramesSchema {}

/// Selection of the frames at which scenes start.
#[derive(Debug, Object)]
#[oai(rename = "Scenes", example)]
struct ScenesSchema {
    /// Scene score that the first frame of a scene exceeds, as computed by ffmpeg's select filter;
    /// 0.3 if it is not stated.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "0"), maximum(value = "1")))]
    threshold: Option<f64>,
    /// Minimum time from one selected frame to the next.
    #[oai(skip_serializing_if_is_none)]
    min_seconds: Option<PositionSchema>,
}

/// Selection of the frame with the most detail in each interval.
#[derive(Debug, Object)]
#[oai(rename = "Sharpest", example)]
struct SharpestSchema {
    /// Length of the intervals; 1 if it is not stated.
    #[oai(skip_serializing_if_is_none)]
    every: Option<IntervalSchema>,
}

/// Kinds of frames that are left out.
#[derive(Debug, Object)]
#[oai(rename = "Skip", example)]
struct SkipSchema {
    /// Whether frames of almost one brightness are left out, such as black ones.
    #[oai(skip_serializing_if_is_none)]
    blank: Option<bool>,
    /// Whether frames are left out that hardly differ from the one before them in the archive.
    #[oai(skip_serializing_if_is_none)]
    repeated: Option<bool>,
}

/// Contact sheets: JPEG files with small copies of the frames in rows.
#[derive(Debug, Object)]
#[oai(rename = "Sheet", example)]
struct SheetSchema {
    /// Number of copies in a row; 5 if it is not stated.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "20")))]
    columns: Option<u32>,
    /// Width of each copy in pixels; 320 if it is not stated.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "16"), maximum(value = "640")))]
    tile_width: Option<u32>,
}

/// Interval in seconds: a number, or a string with a fraction.
#[derive(Debug)]
struct IntervalSchema(Interval);

/// Time in a video: a number of seconds, or a string such as `1:02.5`.
#[derive(Debug)]
struct PositionSchema(Position);

/// Implement the traits of values that are written as a number or a string.
macro_rules! number_or_string {
    ($schema:ident, $name:literal, [$($alternative:ty),+]) => {
        impl Type for $schema {
            const IS_REQUIRED: bool = true;

            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                let one_of = vec![$(<$alternative>::schema_ref()),+];
                MetaSchemaRef::Inline(Box::new(MetaSchema { one_of, ..MetaSchema::ANY }))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ToJSON for $schema {
            fn to_json(&self) -> Option<Value> {
                serde_json::to_value(self.0).ok()
            }
        }

        impl ParseFromJSON for $schema {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                let parsed = serde_json::from_value(value.unwrap_or_default());
                parsed.map(Self).map_err(ParseError::custom)
            }
        }
    };
}

number_or_string!(IntervalSchema, "Interval", [u32, String]);
number_or_string!(PositionSchema, "Position", [f64, String]);

/// Form of a frame.
#[derive(Debug, Object)]
#[oai(rename = "Image", example)]
struct ImageSchema {
    /// File format: `png`, `jpeg` or `webp`. Later versions may add formats.
    #[oai(skip_serializing_if_is_none)]
    format: Option<String>,
    /// Quality of `jpeg` and `webp`; 85 if it is not stated.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "100")))]
    quality: Option<u32>,
    /// Maximum width in pixels, into which the frame is scaled down.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "65535")))]
    max_width: Option<u32>,
    /// Maximum height in pixels, into which the frame is scaled down.
    #[oai(skip_serializing_if_is_none, validator(minimum(value = "1"), maximum(value = "65535")))]
    max_height: Option<u32>,
    /// Whether frames with pixels that are not square are widened or narrowed.
    #[oai(skip_serializing_if_is_none)]
    square_pixels: Option<bool>,
}

impl Example for RecipeSchema {
    fn example() -> Self {
        Self {
            select: Some(SelectionSchema::example()),
            from: None,
            to: None,
            skip: None,
            max_frames: None,
            image: Some(ImageSchema::example()),
            sheet: None,
        }
    }
}

impl Example for SelectionSchema {
    fn example() -> Self {
        Self {
            every: Some(IntervalSchema(Interval::ONE_SECOND)),
            at: None,
            count: None,
            keyframes: None,
            scenes: None,
            sharpest: None,
        }
    }
}

impl Example for KeyFramesSchema {
    fn example() -> Self {
        Self {}
    }
}

impl Example for ScenesSchema {
    fn example() -> Self {
        Self { threshold: Some(0.3), min_seconds: Some(PositionSchema(Position::START)) }
    }
}

impl Example for SharpestSchema {
    fn example() -> Self {
        Self { every: Some(IntervalSchema(Interval::ONE_SECOND)) }
    }
}

impl Example for SkipSchema {
    fn example() -> Self {
        Self { blank: Some(true), repeated: Some(true) }
    }
}

impl Example for SheetSchema {
    fn example() -> Self {
        Self { columns: Some(5), tile_width: Some(320) }
    }
}

impl Example for ImageSchema {
    fn example() -> Self {
        Self {
            format: Some("png".to_owned()),
            quality: None,
            max_width: None,
            max_height: None,
            square_pixels: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use jobs::recipe::Selection;

    use super::*;

    #[test]
    fn shows_recipes_as_they_are_stored() {
        for interval in ["1", "30", "1/3", "3/2"] {
            let select = Selection::Every(interval.parse().expect("a valid interval"));
            let recipe = Recipe { select, ..Recipe::default() };
            let stored = serde_json::to_value(&recipe).ok();
            let view = RecipeView::from(&StoredRecipe::from(recipe));
            assert_eq!(view.to_json(), stored, "{interval}");
            let parsed = RecipeSchema::parse_from_json(stored.clone()).expect("a valid recipe");
            assert_eq!(parsed.to_json(), stored, "{interval}");
        }
    }

    #[test]
    fn shows_and_describes_recipes_of_newer_versions() {
        let newer =
            json!({ "select": { "moments": 5 }, "image": { "format": "avif", "width": 9 } });
        let view = RecipeView::from(&StoredRecipe::Unknown(newer.clone()));
        assert_eq!(view.to_json(), Some(newer.clone()));
        assert!(RecipeSchema::parse_from_json(Some(newer)).is_ok());
    }
}
