//! The OpenAPI document is complete.

use serde_json::{Value, json};

use super::specification::Document;
use crate::harness::programs::{fiapx, output};
use crate::harness::service::Service;

/// Operations that need no access token.
const PUBLIC: [&str; 15] = [
    "GET /files/selection",
    "GET /files/shared/{share_id}",
    "GET /files/videos/{user}/{job}/{name}",
    "GET /health",
    "GET /ready",
    "GET /videos/upload",
    "OPTIONS /uploads",
    "POST /auth/address/confirm",
    "POST /auth/confirm",
    "POST /auth/login",
    "POST /auth/logout",
    "POST /auth/password/forgot",
    "POST /auth/password/reset",
    "POST /auth/refresh",
    "POST /auth/register",
];

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// Append a finding for each object property in a schema that has no description.
fn find_undescribed_properties(at: &str, schema: &Value, findings: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (name, property) in
                object.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                if !is_text(&property["description"]) && !is_text(&property["items"]["description"])
                {
                    findings.push(format!("{at}.{name} has no description"));
                }
            }
            for (name, value) in object.iter().filter(|(name, _)| !name.starts_with("example")) {
                find_undescribed_properties(&format!("{at}/{name}"), value, findings);
            }
        }
        Value::Array(items) => {
            for item in items {
                find_undescribed_properties(at, item, findings);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_described() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut findings = Vec::new();
    find_undescribed_properties("", &document.0, &mut findings);
    for operation in document.operations() {
        let (name, definition) = (&operation.name, operation.definition);
        for field in ["operationId", "summary", "description"] {
            if !is_text(&definition[field]) {
                findings.push(format!("{name} has no {field}"));
            }
        }
        for parameter in definition["parameters"].as_array().into_iter().flatten() {
            if !is_text(&parameter["description"]) {
                findings.push(format!("{name}: {} has no description", parameter["name"]));
            }
        }
        for (status, response) in definition["responses"].as_object().into_iter().flatten() {
            if !is_text(&response["description"]) {
                findings.push(format!("{name}: {status} has no description"));
            }
        }
    }
    assert_eq!(findings, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_declares_its_security() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut public = Vec::new();
    for operation in document.operations() {
        let (name, security) = (&operation.name, &operation.definition["security"]);
        let is_public = *security == json!([]);
        if is_public {
            public.push(name.clone());
        } else if name.starts_with("GET /shared") {
            assert_eq!(*security, json!([{ "shareToken": [] }]), "{name}");
        } else {
            // The story `keys` checks the scopes of keys.
            let accepted = security.as_array().expect("a list");
            assert_eq!(accepted[0], json!({ "bearerAuth": [] }), "{name}");
            assert_eq!(accepted.last(), Some(&json!({ "logIn": [] })), "{name}");
            // A key of any scope can delete itself.
            let expected = if name == "DELETE /keys/{key_id}" { 5 } else { 3 };
            assert!(accepted.len() <= expected, "{name}");
        }
        let checks_token = ["POST /auth/login", "POST /auth/refresh"].contains(&name.as_str());
        assert_eq!(operation.statuses().contains(&401), !is_public || checks_token, "{name}");
    }
    public.sort();
    assert_eq!(public, PUBLIC);
    let scheme = &document.0["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]),
        (&json!("http"), &json!("bearer"), &json!("JWT"))
    );
    let log_in = &document.0["components"]["securitySchemes"]["logIn"];
    let flows = json!({ "password": { "tokenUrl": "/auth/login", "scopes": {} } });
    assert_eq!((&log_in["type"], &log_in["flows"]), (&json!("oauth2"), &flows));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_served_document() {
    let service = Service::start().await;
    let served = Document::of(&service).await;
    let printed = output(fiapx().arg("openapi")).expect("the command needs no service");
    let printed: Value = serde_json::from_slice(&printed).expect("the document is JSON");
    assert_eq!(printed, served.0);
}
