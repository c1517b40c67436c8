//! JSON text of a recipe.

use std::fmt;

use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::invalid::{InvalidRecipe, Reason};
use crate::excerpt::Excerpt;

/// Maximum size of a recipe's text, in bytes.
pub const MAX_BYTES: usize = 64 << 10;

/// Read a text as JSON. A byte order mark is ignored (RFC 8259, 8.1).
pub(super) fn value_of(text: &[u8]) -> Result<Value, InvalidRecipe> {
    if text.len() > MAX_BYTES {
        let message = format!("it is larger than {MAX_BYTES} bytes");
        return Err(InvalidRecipe::new(Reason::TooLarge, message));
    }
    let not_json = |reason: &dyn fmt::Display| {
        InvalidRecipe::new(Reason::NotJson, format!("it is not JSON: {reason}"))
    };
    let text = std::str::from_utf8(text).map_err(|_| not_json(&"its encoding is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = serde_json::from_str(text);
    read.map(|UniqueMembers(value)| value).map_err(|error| not_json(&error))
}

/// Text of a string, or of a number as it was written: the shortest one that reads back as the
/// same number. `None` for other values.
pub(super) fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        _ => value.as_u64().map(|whole| whole.to_string()).or(Some(value.as_f64()?.to_string())),
    }
}

/// JSON value in which no object has two members with one name.
pub struct UniqueMembers(pub Value);

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(UniqueMembers(element)) = list.next_element()? {
            elements.push(element);
        }
        Ok(elements.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, UniqueMembers(value))) = object.next_entry::<String, _>()? {
            if members.contains_key(&name) {
                let name = Excerpt::of(&name);
                return Err(A::Error::custom(format_args!("an object has two members `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(members.into())
    }
}
