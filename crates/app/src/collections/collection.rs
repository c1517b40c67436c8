//! Requests of a collection, independent of the file format.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// Steps of the quick start: names and operations.
const QUICK_START: [(&str, &str); 6] = [
    ("register", "POST /auth/register"),
    ("login", "POST /auth/login"),
    ("upload", "POST /videos/upload"),
    ("status", "GET /jobs/{id}/status"),
    ("link", "GET /jobs/{id}/download"),
    ("fetch", FETCH),
];
/// Operation whose URL, including its signature, is the value of another response.
pub const FETCH: &str = "GET /files/videos/{user}/{job}/{name}";
/// Operations that invalidate values of others. They are the last of their groups.
const LAST: [&str; 4] =
    ["DELETE /videos/{id}", "POST /auth/password", "POST /auth/logout", "DELETE /auth/me"];
/// Values of path parameters.
const PATH_PARAMETERS: [(&str, &str); 7] = [
    ("{id}", "{{job_id}}"),
    ("{key_id}", "0190a000-0000-7000-8000-0000000000ff"),
    ("{share_id}", "0190a000-0000-7000-8000-0000000000bb"),
    ("{webhook_id}", "0190a000-0000-7000-8000-0000000000dd"),
    ("{delivery_id}", "0190a000-0000-7000-8000-0000000000ee"),
    ("{session_id}", "0190a000-0000-7000-8000-0000000000cc"),
    ("{number}", "1"),
];
/// Values of query parameters that are required.
const QUERY_PARAMETERS: [(&str, &str); 2] = [("frames", "1"), ("token", "signed")];
/// Values of body properties.
const BODY_PROPERTIES: [(&str, &str); 5] = [
    ("email", "{{email}}"),
    ("password", "{{password}}"),
    ("current_password", "{{password}}"),
    ("new_password", "{{password}}"),
    ("refresh_token", "{{refresh_token}}"),
];
/// Values of header parameters that are always sent.
const HEADERS: [(&str, &str); 4] = [
    ("Tus-Resumable", "1.0.0"),
    ("Upload-Length", "1000000"),
    ("Upload-Metadata", "filename YmVhY2gubXA0"),
    ("Upload-Offset", "0"),
];
/// Content type of the bytes of a resumable upload.
pub const BYTES: &str = "application/offset+octet-stream";
/// Properties of responses that later requests use as variables of the same names.
pub const RESPONSE_VARIABLES: [&str; 4] =
    ["access_token", "refresh_token", "job_id", "download_url"];
/// Path of the video to upload, from the root of the repository.
pub const SAMPLE: &str = "fixtures/sample.mp4";

/// Collection of requests.
pub struct Collection<'a> {
    /// Title of the API.
    pub title: &'a str,
    /// Description of the API.
    pub description: &'a str,
    /// Names and values of the variables that no response provides.
    pub variables: [(&'static str, &'a str); 3],
    /// Steps of the quick start, with their names.
    pub quick_start: Vec<(&'static str, Request<'a>)>,
    /// All operations, in groups with a name.
    pub groups: Vec<(&'a str, Vec<Request<'a>>)>,
}

/// Request that may contain variables, such as `{{job_id}}`.
pub struct Request<'a> {
    /// Method and path of the operation.
    pub operation: String,
    /// Summary of the operation.
    pub name: &'a str,
    /// Description of the operation.
    pub description: &'a str,
    /// HTTP method in upper case.
    pub method: String,
    /// URL with its required parameters, without optional ones.
    pub url: String,
    /// Headers that are sent, with their values.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Optional parameters.
    pub optional: Vec<OptionalParameter<'a>>,
    /// Whether an access token is required.
    pub needs_token: bool,
    /// Body, if the operation has one.
    pub body: Option<Body>,
    /// Documented statuses.
    pub statuses: Vec<u16>,
    /// Properties of a successful response that become variables.
    pub provides: Vec<&'static str>,
}

/// Optional parameter of a request.
pub struct OptionalParameter<'a> {
    /// `query` or `header`.
    pub place: &'a str,
    /// Name of the parameter.
    pub name: &'a str,
    /// Default value, or an empty string.
    pub default: String,
    /// Description of the parameter.
    pub description: &'a str,
}

/// Body of a request.
pub enum Body {
    /// JSON.
    Json(Value),
    /// Form with one video.
    Video,
    /// Bytes of a resumable upload: none.
    Bytes,
}

impl<'a> Collection<'a> {
    /// Read an OpenAPI document.
    pub fn of(document: &'a Value) -> Result<Self> {
        let example = &document["components"]["schemas"]["Registration"]["example"];
        let mut requests = Vec::new();
        for (path, item) in document["paths"].as_object().context("the document has no paths")? {
            for (method, operation) in item.as_object().context("a path has no operations")? {
                requests.push(Request::of(document, path, method, operation)?);
            }
        }
        requests.sort_by_key(|request| LAST.iter().position(|last| *last == request.operation));
        let quick_start = QUICK_START.iter().map(|(step, operation)| {
            let (method, path) = operation.split_once(' ').unwrap_or_default();
            let method = method.to_lowercase();
            let operation = &document["paths"][path][&method];
            Ok((*step, Request::of(document, path, &method, operation)?))
        });
        let quick_start = quick_start.collect::<Result<_>>()?;
        let mut groups: Vec<(&str, Vec<Request>)> = Vec::new();
        // Accounts are last, because logging out invalidates the tokens of the others.
        for tag in document["tags"].as_array().into_iter().flatten().rev() {
            let tag = string(&tag["name"]);
            let has_tag = |request: &mut Request| {
                let (method, path) = request.operation.split_once(' ').unwrap_or_default();
                document["paths"][path][method.to_lowercase()]["tags"][0] == tag
            };
            groups.push((tag, requests.extract_if(.., has_tag).collect()));
        }
        let info = &document["info"];
        let variables = [
            ("base_url", "http://localhost:8000"),
            ("email", string(&example["email"])),
            ("password", string(&example["password"])),
        ];
        Ok(Self {
            title: string(&info["title"]),
            description: string(&info["description"]),
            variables,
            quick_start,
            groups,
        })
    }
}

