//! JSON bodies, read with a limit.

use poem::error::ReadBodyError;
use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::error::ContentTypeError;
use poem_openapi::payload::{Json, ParsePayload, Payload};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use crate::problem::{FieldError, Problem};

/// Bytes of the largest JSON body; none of ours comes near it.
const LIMIT: usize = 64 << 10;

/// A JSON body. A malformed one is 400, a well-formed one of the wrong shape 422.
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
        let bytes = body.take()?.into_bytes_limit(LIMIT).await.map_err(|error| match error {
            ReadBodyError::PayloadTooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                format!("The body has more than {LIMIT} bytes."),
            ),
            _ => Problem::new(
                StatusCode::BAD_REQUEST,
                "INVALID_BODY",
                format!("The body cannot be read: {error}."),
            ),
        })?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "INVALID_JSON",
                format!("The body is not JSON: {error}."),
            )
        })?;
        let errors = misshapen::<T>(&value);
        if !errors.is_empty() {
            return Err(Problem::fields(errors).into());
        }
        let parsed = T::parse_from_json(Some(value)).map_err(|error| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "INVALID_BODY",
                format!("The body has the wrong form: {}", error.into_message()),
            )
        })?;
        Ok(Self(parsed))
    }
}

/// What is wrong with the fields of an object: those that are missing, and those that are no text
/// although they have to be. The library would not name the missing, and take numbers for text.
fn misshapen<T: Type>(value: &Value) -> Vec<FieldError> {
    let schema = Registry::new().create_fake_schema::<T>();
    let Some(object) = value.as_object() else { return Vec::new() };
    let wrong = |(name, property): &(&'static str, MetaSchemaRef)| {
        let text = matches!(property, MetaSchemaRef::Inline(property) if property.ty == "string");
        match object.get(*name) {
            None if schema.required.contains(name) => Some(FieldError::new(
                name,
                "FIELD_MISSING",
                &format!("The field `{name}` is missing."),
            )),
            Some(value) if text && !value.is_string() => Some(FieldError::new(
                name,
                "FIELD_NO_TEXT",
                &format!("The field `{name}` has to be text."),
            )),
            _ => None,
        }
    };
    schema.properties.iter().filter_map(wrong).collect()
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for Input<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content =
            vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        match request.content_type() {
            Some(content_type) if Self::check_content_type(content_type) => {
                <Self as ParsePayload>::from_request(request, body).await
            }
            Some(content_type) => {
                Err(ContentTypeError::NotSupported { content_type: content_type.to_owned() }.into())
            }
            None => Err(ContentTypeError::ExpectContentType.into()),
        }
    }
}
