//! OpenAPI document: generated from the operations, and completed with parts that the generator
//! cannot express: examples of responses, `security` of public operations, the log-in by OAuth 2.0,
//! the scopes of API keys in descriptions, and canonical header names.

use database::keys::Scope;
use poem_openapi::payload::Payload;
use poem_openapi::types::ToJSON;
use poem_openapi::{ContactObject, LicenseObject, OpenApiService, ServerObject};
use serde_json::{Map, Value, json};

use crate::account_export::AccountExport;
use crate::accounts::Accounts;
use crate::another_job::AnotherJob;
use crate::authentication::Authentication;
use crate::confirmation::Confirmation;
use crate::direct_uploads::DirectUploadOperations;
use crate::downloads::Downloads;
use crate::events::JobEvents;
use crate::files::Files;
use crate::forecasts::Forecasts;
use crate::frames::Frames;
use crate::health::{HealthOperations, Readiness};
use crate::job_view::JobView;
use crate::key_list::Keys;
use crate::password_grant::PasswordForm;
use crate::password_reset::PasswordResets;
use crate::permissions;
use crate::previews::Previews;
use crate::profile::Profile;
use crate::resumable_uploads::ResumableUploads;
use crate::second_factor::SecondFactorOperations;
use crate::selections::Selections;
use crate::session_list::Sessions;
use crate::share_access;
use crate::shared_jobs::SharedJobs;
use crate::shares::Shares;
use crate::sheets::Sheets;
use crate::uploads::Uploads;
use crate::videos::Videos;
use crate::webhook_deliveries::WebhookDeliveries;
use crate::webhook_view::WebhookView;
use crate::webhooks::Webhooks;

/// Declare the type and the value of a tuple of tuples of unit structs. The framework accepts 16
/// members in each.
macro_rules! operations {
    ($(($($operations:ident),+)),+) => {
        /// All operations, in the order of the document.
        pub type Operations = ($(($($operations),+)),+);

        const OPERATIONS: Operations = ($(($($operations),+)),+);
    };
}
operations!(
    (
        Accounts,
        Authentication,
        Sessions,
        SecondFactorOperations,
        Confirmation,
        PasswordResets,
        Keys,
        Profile,
        AccountExport
    ),
    (
        Uploads,
        ResumableUploads,
        DirectUploadOperations,
        Videos,
        AnotherJob,
        Forecasts,
        JobEvents,
        Frames,
        Sheets,
        Previews,
        Downloads,
        Files,
        Selections,
        HealthOperations
    ),
    (Webhooks, WebhookDeliveries, Shares, SharedJobs)
);

const DESCRIPTION: &str = "\
Turns videos into ZIP archives of frames, one per second.

Register, log in, upload a video, watch its job and download the archive. Programs use an API \
key (`POST /keys`) in place of an access token: each operation states the scope that it needs, \
or refuses keys. Errors are problem \
documents (RFC 9457) with a stable `code`. Each response has the id of its request in \
`X-Request-Id`.";

/// Header names in the form of their RFCs. The generator writes them in capitals.
const HEADER_NAMES: [&str; 25] = [
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "ETag",
    "Idempotency-Key",
    "Link",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "Tus-Checksum-Algorithm",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Checksum",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "Vary",
    "X-Job-Id",
];

/// Name of the security scheme by which clients of OAuth 2.0, such as Swagger UI, log in and get an
/// access token.
const LOG_IN_SCHEME: &str = "logIn";

/// First bytes of each binary media type, as examples.
const BINARY_EXAMPLES: [(&str, &str); 5] = [
    ("application/offset+octet-stream", "\u{0}\u{0}\u{0} ftypisom"),
    ("application/zip", "PK\u{3}\u{4}"),
    ("image/png", "\u{89}PNG\r\n\u{1a}\n"),
    ("image/jpeg", "\u{ff}\u{d8}\u{ff}"),
    ("image/webp", "RIFF"),
];

/// Service with all operations.
pub fn operations() -> OpenApiService<Operations, ()> {
    OpenApiService::new(OPERATIONS, "FIAP X", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .contact(ContactObject::new().name("FIAP X"))
        .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server(ServerObject::new("/").description("This service."))
}

/// OpenAPI document of all operations, as JSON.
#[must_use]
pub fn document() -> String {
    complete(&operations().spec())
}

/// Page of Swagger UI with the document.
pub fn swagger_ui_html() -> String {
    let operations = operations();
    let generated = operations.spec();
    operations.swagger_ui_html().replacen(&generated, &complete(&generated), 1)
}

/// Complete a generated document.
fn complete(generated: &str) -> String {
    let mut document: Value = serde_json::from_str(generated)
        .unwrap_or_else(|error| unreachable!("the generated document is JSON: {error}"));
    let schemas = document["components"]["schemas"].clone();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        complete_operation(operation, &schemas);
    }
    merge_descriptions(&mut document);
    document["components"]["securitySchemes"][LOG_IN_SCHEME] = json!({
        "type": "oauth2",
        "description": "Access token for an e-mail address and a password, from \
                        `POST /auth/login`. The client's own credentials are ignored.",
        "flows": { "password": { "tokenUrl": "/auth/login", "scopes": {} } },
    });
    format!("{document:#}")
}

