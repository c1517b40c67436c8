//! The OpenAPI document, and validation of responses against it.

use std::collections::BTreeSet;

use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::client::{Client, fetch_json};

/// OpenAPI document as the service returns it.
pub struct Document(pub Value);

/// Operation of the document, such as `GET /videos/{id}`.
pub struct Operation<'a> {
    /// Method and path.
    pub name: String,
    /// Path.
    pub path: &'a str,
    /// Operation object.
    pub definition: &'a Value,
}

impl Operation<'_> {
    /// Documented statuses.
    pub fn statuses(&self) -> BTreeSet<u16> {
        let responses =
            self.definition["responses"].as_object().expect("an operation has responses");
        responses.keys().map(|status| status.parse().expect("a status is a number")).collect()
    }
}

impl Document {
    /// Get the document from a service.
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
                .expect("a path has operations")
                .keys()
                .map(|method| (path.clone(), method.clone()))
                .collect()
        };
        let names = paths.iter().flat_map(of);
        let operation = |(path, method): (String, String)| {
            let (path, item) = paths.get_key_value(&path).expect("the path exists");
            Operation {
                name: format!("{} {path}", method.to_uppercase()),
                path,
                definition: &item[&method],
            }
        };
        names.map(operation).collect()
    }

    /// Operation of a request: of several that match, the one with the fewest parameters.
    pub fn operation(&self, method: &Method, path: &str) -> Operation<'_> {
        let matches = |operation: &Operation| {
            let (pattern, parts): (Vec<&str>, Vec<&str>) =
                (operation.path.split('/').collect(), path.split('/').collect());
            operation.name.starts_with(&format!("{method} "))
                && pattern.len() == parts.len()
                && pattern
                    .iter()
                    .zip(parts)
                    .all(|(pattern, part)| pattern.starts_with('{') || *pattern == part)
        };
        let matching = self.operations().into_iter().filter(matches);
        let fewest = matching.min_by_key(|operation| operation.path.matches('{').count());
        fewest.unwrap_or_else(|| panic!("the document has no {method} {path}"))
    }

    /// Validate a response of an operation.
    pub fn validate(
        &self,
        operation: &Operation,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), String> {
        let response = &operation.definition["responses"][status.as_str()];
        if response.is_null() {
            return Err("the status is not documented".to_owned());
        }
        self.validate_headers(response, status, headers)?;
        // Responses to HEAD have no body (RFC 9110, 9.3.2).
        let content = response["content"].as_object();
        let Some(content) = content.filter(|_| !operation.name.starts_with("HEAD ")) else {
            return if body.is_empty() {
                Ok(())
            } else {
                Err("the body is not documented".to_owned())
            };
        };
        let media_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .ok_or("the content type is missing")?;
        let media = content
            .get(media_type)
            .ok_or_else(|| format!("the content type {media_type} is not documented"))?;
        let Some(value) = json_of(media_type, status, body)? else { return Ok(()) };
        let errors: Vec<String> = self
            .validator(&media["schema"])
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
    }

    fn validate_headers(
        &self,
        response: &Value,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<(), String> {
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let Some(value) = headers.get(name.as_str()) else {
                if header["required"] == json!(true) {
                    return Err(format!("the header {name} is missing"));
                }
                continue;
            };
            let value = value.to_str().map_err(|_| format!("the header {name} is not text"))?;
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
        // The HTTP server itself rejects requests with 431.
        let is_from_server = status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        if !is_from_server && !headers.contains_key("x-request-id") {
            return Err("the header X-Request-Id is missing".to_owned());
        }
        Ok(())
    }

    /// Validator of a schema of the document.
    fn validator(&self, schema: &Value) -> Validator {
        let mut schemas = json!({ "allOf": [schema], "components": self.0["components"] });
        to_json_schema(&mut schemas);
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schemas)
            .expect("the schema is valid")
    }
}

/// Convert schemas of OpenAPI 3.0 into JSON Schema: `nullable` adds the type `null`. Also reject
/// properties that are not documented.
fn to_json_schema(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(to_json_schema);
            if object.remove("nullable") == Some(json!(true)) {
                let kind = object.get("type").cloned();
                // Without a type it has no effect (OpenAPI 3.0.3, 4.7.24.1).
                object.insert(
                    "type".to_owned(),
                    json!([kind.expect("a nullable schema has a type"), "null"]),
                );
            }
            if object.get("properties").is_some_and(Value::is_object)
                && object.get("type") == Some(&json!("object"))
            {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(to_json_schema),
        _ => {}
    }
}

/// JSON value of a body; `None` for a valid binary one.
fn json_of(media_type: &str, status: StatusCode, body: &[u8]) -> Result<Option<Value>, String> {
    let signature: &[u8] = match media_type {
        "application/zip" if status == StatusCode::PARTIAL_CONTENT => b"",
        "application/zip" => b"PK",
        "image/png" => b"\x89PNG",
        "image/jpeg" => b"\xFF\xD8\xFF",
        "text/event-stream" => return events(&String::from_utf8_lossy(body)).map(Some),
        _ => {
            return serde_json::from_slice(body)
                .map(Some)
                .map_err(|error| format!("the body is not JSON: {error}"));
        }
    };
    if body.starts_with(signature) {
        Ok(None)
    } else {
        Err(format!("the body is not of type {media_type}"))
    }
}

/// Data of all events of a stream (HTML, 9.2.6).
fn events(stream: &str) -> Result<Value, String> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data:"));
    let events: Result<Vec<Value>, _> = data.map(serde_json::from_str).collect();
    let events = events.map_err(|error| format!("an event is not JSON: {error}"))?;
    if events.is_empty() { Err("the stream has no events".to_owned()) } else { Ok(events.into()) }
}

#[test]
fn finds_responses_that_do_not_match() {
    let document = Document(json!({
        "paths": { "/a/{id}": { "get": { "responses": { "200": {
            "headers": { "Link": { "required": true, "schema": { "type": "string" } } },
            "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } },
        } } } } },
        "components": { "schemas": { "A": {
            "type": "object", "required": ["id"],
            "properties": {
                "id": { "type": "string", "format": "uuid" },
                "count": { "type": "integer", "nullable": true },
            },
        } } },
    }));
    let operation = document.operation(&Method::GET, "/a/1");
    let good = json!({ "id": "0190a000-0000-7000-8000-0000000000aa", "count": null });
    let check = |status: u16, headers: &[(&'static str, &'static str)], body: &Value| {
        let named = headers.iter().map(|(name, value)| {
            (name.parse().expect("a header name"), value.parse().expect("a value"))
        });
        let status = StatusCode::from_u16(status).expect("a status");
        document.validate(&operation, status, &named.collect(), body.to_string().as_bytes()).is_ok()
    };
    let headers = [("content-type", "application/json"), ("link", "<>"), ("x-request-id", "1")];
    assert!(check(200, &headers, &good));
    assert!(!check(201, &headers, &good), "another status");
    assert!(!check(200, &headers[1..], &good), "no content type");
    assert!(!check(200, &headers[..2], &good), "no X-Request-Id");
    assert!(!check(200, &[headers[0], headers[2]], &good), "a header is missing");
    for invalid in [
        json!({}),
        json!({ "id": "not-a-uuid" }),
        json!({ "id": null }),
        json!({ "id": good["id"], "count": "1" }),
        json!({ "id": good["id"], "secret": 1 }),
    ] {
        assert!(!check(200, &headers, &invalid), "{invalid}");
    }
}
