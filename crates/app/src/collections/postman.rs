//! A Postman Collection, version 2.1.0
//! (<https://schema.postman.com/collection/json/v2.1.0/docs/index.html>), which Postman opens and
//! newman runs.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{ANSWERED, Body, Collection, FETCH, Request, SAMPLE};

const SCHEMA: &str = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json";
const WALK: &str = "From an account to an archive, as the README shows it. Send these one after another, or run the folder: what an answer \
    gives goes into the next request by itself. The video that is uploaded is the repository's fixtures/sample.mp4, if Postman's working \
    directory is the repository, or newman's `--working-dir`; choose any other in the request's form.";

/// The document as a collection.
pub fn postman(document: &str) -> Result<String> {
    let value = serde_json::from_str(document).context("the document is no JSON")?;
    let Collection { title, description, variables, walk, groups } =
        Collection::of(document, &value)?;
    let unset = ANSWERED.map(|name| (name, ""));
    let variables = variables
        .into_iter()
        .chain(unset)
        .map(|(key, value)| json!({ "key": key, "value": value, "type": "string" }));
    let steps = walk.iter().enumerate().map(|(index, (step, request))| {
        let name = format!("{} {}", index + 1, request.name);
        item(&name, request, &steps_test(step, request))
    });
    let mut folders =
        vec![json!({ "name": "Walk", "description": WALK, "item": steps.collect::<Vec<_>>() })];
    folders.extend(groups.iter().map(|(name, requests)| {
        let items = requests.iter().map(|request| item(request.name, request, &test(request)));
        json!({ "name": name, "item": items.collect::<Vec<_>>() })
    }));
    let collection = json!({
        "info": { "name": title, "description": description, "schema": SCHEMA },
        "auth": { "type": "bearer", "bearer": [{ "key": "token", "value": "{{access_token}}", "type": "string" }] },
        "variable": variables.collect::<Vec<_>>(),
        "item": folders,
    });
    serde_json::to_string_pretty(&collection).context("the collection is no JSON")
}

fn item(name: &str, request: &Request, test: &[String]) -> Value {
    let mut sent = json!({
        "method": request.method,
        "description": request.description,
        "url": url(request),
        "header": request.optional.iter().filter(|optional| optional.place == "header").map(|optional| json!({
            "key": optional.name, "value": optional.default, "description": optional.description, "disabled": true,
        })).collect::<Vec<_>>(),
    });
    if !request.logged_in {
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
        Some(Body::Video) => {
            sent["body"] = json!({ "mode": "formdata", "formdata": [{ "key": "file", "type": "file", "src": SAMPLE }] });
        }
    }
    json!({
        "name": name,
        "request": sent,
        "event": [{ "listen": "test", "script": { "type": "text/javascript", "exec": test } }],
    })
}

fn url(request: &Request) -> Value {
    if !request.url.contains('/') {
        return request.url.as_str().into();
    }
    let query = request.optional.iter().filter(|optional| optional.place == "query").map(|optional| {
        json!({ "key": optional.name, "value": optional.default, "description": optional.description, "disabled": true })
    });
    let mut parts = request.url.split('/');
    let host = parts.next();
    json!({ "raw": request.url, "host": [host], "path": parts.collect::<Vec<_>>(), "query": query.collect::<Vec<_>>() })
}

/// Lines that hold an answer against the document, and keep of it what later requests are made of.
fn test(request: &Request) -> Vec<String> {
    let statuses = &request.statuses;
    let mut lines = vec![format!(
        "pm.test(\"answers as documented\", () => pm.expect({statuses:?}).to.include(pm.response.code));"
    )];
    lines.extend(kept(request));
    lines
}

fn kept(request: &Request) -> impl Iterator<Item = String> {
    request
        .answered
        .iter()
        .map(|name| format!("if (pm.response.code < 300) pm.collectionVariables.set(\"{name}\", pm.response.json().{name});"))
}

/// The same for a step of the walk, which has to succeed.
fn steps_test(step: &str, request: &Request) -> Vec<String> {
    // Whoever walks again has the account already.
    let good = |status: &&u16| **status < 300 || step == "register" && **status == 409;
    let statuses: Vec<_> = request.statuses.iter().filter(good).collect();
    let mut lines = vec![format!(
        "pm.test(\"succeeds\", () => pm.expect({statuses:?}).to.include(pm.response.code));"
    )];
    lines.extend(kept(request));
    if step == "status" {
        lines.extend(
            [
                "// In a run this asks again until the video is over; by hand, send it again.",
                "const { status } = pm.response.json();",
                "if ([\"UPLOADED\", \"QUEUED\", \"PROCESSING\"].includes(status)) {",
                "    pm.execution.setNextRequest(pm.info.requestId);",
                "    setTimeout(() => {}, 500);",
                "} else {",
                "    pm.test(\"the video is done\", () => pm.expect(status).to.equal(\"DONE\"));",
                "}",
            ]
            .map(str::to_owned),
        );
    }
    if request.operation == FETCH {
        lines.push("pm.test(\"it is a ZIP\", () => pm.expect(pm.response.text().slice(0, 2)).to.equal(\"PK\"));".to_owned());
    }
    lines
}