impl<'a> Request<'a> {
    fn of(document: &'a Value, path: &str, method: &str, operation: &'a Value) -> Result<Self> {
        let name = format!("{} {path}", method.to_uppercase());
        let url = if name == FETCH {
            "{{download_url}}".to_owned()
        } else {
            let path = PATH_PARAMETERS
                .iter()
                .fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
            format!("{{{{base_url}}}}{path}{}", query(operation))
        };
        let body = match json_media(&operation["requestBody"]) {
            Some(media) => Some(Body::Json(body_of(&media["example"]))),
            None => operation.get("requestBody").and_then(other_body),
        };
        let responses = operation["responses"]
            .as_object()
            .with_context(|| format!("{name} has no responses"))?;
        let successful = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let properties: Vec<&Value> = successful
            .filter_map(|(_, response)| {
                Some(&resolve(document, &json_media(response)?["schema"])["properties"])
            })
            .collect();
        let provides =
            |name: &&str| properties.iter().any(|properties| properties.get(name).is_some());
        Ok(Self {
            name: string(&operation["summary"]),
            description: string(&operation["description"]),
            method: method.to_uppercase(),
            url,
            headers: headers(operation),
            optional: optional_parameters(operation),
            needs_token: operation["security"].as_array().is_some_and(|any| !any.is_empty()),
            body,
            statuses: responses.keys().filter_map(|status| status.parse().ok()).collect(),
            provides: RESPONSE_VARIABLES.into_iter().filter(provides).collect(),
            operation: name,
        })
    }
}

/// Query with the required parameters.
fn query(operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let required = parameters
        .filter(|parameter| parameter["required"] == true && parameter["in"] == "query")
        .filter_map(|parameter| {
            QUERY_PARAMETERS.into_iter().find(|(name, _)| parameter["name"] == *name)
        });
    let pairs: Vec<String> = required.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn optional_parameters(operation: &Value) -> Vec<OptionalParameter<'_>> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let optional = parameters
        .filter(|parameter| parameter["required"] != true && value_of_header(parameter).is_none());
    optional
        .map(|parameter| OptionalParameter {
            place: string(&parameter["in"]),
            name: string(&parameter["name"]),
            default: unquoted(&parameter["schema"]["default"]),
            description: string(&parameter["description"]),
        })
        .collect()
}

/// Value of a parameter that is always sent, if it is one.
fn value_of_header(parameter: &Value) -> Option<(&'static str, &'static str)> {
    HEADERS.into_iter().find(|(name, _)| parameter["name"] == *name)
}

fn headers(operation: &Value) -> Vec<(&'static str, &'static str)> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    parameters.filter_map(value_of_header).collect()
}

/// Body that is not JSON; `None` if it may be left out.
fn other_body(body: &Value) -> Option<Body> {
    match (body["content"].get(BYTES), body["required"] == true) {
        (None, _) => Some(Body::Video),
        (Some(_), true) => Some(Body::Bytes),
        (Some(_), false) => None,
    }
}

/// JSON media type of a body, if it has one.
fn json_media(body: &Value) -> Option<&Value> {
    let (_, media) = body["content"]
        .as_object()?
        .iter()
        .find(|(media_type, _)| media_type.starts_with("application/json"))?;
    Some(media)
}

/// The schema, or the one that it refers to.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(schema)
}

/// Body from an example, with variables for the properties that have one.
fn body_of(example: &Value) -> Value {
    let mut body: Map<String, Value> = example.as_object().cloned().unwrap_or_default();
    for (name, value) in BODY_PROPERTIES {
        if let Some(property) = body.get_mut(name) {
            *property = value.into();
        }
    }
    Value::Object(body)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn unquoted(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string().trim_matches('"').to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_variable_has_a_value() {
        let document: Value = serde_json::from_str(&api::document()).expect("the document is JSON");
        let collection = Collection::of(&document).expect("the document is complete");
        let requests: Vec<&Request> =
            collection.groups.iter().flat_map(|(_, requests)| requests).collect();
        let paths = document["paths"].as_object().expect("the document has paths");
        let operations: usize =
            paths.values().filter_map(|item| Some(item.as_object()?.len())).sum();
        assert_eq!(requests.len(), operations, "every operation is in a group");
        let steps = || collection.quick_start.iter().map(|(_, request)| request);
        let constants = collection.variables.iter().map(|(name, _)| *name);
        let provided = steps().flat_map(|request| request.provides.iter().copied());
        let known: BTreeSet<&str> = constants.chain(provided).collect();
        for Request { operation, url, body, .. } in requests.into_iter().chain(steps()) {
            let without_variables = url.replace("{{", "").replace("}}", "");
            assert!(!without_variables.contains(['{', '}']), "{operation}: {url}");
            let body =
                if let Some(Body::Json(body)) = body { body.to_string() } else { String::new() };
            assert!(body != "{}" && !body.contains("null"), "{operation}: {body}");
            for used in format!("{url}{body}").split("{{").skip(1) {
                let name = used.split("}}").next().unwrap_or_default();
                assert!(known.contains(name), "{operation}: nothing sets {name}");
            }
        }
    }
}