/// Leave a reference alone in its `allOf`, beside which the framework puts a schema that repeats
/// the description. Generators of clients reject such a member, because it has no type.
fn merge_descriptions(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let description = object.get("description").cloned();
            if let (Some(description), Some(Value::Array(members))) =
                (description, object.get_mut("allOf"))
            {
                let repetition = json!({ "description": description });
                members.retain(|member| *member != repetition);
            }
            object.values_mut().for_each(merge_descriptions);
        }
        Value::Array(members) => members.iter_mut().for_each(merge_descriptions),
        _ => {}
    }
}

fn complete_operation(operation: &mut Value, schemas: &Value) {
    match operation.get("security") {
        // The token of a link, with which neither users nor programs log in.
        Some(security) if security[0].get(share_access::SCHEME).is_some() => {}
        Some(security) => {
            let sentence = sentence_about_keys(security);
            let description = text(&operation["description"]);
            operation["description"] = format!("{description}\n\n{sentence}").into();
            // Wherever an access token is accepted, one of a log-in is.
            if let Some(accepted) = operation["security"].as_array_mut() {
                accepted.push(json!({ LOG_IN_SCHEME: [] }));
            }
        }
        None => operation["security"] = json!([]),
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if parameter["in"] == "header"
            && let Some(name) = canonical_name(&parameter["name"])
        {
            parameter["name"] = name.into();
        }
    }
    if let Some(Value::Object(content)) = operation.pointer_mut("/requestBody/content") {
        content.remove(PasswordForm::CONTENT_TYPE);
        for (media_type, media) in content {
            add_example(media_type, media, schemas);
        }
    }
    let id = operation["operationId"].clone();
    let Some(Value::Object(responses)) = operation.get_mut("responses") else { return };
    for (status, response) in responses.iter_mut() {
        if let Some(Value::Object(headers)) = response.get_mut("headers") {
            *headers = std::mem::take(headers).into_iter().map(with_canonical_name).collect();
        }
        let Some(Value::Object(content)) = response.get_mut("content") else { continue };
        for (media_type, media) in content {
            if let Some(example) = special_example(&id, status) {
                media["example"] = example;
            } else {
                add_example(media_type, media, schemas);
            }
        }
    }
    // The HTTP server rejects such requests before they reach an operation.
    let description = "Too many header fields, or too large ones. The response has no body.";
    responses.insert("431".to_owned(), json!({ "description": description }));
}

/// Sentence about the use of API keys for an operation with these security requirements.
fn sentence_about_keys(security: &Value) -> String {
    let schemes = security.as_array().into_iter().flatten().filter_map(Value::as_object);
    let accepts = |scope: &Scope| {
        schemes.clone().any(|schemes| schemes.contains_key(permissions::scheme(*scope)))
    };
    if Scope::ALL.iter().all(accepts) {
        return "API keys are refused, except for the one that is named.".to_owned();
    }
    match Scope::ALL.into_iter().find(accepts) {
        Some(scope) => format!("API keys need the scope `{}`.", scope.name()),
        None => "API keys are refused.".to_owned(),
    }
}

/// Example of a response that differs from the example of its schema.
fn special_example(operation_id: &Value, status: &str) -> Option<Value> {
    match (operation_id.as_str()?, status) {
        ("deleteVideo", "200") => JobView::cancelled_example().to_json(),
        ("createWebhook", "201") | ("rotateWebhookSecret", "200") => {
            WebhookView::example_with_secret().to_json()
        }
        ("getReadiness", "503") => Readiness::not_ready_example().to_json(),
        _ => None,
    }
}

/// Add the example of a media type: its first bytes, the one of its schema, or those of a
/// problem's codes.
fn add_example(media_type: &str, media: &mut Value, schemas: &Value) {
    if let Some((_, bytes)) = BINARY_EXAMPLES.iter().find(|(binary, _)| *binary == media_type) {
        media["example"] = (*bytes).into();
        return;
    }
    let schema = &mut media["schema"];
    if let Some(problems) = schema["example"].as_array().filter(|_| schema["allOf"].is_array()) {
        let examples: Map<String, Value> = problems
            .iter()
            .map(|problem| (text(&problem["code"]).to_owned(), json!({ "value": problem })))
            .collect();
        *schema = schema["allOf"][0].clone();
        media["examples"] = examples.into();
    } else if let Some(example) = schema_example(schema, schemas) {
        media["example"] = example;
    }
}

/// Example of a schema, of the schema that it refers to, or of the items of an array.
fn schema_example(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    if let Some(items) = schema.get("items") {
        return Some(json!([schema_example(items, schemas)?]));
    }
    let name = text(schema.get("$ref")?).rsplit('/').next()?;
    schemas[name].get("example").cloned()
}

fn with_canonical_name((name, header): (String, Value)) -> (String, Value) {
    let name = canonical_name(&Value::String(name.clone())).map_or(name, str::to_owned);
    (name, header)
}

fn canonical_name(name: &Value) -> Option<&'static str> {
    let name = name.as_str()?;
    HEADER_NAMES.into_iter().find(|canonical| canonical.eq_ignore_ascii_case(name))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
