//! Scopes: every operation of the document, with keys of every scope and with invalid ones.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::create;
use crate::harness::client::{ApiKey, Client, User, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    /// Everybody.
    All,
    /// Users with an access token.
    Users,
    /// Users, and programs with the key that is named.
    Itself,
    /// Users, and programs with a key that has this scope.
    Scope(&'static str),
    /// Everybody who has a link to a job.
    Link,
}

use Callers::{All, Itself, Link, Scope, Users};

const READ: Callers = Scope("videos:read");
const WRITE: Callers = Scope("videos:write");
const HOOKS: Callers = Scope("webhooks");

/// All operations.
const TABLE: &[(&str, Callers)] = &[
    ("DELETE /auth/me", Users),
    ("DELETE /auth/second-factor", Users),
    ("DELETE /auth/sessions", Users),
    ("DELETE /auth/sessions/{session_id}", Users),
    ("DELETE /jobs/{id}/shares/{share_id}", WRITE),
    ("DELETE /keys/{key_id}", Itself),
    ("DELETE /uploads/{id}", WRITE),
    ("DELETE /videos/{id}", WRITE),
    ("DELETE /webhooks/{webhook_id}", HOOKS),
    ("GET /auth/me", Users),
    ("GET /auth/sessions", Users),
    ("GET /files/selection", All),
    ("GET /files/shared/{share_id}", All),
    ("GET /files/videos/{user}/{job}/{name}", All),
    ("GET /health", All),
    ("GET /jobs/{id}/archive", READ),
    ("GET /jobs/{id}/download", READ),
    ("GET /jobs/{id}/events", READ),
    ("GET /jobs/{id}/frames", READ),
    ("GET /jobs/{id}/frames/{number}", READ),
    ("GET /jobs/{id}/previews", READ),
    ("GET /jobs/{id}/previews/{number}", READ),
    ("GET /jobs/{id}/shares", READ),
    ("GET /jobs/{id}/sheets/{number}", READ),
    ("GET /jobs/{id}/status", READ),
    ("GET /jobs/{id}/thumbnail", READ),
    ("GET /keys", Users),
    ("GET /ready", All),
    ("GET /shared", Link),
    ("GET /shared/download", Link),
    ("GET /shared/frames", Link),
    ("GET /shared/frames/{number}", Link),
    ("GET /videos", READ),
    ("GET /videos/upload", All),
    ("GET /videos/usage", READ),
    ("GET /videos/{id}", READ),
    ("GET /videos/{id}/forecast", READ),
    ("GET /webhooks", HOOKS),
    ("GET /webhooks/{webhook_id}", HOOKS),
    ("GET /webhooks/{webhook_id}/deliveries", HOOKS),
    ("HEAD /uploads/{id}", WRITE),
    ("OPTIONS /uploads", All),
    ("PATCH /auth/me", Users),
    ("PATCH /uploads/{id}", WRITE),
    ("PATCH /webhooks/{webhook_id}", HOOKS),
    ("POST /auth/address", Users),
    ("POST /auth/address/confirm", All),
    ("POST /auth/confirm", All),
    ("POST /auth/confirmation", Users),
    ("POST /auth/export", Users),
    ("POST /auth/login", All),
    ("POST /auth/logout", All),
    ("POST /auth/password", Users),
    ("POST /auth/password/forgot", All),
    ("POST /auth/password/reset", All),
    ("POST /auth/refresh", All),
    ("POST /auth/register", All),
    ("POST /auth/second-factor", Users),
    ("POST /auth/second-factor/confirm", Users),
    ("POST /jobs/{id}/shares", WRITE),
    ("POST /keys", Users),
    ("POST /uploads", WRITE),
    ("POST /uploads/direct", WRITE),
    ("POST /uploads/{id}/complete", WRITE),
    ("POST /videos", WRITE),
    ("POST /videos/upload", WRITE),
    ("POST /videos/{id}/jobs", WRITE),
    ("POST /webhooks", HOOKS),
    ("POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", HOOKS),
    ("POST /webhooks/{webhook_id}/secret", HOOKS),
    ("POST /webhooks/{webhook_id}/test", HOOKS),
];

static SCOPES: [&str; 3] = ["videos:read", "videos:write", "webhooks"];

/// Name of the security scheme of keys with a scope.
fn scheme(scope: &str) -> &'static str {
    match scope {
        "videos:read" => "keyVideosRead",
        "videos:write" => "keyVideosWrite",
        "webhooks" => "keyWebhooks",
        other => panic!("no scheme for {other}"),
    }
}

/// Operations of the document, with their definitions.
async fn operations(client: &Client) -> (Value, Vec<(String, Value)>) {
    let (_, document) = fetch_json(client.request(Method::GET, "/openapi.json")).await;
    let paths = document["paths"].as_object().expect("there are paths");
    let of_path = |(path, item): (&String, &Value)| -> Vec<_> {
        let methods = item.as_object().expect("methods by name");
        let named = methods.iter().map(|(method, operation)| {
            (format!("{} {path}", method.to_uppercase()), operation.clone())
        });
        named.collect()
    };
    let mut all: Vec<_> = paths.iter().flat_map(of_path).collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    (document, all)
}

