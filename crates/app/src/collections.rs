//! The OpenAPI document as collections of requests that API clients open: every operation with an
//! example, and before them the walk of the README, in which each answer feeds the next request.

mod http_file;
mod postman;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

pub use http_file::http_file;
pub use postman::postman;

/// The walk: the names of its steps, and which operations they are.
const WALK: [(&str, &str); 6] = [
    ("register", "POST /auth/register"),
    ("login", "POST /auth/login"),
    ("upload", "POST /videos/upload"),
    ("status", "GET /jobs/{id}/status"),
    ("link", "GET /jobs/{id}/download"),
    ("fetch", FETCH),
];
/// The operation whose whole address another's answer gives, signature and all.
const FETCH: &str = "GET /files/videos/{user}/{job}/{name}";
/// They end what others need, so that they come last among their like.
const ENDING: [&str; 3] = ["DELETE /videos/{id}", "POST /auth/password", "POST /auth/logout"];
/// What stands in place of a path's parameter.
const PARAMETERS: [(&str, &str); 2] = [("{id}", "{{job_id}}"), ("{number}", "1")];
/// What stands in place of a body's property.
const PROPERTIES: [(&str, &str); 5] = [
    ("email", "{{email}}"),
    ("password", "{{password}}"),
    ("current_password", "{{password}}"),
    ("new_password", "{{password}}"),
    ("refresh_token", "{{refresh_token}}"),
];
/// Properties of answers that later requests are made of, as variables of the same names.
const ANSWERED: [&str; 4] = ["access_token", "refresh_token", "job_id", "download_url"];
/// The clip that is uploaded, from the root of the repository.
const SAMPLE: &str = "fixtures/sample.mp4";

/// A request with variables, such as `{{job_id}}`.
struct Request<'a> {
    /// Method and path of its operation.
    operation: String,
    /// What it is for, in some words.
    name: &'a str,
    /// The same in sentences.
    description: &'a str,
    method: String,
    /// Where it goes, without parameters that are not required.
    url: String,
    /// Parameters that are not required: where they go, names, defaults and descriptions.
    optional: Vec<Optional<'a>>,
    /// Whether it needs an access token.
    logged_in: bool,
    body: Option<Body>,
    /// The statuses that it may be answered with.
    statuses: Vec<u16>,
    /// What of a good answer becomes a variable.
    answered: Vec<&'static str>,
}

struct Optional<'a> {
    place: &'a str,
    name: &'a str,
    default: String,
    description: &'a str,
}

enum Body {
    Json(Value),
    /// A form with one video.
    Video,
}

/// The document, as requests.
struct Collection<'a> {
    title: &'a str,
    description: &'a str,
    /// Names and values that requests are made of, and no answer gives.
    variables: [(&'static str, &'a str); 3],
    /// The steps of the walk, by their names.
    walk: Vec<(&'static str, Request<'a>)>,
    /// All operations, in groups with a name.
    groups: Vec<(&'a str, Vec<Request<'a>>)>,
}

impl<'a> Collection<'a> {
    /// Read the document `text`, of which `document` is the value.
    fn of(text: &str, document: &'a Value) -> Result<Self> {
        let example = &document["components"]["schemas"]["Registration"]["example"];
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().context("the document has no paths")? {
            for (method, says) in item.as_object().context("a path has no operations")? {
                operations.push(Request::of(document, path, method, says)?);
            }
        }
        // A map does not keep the order of the document, which is the one in which people use the
        // operations.
        operations.sort_by_key(|request| {
            let (method, path) = request.operation.split_once(' ').unwrap_or_default();
            let at = text.find(&format!("\"{path}\"")).unwrap_or(text.len());
            (ENDING.iter().position(|ending| *ending == request.operation), at, method != "GET")
        });
        let walk = WALK.iter().map(|(step, operation)| {
            let (method, path) = operation.split_once(' ').unwrap_or_default();
            let method = method.to_lowercase();
            Ok((*step, Request::of(document, path, &method, &document["paths"][path][&method])?))
        });
        let walk = walk.collect::<Result<_>>()?;
        let mut groups: Vec<(&str, Vec<Request>)> = Vec::new();
        // Accounts come last, as logging out ends what the others need.
        for tag in document["tags"].as_array().into_iter().flatten().rev() {
            let tag = string(&tag["name"]);
            let of_tag = |request: &mut Request| {
                let (method, path) = request.operation.split_once(' ').unwrap_or_default();
                document["paths"][path][method.to_lowercase()]["tags"][0] == tag
            };
            groups.push((tag, operations.extract_if(.., of_tag).collect()));
        }
        let (title, description) =
            (string(&document["info"]["title"]), string(&document["info"]["description"]));
        let variables = [
            ("base_url", "http://localhost:8000"),
            ("email", string(&example["email"])),
            ("password", string(&example["password"])),
        ];
        Ok(Self { title, description, variables, walk, groups })
    }
}

