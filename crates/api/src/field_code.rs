//! Codes of errors in fields of a request.

use std::borrow::Cow;

use jobs::recipe::Reason;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use serde_json::Value;

/// Name of the schema that lists the codes of mistakes in recipes.
const RECIPE_CODES: &str = "RecipeErrorCode";

/// Stable code of an error in a field, in upper snake case. The document lists those of recipes, so
/// that clients can test that they have a text for each; later versions may add codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldCode(pub String);

impl Type for FieldCode {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "FieldCode".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        let recipe_codes = MetaSchemaRef::Reference(RECIPE_CODES.to_owned());
        let any_of = vec![String::schema_ref(), recipe_codes];
        MetaSchemaRef::Inline(Box::new(MetaSchema { any_of, ..MetaSchema::ANY }))
    }

    fn register(registry: &mut Registry) {
        registry.create_schema::<Self, _>(RECIPE_CODES.to_owned(), |_| MetaSchema {
            description: Some("Code of a mistake in a recipe. Later versions may add codes."),
            enum_items: Reason::ALL.iter().map(|reason| reason.code().into()).collect(),
            ..MetaSchema::new("string")
        });
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for FieldCode {
    fn to_json(&self) -> Option<Value> {
        self.0.to_json()
    }
}

impl ParseFromJSON for FieldCode {
    fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
        String::parse_from_json(value).map(Self).map_err(poem_openapi::types::ParseError::propagate)
    }
}
