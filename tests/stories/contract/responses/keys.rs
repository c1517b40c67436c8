//! Responses of the operations on API keys, and of all operations to keys that they refuse.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::CheckedClient;
use crate::harness::client::{PASSWORD, User};

const UNKNOWN: &str = "/keys/0190a000-0000-7000-8000-0000000000dd";

/// Fields of a new key.
fn fields() -> Value {
    json!({ "name": "Import", "scopes": ["webhooks"], "password": PASSWORD })
}

/// Every request of a user, with a body that is valid.
pub fn all(user: &User<'_>) -> Vec<RequestBuilder> {
    vec![
        user.request(Method::POST, "/keys").json(&fields()),
        user.request(Method::GET, "/keys"),
        user.request(Method::DELETE, UNKNOWN),
    ]
}

/// Create, list and delete keys, and use one for every operation.
pub async fn check(client: &CheckedClient<'_>) {
    client.service.advance(Duration::from_mins(1));
    let user = client.service.user().await;
    invalid(client, &user).await;
    let create = || user.request(Method::POST, "/keys").json(&fields());
    let (_, created) = client.expect(201, create()).await;
    client.expect(200, user.request(Method::GET, "/keys")).await;
    client.service.advance(Duration::from_mins(1));
    let mut reading = fields();
    reading["scopes"] = json!(["videos:read"]);
    let (_, other) = client.expect(201, user.request(Method::POST, "/keys").json(&reading)).await;
    let [for_webhooks, for_videos] = [&created, &other].map(|key| key["key"].as_str());
    let keys = for_webhooks.zip(for_videos).expect("two keys");
    refused(client, keys).await;
    for _ in 2..20 {
        client.service.advance(Duration::from_mins(1));
        client.expect(201, create()).await;
    }
    client.service.advance(Duration::from_mins(1));
    client.expect(409, create()).await;
    let mut wrong = fields();
    wrong["password"] = json!("wrong");
    for status in [422, 422, 429] {
        client.expect(status, user.request(Method::POST, "/keys").json(&wrong)).await;
    }
    let path = format!("/keys/{}", created["id"].as_str().expect("an id"));
    client.expect(204, user.request(Method::DELETE, &path)).await;
    client.expect(404, user.request(Method::DELETE, &path)).await;
}

/// Malformed requests, and those without an access token.
async fn invalid(client: &CheckedClient<'_>, user: &User<'_>) {
    for (kind, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "x".repeat(70 << 10), 413),
        ("text/plain", "{}".to_owned(), 415),
        ("application/json", "{}".to_owned(), 422),
    ] {
        let create = user.request(Method::POST, "/keys").header(CONTENT_TYPE, kind);
        client.expect(status, create.body(body)).await;
    }
    client.expect(400, user.request(Method::DELETE, "/keys/malformed")).await;
    let anonymous = User { access: String::new(), ..user.account().at(client.service) };
    for request in all(&anonymous) {
        client.expect(401, request).await;
    }
}

/// All operations that need a token refuse a key without their scope: those on webhooks one for
/// videos, all others one for webhooks.
async fn refused(client: &CheckedClient<'_>, (for_webhooks, for_videos): (&str, &str)) {
    for operation in client.document.operations() {
        let security = &operation.definition["security"];
        if *security == json!([]) || !security[0]["shareToken"].is_null() {
            continue;
        }
        let (method, path) = operation.name.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a valid method");
        // A key can delete itself, so that its id is read before it is refused.
        let path = path.replace("/keys/{key_id}", UNKNOWN).replace(['{', '}'], "");
        let key = if path.starts_with("/webhooks") { for_videos } else { for_webhooks };
        client.expect(403, client.service.request(method, &path).bearer_auth(key)).await;
    }
}
