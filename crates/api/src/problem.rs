//! Problem documents (RFC 9457): the JSON form of every error response.

use std::time::Duration;

use jobs::recipe::InvalidRecipe;
use poem::http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{Example, ToJSON, Type};
use storage::unsatisfied_content_range;
use tracing::error;

use crate::field_code::FieldCode;
use crate::rate_limit::RateLimitStatus;

/// Field of a request that holds a recipe.
pub const RECIPE_FIELD: &str = "recipe";

/// Error in one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Object)]
#[oai(example)]
pub struct FieldError {
    /// Name of the field. In a recipe, the path of its member, such as `select.at[2]`.
    #[oai(validator(min_length = 1))]
    pub field: String,
    /// Stable code of the error, in upper snake case.
    pub code: FieldCode,
    /// Explanation of the error, in English.
    pub message: String,
}

impl FieldError {
    /// Create an error of a field.
    pub fn new(field: &str, code: &str, message: &str) -> Self {
        let code = FieldCode(code.to_owned());
        Self { field: field.to_owned(), code, message: message.to_owned() }
    }
}

/// Problem document (RFC 9457).
#[derive(Debug, Clone, Object)]
#[oai(rename = "Problem", example)]
pub struct ProblemDocument {
    /// Always `about:blank`: `code` identifies the problem.
    #[oai(rename = "type")]
    pub kind: String,
    /// Reason phrase of the HTTP status.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code of the problem, in upper snake case.
    pub code: String,
    /// Explanation of the problem and what to do, in English.
    pub detail: String,
    /// Errors of the request's fields.
    #[oai(default, skip_serializing_if_is_empty)]
    pub errors: Vec<FieldError>,
    /// Error code of OAuth 2.0 (RFC 6749, 5.2), if the request was a log-in by a form.
    #[oai(skip_serializing_if_is_none)]
    pub error: Option<String>,
    /// The same as `detail`, if there is an `error`.
    #[oai(skip_serializing_if_is_none)]
    pub error_description: Option<String>,
}

impl ProblemDocument {
    /// Create a document without field errors.
    pub fn new(status: StatusCode, code: &str, detail: String) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail,
            errors: Vec::new(),
            error: None,
            error_description: None,
        }
    }
}

impl Example for FieldError {
    fn example() -> Self {
        Self::new("password", "PASSWORD_NO_DIGIT", "The password must contain a digit.")
    }
}

impl Example for ProblemDocument {
    fn example() -> Self {
        let detail = "The job does not exist.".to_owned();
        Self::new(StatusCode::NOT_FOUND, "JOB_NOT_FOUND", detail)
    }
}

/// Media type `application/problem+json`.
pub struct ProblemJson;

impl Payload for ProblemJson {
    const CONTENT_TYPE: &'static str = "application/problem+json";

    fn schema_ref() -> MetaSchemaRef {
        ProblemDocument::schema_ref()
    }

    fn register(registry: &mut Registry) {
        ProblemDocument::register(registry);
    }
}

/// Reason why a request failed.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    hint: Option<Hint>,
    oauth_error: Option<&'static str>,
}

/// Information for the response headers.
#[derive(Debug, Clone, Copy)]
enum Hint {
    RetryAfter(Duration),
    RateLimit(RateLimitStatus),
    /// Size of the representation whose range was requested, in bytes.
    RepresentationSize(u64),
}

impl Problem {
    /// Create a problem.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (errors, detail) = (Vec::new(), detail.into());
        Self { status, code, detail, errors, hint: None, oauth_error: None }
    }

    /// Create a problem for invalid fields of the request.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail =
            errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join(" ");
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_FIELDS", detail) }
    }

    /// Create a problem for one invalid field.
    pub fn field(field: &str, code: &str, message: &str) -> Self {
        Self::fields(vec![FieldError::new(field, code, message)])
    }

    /// Create a problem for a mistake in a recipe.
    pub fn recipe(mistake: &InvalidRecipe) -> Self {
        let field = mistake.member().unwrap_or(RECIPE_FIELD);
        let message = format!("The recipe is invalid: {mistake}.");
        Self::field(field, mistake.reason().code(), &message)
    }

    /// Create a problem for an internal error. The reason is logged and not sent.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        error!(%reason, "request failed with an internal error");
        let detail = "Internal error. Try again later.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", detail)
    }

    /// Create a problem for a job that does not exist.
    pub fn job_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "JOB_NOT_FOUND", "The job does not exist.")
    }

    /// Send `Retry-After`.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.hint = Some(Hint::RetryAfter(delay));
        self
    }

    /// Send the `RateLimit` headers and `Retry-After`.
    pub fn rate_limited(mut self, status: &RateLimitStatus) -> Self {
        self.hint = Some(Hint::RateLimit(*status));
        self
    }

    /// Send `Content-Range` with the size of the representation, in bytes.
    pub fn representation_size(mut self, size: u64) -> Self {
        self.hint = Some(Hint::RepresentationSize(size));
        self
    }

    /// Send an error code of OAuth 2.0 (RFC 6749, 5.2).
    pub fn oauth_error(mut self, error: &'static str) -> Self {
        self.oauth_error = Some(error);
        self
    }

    /// Replace the HTTP status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Replace the explanation.
    pub fn with_detail(self, detail: &str) -> Self {
        Self { detail: detail.to_owned(), ..self }
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Create a problem for a request that a process interrupts because it stops.
    pub fn stopping() -> Self {
        let detail = "The service is restarting. Continue in a few seconds.";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "UNAVAILABLE", detail).retry_after(Duration::from_secs(1))
    }

    /// Error code of OAuth 2.0, if there is one.
    #[cfg(test)]
    pub fn oauth(&self) -> Option<&'static str> {
        self.oauth_error
    }

    fn unavailable(dependency: &str, reason: &dyn std::fmt::Display) -> Self {
        /// Time in which a dependency usually recovers.
        const DELAY: Duration = Duration::from_secs(5);
        error!(%reason, "{dependency} is unavailable");
        let detail = format!("The {dependency} is unavailable. Try again in a few seconds.");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail).retry_after(DELAY)
    }
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Corrupt(_) | database::Error::AlreadyExists => Self::internal(&error),
            _ => Self::unavailable("database", &error),
        }
    }
}

