//! JSON request bodies of limited size.

use bytes::Bytes;
use jobs::recipe::UniqueMembers;
use poem::error::ReadBodyError;
use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::impl_apirequest_for_payload;
use poem_openapi::payload::{Json, ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use serde_json::Value;

use crate::problem::{FieldError, Problem};

/// Maximum size of a body, in bytes: that of a recipe. Other valid bodies are far smaller.
const MAX_BYTES: usize = jobs::recipe::MAX_BYTES;

/// JSON body. Invalid JSON, and objects with two members of one name, are rejected with 400, JSON
/// that does not match the schema with 422.
pub struct Input<T>(pub T);

impl<T: Type> Payload for Input<T> {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        Json::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for Input<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(_request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let bytes = bytes_of(body).await?;
        // Readers of JSON differ in which of two members with one name applies (RFC 8259, 4).
        let UniqueMembers(value) = serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("The body is not JSON: {error}.");
            Problem::new(StatusCode::BAD_REQUEST, "INVALID_JSON", detail)
        })?;
        let errors = field_errors::<T>(&value);
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        let parsed = T::parse_from_json(Some(value)).map_err(|error| {
            let detail = format!("The body does not match the schema: {}", error.into_message());
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_BODY", detail)
        })?;
        Ok(Self(parsed))
    }
}

/// Read a body.
///
/// # Errors
/// 413 (`BODY_TOO_LARGE`), 400 (`INVALID_BODY`).
pub async fn bytes_of(body: &mut RequestBody) -> poem::Result<Bytes> {
    let read = body.take()?.into_bytes_limit(MAX_BYTES).await.map_err(|error| match error {
        ReadBodyError::PayloadTooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("The body is larger than {MAX_BYTES} bytes."),
        ),
        _ => Problem::new(
            StatusCode::BAD_REQUEST,
            "INVALID_BODY",
            format!("The body could not be read: {error}."),
        ),
    });
    Ok(read?)
}

/// Errors of an object's fields: required ones that are missing, and string fields that hold
/// another type. The framework would not name missing fields and would accept numbers as strings.
fn field_errors<T: Type>(value: &Value) -> Vec<FieldError> {
    let schema = Registry::new().create_fake_schema::<T>();
    let Some(object) = value.as_object() else { return Vec::new() };
    let error = |(name, property): &(&'static str, MetaSchemaRef)| {
        let is_string =
            matches!(property, MetaSchemaRef::Inline(property) if property.ty == "string");
        match object.get(*name) {
            None if schema.required.contains(name) => Some(FieldError::new(
                name,
                "FIELD_MISSING",
                &format!("The field `{name}` is missing."),
            )),
            // Many clients send an optional field that has no value as null.
            Some(Value::Null) if !schema.required.contains(name) => None,
            Some(value) if is_string && !value.is_string() => Some(FieldError::new(
                name,
                "FIELD_NO_TEXT",
                &format!("The field `{name}` must be a string."),
            )),
            _ => None,
        }
    };
    schema.properties.iter().filter_map(error).collect()
}

impl_apirequest_for_payload!(Input<T>, T: ParseFromJSON);
