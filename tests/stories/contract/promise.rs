//! The OpenAPI document, and whether an answer keeps it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::harness::client::{Client, fetch_json};

/// The document, as it is served.
pub struct Document(pub Value);

/// An operation of the document, such as `GET /videos/{id}`.
pub struct Operation<'a> {
    /// Method and path.
    pub name: String,
    /// Its path.
    pub path: &'a str,
    /// What the document says of it.
    pub says: &'a Value,
}

impl Operation<'_> {
    /// The statuses that it may answer.
    pub fn statuses(&self) -> BTreeSet<u16> {
        let responses = self.says["responses"].as_object().expect("an operation has responses");
        responses.keys().map(|status| status.parse().expect("a status is a number")).collect()
    }
}

impl Document {
    /// Get it from the service.
    pub async fn of(client: &Client) -> Self {
        let (status, document) = fetch_json(client.request(Method::GET, "/openapi.json")).await;
        assert_eq!(status, StatusCode::OK);
        Self(document)
    }

    /// All operations.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.0["paths"].as_object().expect("there are paths");
        let of = |(path, item): (&'_ String, &'_ Value)| -> Vec<_> {
            item.as_object()
                .expect("operations by their methods")
                .keys()
                .map(|method| (path.clone(), method.clone()))
                .collect()
        };
        let names = paths.iter().flat_map(of);
        let operation = |(path, method): (String, String)| {
            let (path, item) = paths.get_key_value(&path).expect("it is there");
            Operation {
                name: format!("{} {path}", method.to_uppercase()),
                path,
                says: &item[&method],
            }
        };
        names.map(operation).collect()
    }

    /// The operation that a request is for: of several that fit, the one with the fewest
    /// parameters.
    pub fn operation(&self, method: &Method, path: &str) -> Operation<'_> {
        let fits = |operation: &Operation| {
            let (wanted, parts): (Vec<&str>, Vec<&str>) =
                (operation.path.split('/').collect(), path.split('/').collect());
            operation.name.starts_with(&format!("{method} "))
                && wanted.len() == parts.len()
                && wanted
                    .iter()
                    .zip(parts)
                    .all(|(wanted, part)| wanted.starts_with('{') || *wanted == part)
        };
        let fitting = self.operations().into_iter().filter(fits);
        let fewest = fitting.min_by_key(|operation| operation.path.matches('{').count());
        fewest.unwrap_or_else(|| panic!("the document has no {method} {path}"))
    }

    /// Hold an answer of an operation against the document.
    pub fn keeps(
        &self,
        operation: &Operation,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let response = &operation.says["responses"][status.as_str()];
        if response.is_null() {
            return Err("the status is not documented".to_owned());
        }
        let none = Map::new();
        for (name, header) in response["headers"].as_object().unwrap_or(&none) {
            let Some(value) = headers.get(name.as_str()) else {
                if header["required"] == json!(true) {
                    return Err(format!("the header {name} is missing"));
                }
                continue;
            };
            let value = value.to_str().map_err(|_| format!("the header {name} is no text"))?;
            let number = value.parse::<u64>().map(Value::from);
            let value = if header["schema"]["type"] == "integer" {
                number.unwrap_or_default()
            } else {
                json!(value)
            };
            self.validator(&header["schema"])
                .validate(&value)
                .map_err(|error| format!("the header {name}: {error}"))?;
        }
        if !headers.contains_key("x-request-id") {
            return Err("the request has no id".to_owned());
        }
        let Some(content) = response["content"].as_object() else {
            return if body.is_empty() {
                Ok(())
            } else {
                Err("there is a body, and none is documented".to_owned())
            };
        };
        let told = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .ok_or("there is no content type")?;
        let media = content
            .get(told)
            .ok_or_else(|| format!("the content type {told} is not documented"))?;
        let value = match told {
            "application/zip" => {
                return if body.starts_with(b"PK") || status == 206 {
                    Ok(())
                } else {
                    Err("no archive".to_owned())
                };
            }
            "image/png" => {
                return if body.starts_with(b"\x89PNG") {
                    Ok(())
                } else {
                    Err("no PNG".to_owned())
                };
            }
            "image/jpeg" => {
                return if body.starts_with(b"\xFF\xD8\xFF") {
                    Ok(())
                } else {
                    Err("no JPEG".to_owned())
                };
            }
            "text/event-stream" => events(&String::from_utf8_lossy(body))?,
            _ => serde_json::from_slice(body)
                .map_err(|error| format!("the body is no JSON: {error}"))?,
        };
        let errors: Vec<String> = self
            .validator(&media["schema"])
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    /// What checks values against a schema of the document.
    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = json!({ "allOf": [schema], "components": self.0["components"] });
        modern(&mut whole);
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&whole)
            .expect("the schema can be used")
    }
}

/// Turn schemas of OpenAPI 3.0 into JSON Schema: what may be null has a type more. And, more than
/// the document asks for: objects have no property that is not in it.
fn modern(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(modern);
            if object.remove("nullable") == Some(json!(true)) {
                let kind = object.get("type").cloned();
                // OpenAPI 3.0.3, 4.7.24.1: it has no effect without a type.
                object.insert(
                    "type".to_owned(),
                    json!([kind.expect("what may be null has a type"), "null"]),
                );
            }
            if object.get("properties").is_some_and(Value::is_object)
                && object.get("type") == Some(&json!("object"))
            {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(modern),
        _ => {}
    }
}

/// The data of all events of a stream (HTML, 9.2.6).
fn events(stream: &str) -> Result<Value, String> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let events: Result<Vec<Value>, _> = data.map(serde_json::from_str).collect();
    let events = events.map_err(|error| format!("an event is no JSON: {error}"))?;
    if events.is_empty() { Err("there are no events".to_owned()) } else { Ok(events.into()) }
}

#[test]
fn answers_that_break_the_document_are_found() {
    let document = Document(json!({
        "paths": { "/a/{id}": { "get": { "responses": { "200": {
            "headers": { "LINK": { "required": true, "schema": { "type": "string" } } },
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } },
        } } } } },
        "components": { "schemas": { "A": {
            "type": "object", "required": ["id"],
            "properties": { "id": { "type": "string", "format": "uuid" }, "count": { "type": "integer", "nullable": true } },
        } } },
    }));
    let operation = document.operation(&Method::GET, "/a/1");
    let good = json!({ "id": "0190a000-0000-7000-8000-0000000000aa", "count": null });
    let check = |status: u16, headers: &[(&'static str, &'static str)], body: &Value| {
        let named = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let status = StatusCode::from_u16(status).expect("a status");
        document.keeps(&operation, status, &named.collect(), body.to_string().as_bytes()).is_ok()
    };
    let headers = [("content-type", "application/json"), ("link", "<>"), ("x-request-id", "1")];
    assert!(check(200, &headers, &good));
    assert!(!check(201, &headers, &good), "another status");
    assert!(!check(200, &headers[1..], &good), "no content type");
    assert!(!check(200, &headers[..2], &good), "no id of the request");
    assert!(!check(200, &[headers[0], headers[2]], &good), "a header is missing");
    for wrong in [
        json!({}),
        json!({ "id": "no uuid" }),
        json!({ "id": null }),
        json!({ "id": good["id"], "count": "1" }),
        json!({ "id": good["id"], "secret": 1 }),
    ] {
        assert!(!check(200, &headers, &wrong), "{wrong}");
    }
}
