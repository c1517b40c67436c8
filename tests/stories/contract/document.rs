//! The document itself: whoever reads it alone can use the service.

use serde_json::{Value, json};

use super::promise::Document;
use crate::harness::programs::{fiapx, output};
use crate::harness::service::Service;

/// Operations that need no access token: who uses them has none yet, or has a link, or looks after
/// the service, or asks what is the same for everybody.
const PUBLIC: [&str; 8] = [
    "GET /files/videos/{user}/{job}/{name}",
    "GET /health",
    "GET /ready",
    "GET /videos/upload",
    "POST /auth/login",
    "POST /auth/logout",
    "POST /auth/refresh",
    "POST /auth/register",
];

fn said(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

/// Complaints of every object property below that has no description.
fn silent_properties(at: &str, schema: &Value, complaints: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (name, property) in
                object.get("properties").and_then(Value::as_object).into_iter().flatten()
            {
                let inner = property["items"]["description"].clone();
                if !said(&property["description"]) && !said(&inner) {
                    complaints.push(format!("{at}.{name} has no description"));
                }
            }
            for (name, value) in object.iter().filter(|(name, _)| *name != "example") {
                silent_properties(&format!("{at}/{name}"), value, complaints);
            }
        }
        Value::Array(items) => {
            for item in items {
                silent_properties(at, item, complaints);
            }
        }
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_in_the_document_is_described() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut complaints = Vec::new();
    silent_properties("", &document.0, &mut complaints);
    let mut public = Vec::new();
    for operation in document.operations() {
        let (name, says) = (&operation.name, operation.says);
        if !said(&says["summary"]) {
            complaints.push(format!("{name} has no summary"));
        }
        for parameter in says["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|parameter| !said(&parameter["description"]))
        {
            complaints
                .push(format!("{name} does not describe its parameter {}", parameter["name"]));
        }
        for (status, response) in says["responses"].as_object().expect("an operation has responses")
        {
            if !said(&response["description"]) {
                complaints.push(format!("{name} does not say when it answers {status}"));
            }
        }
        match &says["security"] {
            Value::Null => public.push(name.clone()),
            security => assert_eq!(*security, json!([{ "LoggedIn": [] }]), "{name}"),
        }
        let statuses = operation.statuses();
        assert_eq!(
            statuses.contains(&401),
            !says["security"].is_null()
                || name == "POST /auth/login"
                || name == "POST /auth/refresh",
            "{name}"
        );
    }
    public.sort();
    assert_eq!((complaints, public), (Vec::<String>::new(), PUBLIC.map(str::to_owned).into()));
    let scheme = &document.0["components"]["securitySchemes"]["LoggedIn"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]),
        (&json!("http"), &json!("bearer"), &json!("JWT"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_document_that_is_served() {
    let service = Service::start().await;
    let served = Document::of(&service).await;
    let printed = output(fiapx().arg("openapi")).expect("it needs no service");
    let printed: Value = serde_json::from_slice(&printed).expect("the document is JSON");
    assert_eq!(printed, served.0);
}
