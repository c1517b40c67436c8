//! Postman Collection, version 2.1.0
//! (<https://schema.postman.com/collection/json/v2.1.0/docs/index.html>), for Postman and newman.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::collection::{BYTES, Body, Collection, FETCH, RESPONSE_VARIABLES, Request, SAMPLE};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
const QUICK_START: &str = "\
From an account to an archive. Send these requests one after another, or run the folder: responses \
provide the values of later requests. The uploaded video is fixtures/sample.mp4 of the repository, \
if Postman's working directory (newman: `--working-dir`) is the repository; choose any other in \
the form of the request.";

/// Convert an OpenAPI document into a collection.
pub fn postman(document: &str) -> Result<String> {
    let document = serde_json::from_str(document).context("the document is not JSON")?;
    let Collection { title, description, variables, quick_start, groups } =
        Collection::of(&document)?;
    let unset = RESPONSE_VARIABLES.map(|name| (name, ""));
    let variables = variables
        .into_iter()
        .chain(unset)
        .map(|(key, value)| json!({ "key": key, "value": value, "type": "string" }));
    let steps = quick_start.iter().enumerate().map(|(index, (step, request))| {
        let name = format!("{} {}", index + 1, request.name);
        item(&name, request, &step_test(step, request))
    });
    let mut folders = vec![json!({
        "name": "Quick start",
        "description": QUICK_START,
        "item": steps.collect::<Vec<_>>(),
    })];
    folders.extend(groups.iter().map(|(name, requests)| {
        let items = requests.iter().map(|request| item(request.name, request, &test(request)));
        json!({ "name": name, "item": items.collect::<Vec<_>>() })
    }));
    let token = json!({ "key": "token", "value": "{{access_token}}", "type": "string" });
    let collection = json!({
        "info": { "name": title, "description": description, "schema": SCHEMA },
        "auth": { "type": "bearer", "bearer": [token] },
        "variable": variables.collect::<Vec<_>>(),
        "item": folders,
    });
    serde_json::to_string_pretty(&collection).context("the collection is not JSON")
}

/// Request of a collection with the lines of its test.
fn item(name: &str, request: &Request, test: &[String]) -> Value {
    let mut sent = json!({
        "method": request.method,
        "description": request.description,
        "url": url(request),
        "header": headers(request),
    });
    if !request.needs_token {
        sent["auth"] = json!({ "type": "noauth" });
    }
    match &request.body {
        None => {}
        Some(Body::Json(body)) => {
            let raw = format!("{body:#}");
            sent["body"] =
                json!({ "mode": "raw", "raw": raw, "options": { "raw": { "language": "json" } } });
            if let Some(headers) = sent["header"].as_array_mut() {
                headers.push(json!({ "key": "Content-Type", "value": "application/json" }));
            }
        }
        Some(Body::Bytes) => {
            sent["body"] = json!({ "mode": "raw", "raw": "" });
            if let Some(headers) = sent["header"].as_array_mut() {
                headers.push(json!({ "key": "Content-Type", "value": BYTES }));
            }
        }
        Some(Body::Video) => {
            let file = json!({ "key": "file", "type": "file", "src": SAMPLE });
            sent["body"] = json!({ "mode": "formdata", "formdata": [file] });
        }
    }
    json!({
        "name": name,
        "request": sent,
        "event": [{ "listen": "test", "script": { "type": "text/javascript", "exec": test } }],
    })
}

/// Headers of a request, also optional ones.
fn headers(request: &Request) -> Vec<Value> {
    let sent = request.headers.iter().map(|(key, value)| json!({ "key": key, "value": value }));
    sent.chain(optional_parameters(request, "header")).collect()
}

/// URL of a request, with its required and optional query parameters.
fn url(request: &Request) -> Value {
    if !request.url.contains('/') {
        return request.url.as_str().into();
    }
    let (address, query) = request.url.split_once('?').unwrap_or((request.url.as_str(), ""));
    let mut parts = address.split('/');
    let host = parts.next();
    let required = query.split('&').filter_map(|pair| pair.split_once('='));
    let required = required.map(|(key, value)| json!({ "key": key, "value": value }));
    let parameters = required.chain(optional_parameters(request, "query"));
    json!({
        "raw": request.url,
        "host": [host],
        "path": parts.collect::<Vec<_>>(),
        "query": parameters.collect::<Vec<_>>(),
    })
}

/// Optional parameters of a request, which are sent only when enabled.
fn optional_parameters(request: &Request, place: &str) -> Vec<Value> {
    let parameters = request.optional.iter().filter(|parameter| parameter.place == place);
    let parameters = parameters.map(|parameter| {
        json!({
            "key": parameter.name,
            "value": parameter.default,
            "description": parameter.description,
            "disabled": true,
        })
    });
    parameters.collect()
}

/// Test of a response: its status is documented. Also sets the variables that it provides.
fn test(request: &Request) -> Vec<String> {
    let mut lines = vec![status_test("answers as documented", &request.statuses)];
    lines.extend(set_variables(request));
    lines
}

fn status_test(name: &str, statuses: &[u16]) -> String {
    format!("pm.test(\"{name}\", () => pm.expect({statuses:?}).to.include(pm.response.code));")
}

fn set_variables(request: &Request) -> impl Iterator<Item = String> {
    request.provides.iter().map(|name| {
        format!(
            "if (pm.response.code < 300) pm.collectionVariables.set(\"{name}\", \
             pm.response.json().{name});"
        )
    })
}

/// Test of a step of the quick start: it succeeds.
fn step_test(step: &str, request: &Request) -> Vec<String> {
    // When the quick start is repeated, the account exists.
    let is_success = |status: &u16| *status < 300 || step == "register" && *status == 409;
    let statuses: Vec<u16> = request.statuses.iter().copied().filter(is_success).collect();
    let mut lines = vec![status_test("succeeds", &statuses)];
    lines.extend(set_variables(request));
    if step == "status" {
        lines.extend(
            [
                "// A run repeats this request until the job is finished.",
                "const { status } = pm.response.json();",
                "if ([\"UPLOADED\", \"QUEUED\", \"PROCESSING\"].includes(status)) {",
                "    pm.execution.setNextRequest(pm.info.requestId);",
                "    setTimeout(() => {}, 500);",
                "} else {",
                "    pm.test(\"the job is done\", () => pm.expect(status).to.equal(\"DONE\"));",
                "}",
            ]
            .map(str::to_owned),
        );
    }
    if request.operation == FETCH {
        let is_zip = "pm.expect(pm.response.text().slice(0, 2)).to.equal(\"PK\")";
        lines.push(format!("pm.test(\"the archive is a ZIP\", () => {is_zip});"));
    }
    lines
}