impl From<storage::Error> for Problem {
    fn from(error: storage::Error) -> Self {
        match error {
            storage::Error::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "STORAGE_FULL",
                "The file store has no space left for the video. Try again later.",
            ),
            storage::Error::Displaced { .. } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "UPLOAD_DISPLACED",
                "The service receives many uploads, and this was one of the slowest. Upload again \
                 later, or over a faster connection.",
            ),
            _ => Self::unavailable("file store", &error),
        }
    }
}

impl Hint {
    fn write(self, headers: &mut HeaderMap) {
        let retry_after = match self {
            Self::RetryAfter(delay) => delay.as_secs() + u64::from(delay.subsec_nanos() > 0),
            Self::RateLimit(status) => {
                headers.insert("ratelimit-limit", HeaderValue::from(status.limit));
                headers.insert("ratelimit-remaining", HeaderValue::from(status.remaining));
                headers.insert("ratelimit-reset", HeaderValue::from(status.reset_seconds()));
                status.reset_seconds()
            }
            Self::RepresentationSize(size) => {
                // RFC 9110, 14.4: clients that resume a download detect that it was complete.
                if let Ok(range) = HeaderValue::from_str(&unsatisfied_content_range(size)) {
                    headers.insert(header::CONTENT_RANGE, range);
                }
                return;
            }
        };
        // Whole seconds, rounded up: an earlier attempt would fail again (RFC 9110, 10.2.3).
        headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after.max(1)));
    }
}

/// Code of the problem that a response describes, for the log.
#[derive(Debug, Clone, Copy)]
pub struct ProblemCode(pub &'static str);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut document = ProblemDocument::new(self.status, self.code, self.detail);
        document.errors = self.errors;
        if let Some(error) = self.oauth_error {
            document.error = Some(error.to_owned());
            document.error_description = Some(document.detail.clone());
        }
        let mut response = Response::builder()
            .status(self.status)
            .content_type(ProblemJson::CONTENT_TYPE)
            .body(document.to_json_string());
        response.set_data(ProblemCode(self.code));
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(hint) = self.hint {
            hint.write(headers);
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let code = ProblemCode(problem.code);
        let mut error = Self::from_response(problem.into_response());
        // Those of the response are replaced by those of the error.
        error.set_data(code);
        error
    }
}

/// Convert an error of the web framework into a problem document.
pub fn from_framework(error: poem::Error) -> Response {
    use poem_openapi::error::{
        AuthorizationError, ContentTypeError, ParseParamError, ParsePathError,
        ParseRequestPayloadError,
    };
    if error.is_from_response() {
        return error.into_response();
    }
    let status = error.status();
    let detail = match error.downcast_ref::<ParsePathError>() {
        // The framework gives parameters in the path other names than the document.
        Some(error) => format!("A parameter in the path is invalid: {}", error.reason),
        None => error.to_string(),
    };
    let code = if error.is::<ParseParamError>() || error.is::<ParsePathError>() {
        "INVALID_PARAMETER"
    } else if error.is::<ParseRequestPayloadError>() {
        "INVALID_BODY"
    } else if error.is::<ContentTypeError>() {
        "UNSUPPORTED_MEDIA_TYPE"
    } else if error.is::<AuthorizationError>() {
        let detail = "An access token is required. Log in and send it as `Authorization: Bearer \
                      <access token>`.";
        return Problem::new(status, "NOT_LOGGED_IN", detail).into_response();
    } else {
        match status {
            StatusCode::NOT_FOUND => {
                return Problem::new(status, "NOT_FOUND", "The path does not exist.")
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
