//! Recipes in the OpenAPI document.

use std::borrow::Cow;

use jobs::Recipe;
use jobs::recipe::{ImageFormat, Interval, Selection};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{Example, ParseError, ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{Enum, Object};
use serde_json::Value;

/// Frames to extract from a video, and their form.
#[derive(Debug, Clone, PartialEq, Object)]
#[oai(rename = "Recipe", example)]
pub struct RecipeView {
    /// Selection of the frames.
    pub select: SelectionView,
    /// Form of each frame.
    pub image: ImageView,
}

/// Selection of frames.
#[derive(Debug, Clone, PartialEq, Object)]
#[oai(rename = "Selection", example)]
pub struct SelectionView {
    /// Seconds from one frame to the next: a whole number, or a fraction such as `1/3`.
    pub every: IntervalView,
}

/// Interval, as a number of seconds or a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntervalView(Interval);

impl Type for IntervalView {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let alternatives = vec![f64::schema_ref(), String::schema_ref()];
        MetaSchemaRef::Inline(Box::new(MetaSchema { one_of: alternatives, ..MetaSchema::ANY }))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for IntervalView {
    fn to_json(&self) -> Option<Value> {
        serde_json::to_value(self.0).ok()
    }
}

impl ParseFromJSON for IntervalView {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        let interval = serde_json::from_value(value.unwrap_or_default());
        interval.map(Self).map_err(ParseError::custom)
    }
}

/// Form of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
#[oai(rename = "Image", example)]
pub struct ImageView {
    /// File format.
    pub format: FormatView,
}

/// File format of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "ImageFormat", rename_all = "lowercase")]
pub enum FormatView {
    /// PNG.
    Png,
}

impl From<&Recipe> for RecipeView {
    fn from(recipe: &Recipe) -> Self {
        let Selection::Every(interval) = recipe.select;
        let format = match recipe.image.format {
            ImageFormat::Png => FormatView::Png,
        };
        Self {
            select: SelectionView { every: IntervalView(interval) },
            image: ImageView { format },
        }
    }
}

impl Example for RecipeView {
    fn example() -> Self {
        Self { select: SelectionView::example(), image: ImageView::example() }
    }
}

impl Example for SelectionView {
    fn example() -> Self {
        Self { every: IntervalView(Interval::ONE_SECOND) }
    }
}

impl Example for ImageView {
    fn example() -> Self {
        Self { format: FormatView::Png }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_recipes_as_they_are_serialized() {
        for interval in ["1", "30", "1/3", "3/2"] {
            let select = Selection::Every(interval.parse().expect("a valid interval"));
            let recipe = Recipe { select, ..Recipe::default() };
            let serialized = serde_json::to_value(&recipe).expect("a recipe is serializable");
            assert_eq!(RecipeView::from(&recipe).to_json(), Some(serialized), "{interval}");
        }
    }
}