impl<'a> Request<'a> {
    fn of(document: &'a Value, path: &str, method: &str, says: &'a Value) -> Result<Self> {
        let operation = format!("{} {path}", method.to_uppercase());
        let parameters = || says["parameters"].as_array().into_iter().flatten();
        let url = if operation == FETCH {
            "{{download_url}}".to_owned()
        } else {
            let path = PARAMETERS
                .iter()
                .fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
            format!("{{{{base_url}}}}{path}")
        };
        let optional =
            parameters().filter(|parameter| parameter["required"] != true).map(|parameter| {
                Optional {
                    place: string(&parameter["in"]),
                    name: string(&parameter["name"]),
                    default: text_of(&parameter["schema"]["default"]),
                    description: string(&parameter["description"]),
                }
            });
        let body = match json_schema(document, &says["requestBody"]) {
            Some(schema) => Some(Body::Json(example(schema))),
            None => says.get("requestBody").map(|_| Body::Video),
        };
        let responses = says["responses"]
            .as_object()
            .with_context(|| format!("{operation} has no responses"))?;
        let good = responses.iter().filter(|(status, _)| status.starts_with('2'));
        let properties: Vec<&Value> = good
            .filter_map(|(_, response)| Some(&json_schema(document, response)?["properties"]))
            .collect();
        let answered =
            |name: &&str| properties.iter().any(|properties| properties.get(name).is_some());
        Ok(Self {
            name: string(&says["summary"]),
            description: string(&says["description"]),
            method: method.to_uppercase(),
            url,
            optional: optional.collect(),
            logged_in: !says["security"].is_null(),
            body,
            statuses: responses.keys().filter_map(|status| status.parse().ok()).collect(),
            answered: ANSWERED.into_iter().filter(answered).collect(),
            operation,
        })
    }
}

/// The schema of a body in JSON, if it is one.
fn json_schema<'a>(document: &'a Value, body: &'a Value) -> Option<&'a Value> {
    let (_, media) = body["content"]
        .as_object()?
        .iter()
        .find(|(kind, _)| kind.starts_with("application/json"))?;
    let pointer =
        media["schema"]["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(media.get("schema"), |pointer| document.pointer(pointer))
}

/// A body of a schema: its example, else what it requires, with variables for what has some.
fn example(schema: &Value) -> Value {
    let mut body = schema["example"].as_object().cloned().unwrap_or_else(|| {
        let required = schema["required"].as_array().into_iter().flatten();
        required.map(|name| (string(name).to_owned(), Value::Null)).collect::<Map<_, _>>()
    });
    for (name, value) in PROPERTIES {
        if let Some(property) = body.get_mut(name) {
            *property = value.into();
        }
    }
    Value::Object(body)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn text_of(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string().trim_matches('"').to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in() {
        let text = api::document();
        let document: Value = serde_json::from_str(&text).expect("it is JSON");
        let collection = Collection::of(&text, &document).expect("it is complete");
        let requests: Vec<&Request> =
            collection.groups.iter().flat_map(|(_, requests)| requests).collect();
        let paths = document["paths"].as_object().expect("there are paths");
        let operations: usize =
            paths.values().filter_map(|item| Some(item.as_object()?.len())).sum();
        assert_eq!(requests.len(), operations, "every operation is in a group");
        let steps = || collection.walk.iter().map(|(_, request)| request);
        let set = collection.variables.iter().map(|(name, _)| *name);
        let known: BTreeSet<&str> =
            set.chain(steps().flat_map(|request| request.answered.iter().copied())).collect();
        for Request { operation, url, body, .. } in requests.into_iter().chain(steps()) {
            assert!(
                !url.replace("{{", "").replace("}}", "").contains(['{', '}']),
                "{operation}: {url}"
            );
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
