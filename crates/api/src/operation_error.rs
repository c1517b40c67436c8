//! Problems that an operation may respond with, as the OpenAPI document lists them.

use std::marker::PhantomData;

use poem_openapi::ApiResponse;
use poem_openapi::payload::Payload;
use poem_openapi::registry::{
    MetaHeader, MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ToJSON, Type};
use serde_json::Value;

use crate::problem::{Problem, ProblemJson};
use crate::problem_examples::{self, FieldExample};

/// Documented problem response of an operation.
pub struct ProblemResponse {
    /// HTTP status.
    pub status: u16,
    /// Description in the OpenAPI document.
    pub description: &'static str,
    /// Codes of the problems with this status.
    pub codes: &'static [&'static str],
    /// Example of an invalid field, for the code `INVALID_FIELDS`.
    pub field: Option<FieldExample>,
}

/// Set of the problem responses of an operation.
pub trait ProblemResponses: Send + Sync + 'static {
    /// Problem responses in ascending order of status.
    const LIST: &'static [ProblemResponse];
}

/// Problem that is one of the documented responses `R`.
pub struct OperationError<R>(Problem, PhantomData<R>);

impl<R: ProblemResponses, E: Into<Problem>> From<E> for OperationError<R> {
    fn from(error: E) -> Self {
        let problem = error.into();
        debug_assert!(
            R::LIST.iter().any(|response| response.status == problem.status().as_u16()
                && response.codes.contains(&problem.code())),
            "undocumented problem: {problem:?}"
        );
        Self(problem, PhantomData)
    }
}

impl<R: ProblemResponses> From<OperationError<R>> for poem::Error {
    fn from(error: OperationError<R>) -> Self {
        error.0.into()
    }
}

impl<R: ProblemResponses> ApiResponse for OperationError<R> {
    fn meta() -> MetaResponses {
        let responses = R::LIST.iter().map(|response| MetaResponse {
            description: response.description,
            status: Some(response.status),
            status_range: None,
            content: vec![MetaMediaType {
                content_type: ProblemJson::CONTENT_TYPE,
                schema: schema_with_examples(response),
            }],
            headers: headers(response.status),
        });
        MetaResponses { responses: responses.collect() }
    }

    fn register(registry: &mut Registry) {
        ProblemJson::register(registry);
    }
}

/// Schema of a problem document with an array of its examples. The module `document` moves them
/// into the media type, where the framework has no place for them.
fn schema_with_examples(response: &ProblemResponse) -> MetaSchemaRef {
    let examples = response.codes.iter().filter_map(|code| {
        problem_examples::example(response.status, code, response.field)?.to_json()
    });
    let example = Some(Value::Array(examples.collect()));
    MetaSchemaRef::Inline(Box::new(MetaSchema {
        all_of: vec![ProblemJson::schema_ref()],
        example,
        ..MetaSchema::ANY
    }))
}

/// Headers of a problem response.
fn headers(status: u16) -> Vec<MetaHeader> {
    let header = |name: &str, description: &str, schema| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema,
    };
    let number = |name, description| header(name, description, u64::schema_ref());
    let retry_after = || number("Retry-After", "Seconds until the request may succeed.");
    match status {
        416 => {
            let description = "Size of the archive, as `bytes */<size>`.";
            vec![header("Content-Range", description, String::schema_ref())]
        }
        429 => vec![
            retry_after(),
            number("RateLimit-Limit", "Maximum number of requests per minute."),
            number("RateLimit-Remaining", "Number of requests left in this minute."),
            number("RateLimit-Reset", "Seconds until another request is allowed."),
        ],
        503 => vec![retry_after()],
        _ => Vec::new(),
    }
}

/// Declare sets of problem responses: `status: "description", CODE CODE;`, with an optional example
/// of an invalid field as a last item.
macro_rules! problem_responses {
    ($($(#[$doc:meta])* $name:ident {
        $($status:literal: $description:literal, $($code:ident)+ $(, $field:expr)?;)*
    })*) => {
        $(
            $(#[$doc])*
            pub struct $name;

            impl $crate::operation_error::ProblemResponses for $name {
                const LIST: &'static [$crate::operation_error::ProblemResponse] = &[
                    $($crate::operation_error::ProblemResponse {
                        status: $status,
                        description: $description,
                        codes: &[$(stringify!($code)),+],
                        field: $crate::operation_error::optional!($($field)?),
                    },)*
                ];
            }
        )*
    };
}
pub(crate) use problem_responses;

/// `Some` of an expression, or `None`.
macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}
pub(crate) use optional;

#[cfg(test)]
mod tests {
    use poem::http::StatusCode;

    use super::*;

    problem_responses! {
        Problems {
            404: "The job does not exist.", JOB_NOT_FOUND;
        }
    }

    #[test]
    fn accepts_documented_problems() {
        let _: OperationError<Problems> = Problem::job_not_found().into();
    }

    #[test]
    #[should_panic(expected = "undocumented problem")]
    fn rejects_undocumented_problems() {
        let problem = Problem::new(StatusCode::NOT_FOUND, "FRAME_NOT_FOUND", "No such frame.");
        let _: OperationError<Problems> = problem.into();
    }
}
