//! Recipes in the OpenAPI document.

use std::borrow::Cow;

use jobs::StoredRecipe;
use jobs::recipe::Interval;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
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

/// Recipe of a job, in JSON as it is stored. While processes are replaced, it may be a recipe of
/// the later version, which the schema does not describe.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecipeView(Value);

impl From<&StoredRecipe> for StoredRecipeView {
    fn from(recipe: &StoredRecipe) -> Self {
        Self(recipe.to_json())
    }
}

impl Type for StoredRecipeView {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        RecipeView::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        RecipeView::schema_ref()
    }

    fn register(registry: &mut Registry) {
        RecipeView::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for StoredRecipeView {
    fn to_json(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

impl ParseFromJSON for StoredRecipeView {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        Ok(Self(value.unwrap_or_default()))
    }
}

impl Example for StoredRecipeView {
    fn example() -> Self {
        Self(RecipeView::example().to_json().unwrap_or_default())
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
    use jobs::Recipe;
    use jobs::recipe::Selection;

    use super::*;

    #[test]
    fn shows_recipes_as_they_are_stored() {
        for interval in ["1", "30", "1/3", "3/2"] {
            let select = Selection::Every(interval.parse().expect("a valid interval"));
            let recipe = Recipe { select, ..Recipe::default() };
            let stored = serde_json::to_value(&recipe).expect("a recipe is serializable");
            let view = StoredRecipeView::from(&StoredRecipe::from(recipe));
            assert_eq!(view.to_json(), Some(stored.clone()), "{interval}");
            let described = RecipeView::parse_from_json(Some(stored.clone()));
            let described = described.expect("the schema describes it");
            assert_eq!(described.to_json(), Some(stored), "{interval}");
        }
    }

    #[test]
    fn shows_recipes_of_a_later_version_unchanged() {
        let later = serde_json::json!({ "from": 10, "image": { "format": "jpeg" } });
        let view = StoredRecipeView::from(&StoredRecipe::Unknown(later.clone()));
        assert_eq!(view.to_json(), Some(later));
    }
}
