//! Errors as their users see them: problem documents (RFC 9457), each with a code that never
//! changes.

use std::marker::PhantomData;
use std::time::Duration;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use poem_openapi::{ApiResponse, Object};
use tracing::error;

use crate::limits::Verdict;

/// What went wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
pub struct FieldError {
    /// The field.
    #[oai(validator(min_length = 1))]
    pub field: String,
    /// Stable name of what is wrong with it.
    pub code: String,
    /// The same in words.
    pub message: String,
}

impl FieldError {
    /// What is wrong with a field.
    pub fn new(field: &str, code: &str, message: &str) -> Self {
        Self { field: field.to_owned(), code: code.to_owned(), message: message.to_owned() }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem")]
pub struct Document {
    /// Always `about:blank`: the code says what it is.
    #[oai(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable name of the problem, in upper snake case.
    pub code: String,
    /// What went wrong and what to do.
    pub detail: String,
    /// What is wrong with which field.
    #[oai(default, skip_serializing_if_is_empty)]
    pub errors: Vec<FieldError>,
}

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    told: Option<Told>,
}

/// What the headers tell besides.
#[derive(Debug, Clone, Copy)]
enum Told {
    RetryAfter(Duration),
    Limited(Verdict),
    Size(u64),
}

impl Problem {
    /// A problem with this status, code and explanation.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), told: None }
    }

    /// The request is understood and cannot be done as it is, because of these fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail =
            errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(" ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_FIELDS", detail) }
    }

    /// One field is wrong.
    pub fn field(field: &str, code: &str, message: &str) -> Self {
        Self::fields(vec![FieldError::new(field, code, message)])
    }

    /// The request may succeed after this time.
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.told = Some(Told::RetryAfter(pause));
        self
    }

    /// The request came too often.
    pub fn limited(mut self, verdict: &Verdict) -> Self {
        self.told = Some(Told::Limited(*verdict));
        self
    }

    /// The range that was asked for lies behind the end of what has so many bytes.
    pub fn behind(mut self, size: u64) -> Self {
        self.told = Some(Told::Size(size));
        self
    }

    /// There is no such job.
    pub fn no_such_job() -> Self {
        Self::new(StatusCode::NOT_FOUND, "JOB_NOT_FOUND", "There is no such job.")
    }

    /// A fault of ours that the user can do nothing about; the reason stays in the log.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        error!(%reason, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "Something went wrong on our side. Try again later.",
        )
    }

    fn unavailable(what: &str, reason: &dyn std::fmt::Display) -> Self {
        error!(%reason, "{what} is not available");
        let detail = format!("{what} is not available at the moment. Try again in a few seconds.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail)
            .retry_after(Duration::from_secs(5))
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Corrupt(_) | database::Error::AlreadyExists => Self::internal(&error),
            _ => Self::unavailable("The database", &error),
        }
    }
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "STORAGE_FULL",
                "There is no room for the video at the moment. Try again later.",
            ),
            _ => Self::unavailable("The file store", &error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = Response::builder()
            .status(self.status)
            .content_type(ProblemJson::CONTENT_TYPE)
            .body(document.to_json_string());
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let headers = response.headers_mut();
        if let Some(Told::Limited(verdict)) = self.told {
            for (name, value) in verdict.headers() {
                headers.insert(name, HeaderValue::from(value));
            }
        }
        match self.told {
            Some(Told::RetryAfter(pause) | Told::Limited(Verdict { reset: pause, .. })) => {
                // Whole seconds, rounded up: an earlier attempt would fail again (RFC 9110,
                // 10.2.3).
                let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            // For clients that resume, and want to know whether they have everything (RFC 9110,
            // 14.4).
            Some(Told::Size(size)) => {
                if let Ok(size) = HeaderValue::from_str(&format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, size);
                }
            }
            None => {}
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        Self::from_response(problem.into_response())
    }
}

/// The media type of a problem document.
struct ProblemJson;

impl Payload for ProblemJson {
    const CONTENT_TYPE: &'static str = "application/problem+json";