/// The document states the scope of each operation: as a security requirement, and in words.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_states_the_scope_of_every_operation() {
    let service = Service::start().await;
    let (document, operations) = operations(&service).await;
    let names: Vec<&str> = operations.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "the table has other operations");
    for ((name, operation), (_, callers)) in operations.iter().zip(TABLE) {
        let (token, log_in) = (json!({ "bearerAuth": [] }), json!({ "logIn": [] }));
        let (security, sentence) = match callers {
            All => (json!([]), None),
            Link => (json!([{ "shareToken": [] }]), None),
            Users => (json!([token, log_in]), Some("API keys are refused.".to_owned())),
            Itself => {
                let keys = SCOPES.iter().map(|scope| json!({ (scheme(scope)): [] }));
                (
                    std::iter::once(token).chain(keys).chain([log_in]).collect(),
                    Some("API keys are refused, except for the one that is named.".to_owned()),
                )
            }
            Scope(scope) => (
                json!([token, { (scheme(scope)): [] }, log_in]),
                Some(format!("API keys need the scope `{scope}`.")),
            ),
        };
        assert_eq!(operation["security"], security, "{name}");
        let description = operation["description"].as_str().expect("a text");
        match sentence {
            Some(sentence) => assert!(description.ends_with(&sentence), "{name}: {description}"),
            None => assert!(!description.contains("API key"), "{name}: {description}"),
        }
    }
    for scope in SCOPES {
        let scheme = &document["components"]["securitySchemes"][scheme(scope)];
        assert_eq!([&scheme["type"], &scheme["scheme"]], [&json!("http"), &json!("bearer")]);
        let description = scheme["description"].as_str().expect("a text");
        assert!(description.contains(&format!("`{scope}`")), "{description}");
    }
    let names = document["components"]["schemas"]["Scope"]["enum"].clone();
    assert_eq!(names, json!(SCOPES));
}

/// The key with another last character.
fn misspelled(mut key: ApiKey) -> ApiKey {
    let last = if key.key.ends_with('0') { "1" } else { "0" };
    key.key.pop();
    key.key += last;
    key
}

/// Sender of a request.
struct Sender<'a> {
    name: String,
    user: User<'a>,
    /// Scopes of the key.
    scopes: BTreeSet<&'static str>,
    /// Code of the problem of an invalid key.
    invalid: Option<&'static str>,
}

/// Programs with keys of each scope and of all, and with keys that are invalid.
async fn senders<'a>(service: &'a Service, user: &'a User<'a>) -> Vec<Sender<'a>> {
    let mut senders = Vec::new();
    let lists: [&[&'static str]; 4] = [&SCOPES[..1], &SCOPES[1..2], &SCOPES[2..], &SCOPES];
    for scopes in lists {
        let key = user.create_key(scopes).await;
        senders.push(Sender {
            name: scopes.join(" "),
            user: user.with_key(&key),
            scopes: scopes.iter().copied().collect(),
            invalid: None,
        });
    }
    let deleted = user.create_key(&SCOPES).await;
    user.delete(&format!("/keys/{}", deleted.id)).await;
    let lifetime = Duration::from_mins(10);
    let end = json!({ "scopes": SCOPES, "expires_at": service.clock.now() + lifetime });
    let (_, created) = create(user, &end).await;
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    let expired = ApiKey { id: text("id"), key: text("key") };
    service.advance(lifetime);
    let misspelled = misspelled(user.create_key(&SCOPES).await);
    for (name, key, code) in [
        ("deleted", &deleted, "KEY_INVALID"),
        ("expired", &expired, "KEY_EXPIRED"),
        ("misspelled", &misspelled, "KEY_INVALID"),
    ] {
        senders.push(Sender {
            name: name.to_owned(),
            user: user.with_key(key),
            scopes: BTreeSet::new(),
            invalid: Some(code),
        });
    }
    senders
}

/// Status and code of an operation on an unknown job, with an empty object as the body.
async fn request(sender: &User<'_>, operation: &str) -> (StatusCode, String) {
    let (method, path) = operation.split_once(' ').expect("a method and a path");
    let method: Method = method.parse().expect("a valid method");
    let unknown = "0190a000-0000-7000-8000-0000000000ee";
    let ids = [
        "{id}",
        "{job}",
        "{user}",
        "{key_id}",
        "{session_id}",
        "{share_id}",
        "{webhook_id}",
        "{delivery_id}",
    ];
    let path = ids
        .iter()
        .fold(path.to_owned(), |path, name| path.replace(name, unknown))
        .replace("{number}", "1")
        .replace("{name}", "output-1.zip");
    let path = if path.ends_with("/archive") { path + "?frames=1" } else { path };
    let has_body = method != Method::GET;
    let request = sender.request(method, &path);
    let request = if has_body { request.json(&json!({})) } else { request };
    let (status, body) = fetch_json(request).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_accepts_keys_with_its_scope_only(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut deviations = Vec::new();
    for Sender { name, user, scopes, invalid } in senders(&service, &user).await {
        for (operation, callers) in TABLE {
            let (status, code) = request(&user, operation).await;
            let got = (status.as_u16(), code.as_str());
            // Responses to HEAD have no body.
            let has_code = !operation.starts_with("HEAD ");
            let is = |status, code| got.0 == status && (got.1 == code || !has_code);
            let as_expected = match (callers, invalid) {
                // Nothing looks at the key.
                (All, _) => !code.starts_with("KEY_"),
                // A key is no token of a link, whatever its scopes.
                (Link, _) => is(401, "SHARE_INVALID") || is(429, "TOO_MANY_ATTEMPTS"),
                (Users, _) | (Itself, None) => is(403, "KEY_NOT_ALLOWED"),
                (Itself | Scope(_), Some(invalid)) => is(401, invalid),
                (Scope(scope), None) if scopes.contains(scope) => {
                    ![401, 403].contains(&got.0) && !code.starts_with("KEY_")
                }
                (Scope(_), None) => is(403, "KEY_SCOPE_MISSING"),
            };
            if !as_expected {
                deviations.push(format!("{operation} with a key ({name}): {got:?}"));
            }
        }
    }
    assert_eq!(deviations, [""; 0]);
}