    fn schema_ref() -> MetaSchemaRef {
        Document::schema_ref()
    }

    fn register(registry: &mut Registry) {
        Document::register(registry);
    }
}

/// The statuses with which an operation can refuse, for the OpenAPI document.
pub trait Statuses: Send + Sync + 'static {
    /// Status and when it is given.
    const LIST: &'static [(u16, &'static str)];
}

/// A problem of an operation that refuses with `S` alone.
pub struct Refusal<S>(Problem, PhantomData<S>);

impl<S: Statuses, E: Into<Problem>> From<E> for Refusal<S> {
    fn from(error: E) -> Self {
        let problem = error.into();
        debug_assert!(
            S::LIST.iter().any(|(status, _)| *status == problem.status.as_u16()),
            "{} is not documented: {problem:?}",
            problem.status
        );
        Self(problem, PhantomData)
    }
}

impl<S: Statuses> From<Refusal<S>> for poem::Error {
    fn from(refusal: Refusal<S>) -> Self {
        refusal.0.into()
    }
}

impl<S: Statuses> ApiResponse for Refusal<S> {
    fn meta() -> MetaResponses {
        let number = |name: &str, description: &str| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: true,
            deprecated: false,
            schema: u64::schema_ref(),
        };
        let responses = S::LIST
            .iter()
            .map(|(status, description)| MetaResponse {
                description,
                status: Some(*status),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: ProblemJson::CONTENT_TYPE,
                    schema: ProblemJson::schema_ref(),
                }],
                headers: match status {
                    429 => vec![
                        number("Retry-After", "Seconds until it is worth trying again."),
                        number("RateLimit-Limit", "How often this may be done in a minute."),
                        number("RateLimit-Remaining", "How often it may be done still."),
                        number(
                            "RateLimit-Reset",
                            "Seconds until the oldest time that counts does not count any more.",
                        ),
                    ],
                    416 => vec![MetaHeader {
                        schema: String::schema_ref(),
                        ..number("Content-Range", "How many bytes there are, as `bytes */n`.")
                    }],
                    503 => vec![number("Retry-After", "Seconds until it is worth trying again.")],
                    _ => Vec::new(),
                },
            })
            .collect();
        MetaResponses { responses }
    }

    fn register(registry: &mut Registry) {
        ProblemJson::register(registry);
    }
}

/// Name the statuses with which an operation refuses.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident { $($status:literal: $when:literal,)* })*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl $crate::problem::Statuses for $name {
                const LIST: &'static [(u16, &'static str)] = &[$(($status, $when),)*];
            }
        )*
    };
}
pub(crate) use refusals;

/// What poem itself refuses, as a problem document.
pub fn of_framework(error: poem::Error) -> Response {
    use poem_openapi::error::{
        AuthorizationError, ContentTypeError, ParseParamError, ParsePathError,
        ParseRequestPayloadError,
    };
    if error.is_from_response() {
        return error.into_response();
    }
    let status = error.status();
    let detail = error.to_string();
    let code = if error.is::<ParseParamError>() || error.is::<ParsePathError>() {
        "INVALID_PARAMETER"
    } else if error.is::<ParseRequestPayloadError>() {
        "INVALID_BODY"
    } else if error.is::<ContentTypeError>() {
        "UNSUPPORTED_MEDIA_TYPE"
    } else if error.is::<AuthorizationError>() {
        let detail =
            "This needs an access token: log in and send it as `Authorization: Bearer ...`.";
        return Problem::new(status, "NOT_LOGGED_IN", detail).into_response();
    } else {
        match status {
            StatusCode::NOT_FOUND => {
                return Problem::new(status, "NOT_FOUND", "There is nothing at this address.")
                    .into_response();
            }
            StatusCode::METHOD_NOT_ALLOWED => "METHOD_NOT_ALLOWED",
            StatusCode::PAYLOAD_TOO_LARGE => "BODY_TOO_LARGE",
            status if status.is_client_error() => "BAD_REQUEST",
            _ => return Problem::internal(&error).into_response(),
        }
    };
    Problem::new(status, code, detail).into_response()
}
