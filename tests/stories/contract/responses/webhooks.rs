//! Responses of the operations on webhooks.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::CheckedClient;
use crate::harness::checks::eventually;
use crate::harness::client::User;

/// Id that nothing has.
const NOBODY: &str = "0190a000-0000-7000-8000-0000000000ee";

/// Operations on one webhook.
const ON_WEBHOOK: [(&str, &str); 7] = [
    ("GET", ""),
    ("PATCH", ""),
    ("DELETE", ""),
    ("POST", "/secret"),
    ("GET", "/deliveries"),
    ("POST", "/test"),
    ("POST", "/deliveries/0190a000-0000-7000-8000-0000000000ee/redeliver"),
];

/// Operations without a webhook.
const ON_ALL: [(&str, &str); 2] = [("GET", "/webhooks"), ("POST", "/webhooks")];

fn request(user: &User<'_>, method: &str, path: &str) -> RequestBuilder {
    let method: Method = method.parse().expect("a valid method");
    let request = user.request(method.clone(), path);
    if [Method::PATCH, Method::POST].contains(&method) { request.json(&json!({})) } else { request }
}

/// Create a webhook, and send every request about it. Its URL leads nowhere.
pub async fn check(client: &CheckedClient<'_>) {
    let user = client.service.user().await;
    invalid_requests(client, &user).await;
    let new = json!({ "url": "https://hooks.example/", "events": ["job.failed"] });
    let create = || user.request(Method::POST, "/webhooks").json(&new);
    let (_, created) = client.expect(201, create()).await;
    for _ in 0..9 {
        client.expect(201, create()).await;
    }
    client.expect(409, create()).await;
    let http = json!({ "url": "http://hooks.example/", "events": ["job.failed"] });
    client.expect(422, user.request(Method::POST, "/webhooks").json(&http)).await;
    client.expect(200, request(&user, "GET", "/webhooks")).await;

    let path = format!("/webhooks/{}", created["id"].as_str().expect("an id"));
    let below = |below: &str| format!("{path}{below}");
    let change = |change: Value| user.request(Method::PATCH, &path).json(&change);
    client.expect(200, request(&user, "GET", &path)).await;
    client.expect(422, change(json!({ "url": "ftp://hooks.example/" }))).await;
    client.expect(200, change(json!({ "enabled": false }))).await;
    client.expect(409, request(&user, "POST", &below("/test"))).await;
    client.expect(200, change(json!({ "enabled": true }))).await;
    client.expect(200, request(&user, "POST", &below("/secret"))).await;
    let (_, test) = client.expect(202, request(&user, "POST", &below("/test"))).await;
    let id = test["id"].as_str().expect("an id");
    let redeliver = below(&format!("/deliveries/{id}/redeliver"));
    eventually("the delivery fails", || async {
        let deliveries = client.expect(200, request(&user, "GET", &below("/deliveries"))).await.1;
        (!deliveries[0]["error_code"].is_null()).then_some(())
    })
    .await;
    // Another try follows.
    client.expect(409, request(&user, "POST", &redeliver)).await;
    client.expect(200, change(json!({ "enabled": false }))).await;
    client.expect(200, change(json!({ "enabled": true }))).await;
    client.expect(202, request(&user, "POST", &redeliver)).await;
    let unknown = below(&format!("/deliveries/{NOBODY}/redeliver"));
    client.expect(404, request(&user, "POST", &unknown)).await;
    for path in [below("/test"), unknown] {
        for _ in 0..30 {
            let _ = request(&user, "POST", &path).send().await.expect("the service responds");
        }
        client.expect(429, request(&user, "POST", &path)).await;
    }
    client.expect(204, request(&user, "DELETE", &path)).await;
}

async fn invalid_requests(client: &CheckedClient<'_>, user: &User<'_>) {
    let of = |id: &'static str| {
        ON_WEBHOOK.map(|(method, below)| (method, format!("/webhooks/{id}{below}")))
    };
    for (method, path) in of("malformed") {
        client.expect(400, request(user, method, &path)).await;
    }
    for (method, path) in of(NOBODY) {
        client.expect(404, request(user, method, &path)).await;
    }
    let all = ON_ALL.map(|(method, path)| (method, path.to_owned()));
    for (method, path) in all.into_iter().chain(of(NOBODY)) {
        let method: Method = method.parse().expect("a valid method");
        client.expect(401, client.service.request(method, &path).json(&json!({}))).await;
    }
    let change = format!("/webhooks/{NOBODY}");
    for (method, path) in [(Method::POST, "/webhooks"), (Method::PATCH, change.as_str())] {
        for (kind, body, status) in [
            ("application/json", "{".to_owned(), 400),
            ("application/json", "x".repeat(70 << 10), 413),
            ("text/plain", "{}".to_owned(), 415),
            ("application/json", json!({ "events": [] }).to_string(), 422),
        ] {
            let request = user.request(method.clone(), path).header(CONTENT_TYPE, kind);
            client.expect(status, request.body(body)).await;
        }
    }
}

/// Requests of a user for all operations on webhooks.
pub fn all(user: &User<'_>) -> Vec<RequestBuilder> {
    let valid = json!({ "url": "https://hooks.example/", "events": ["job.failed"] });
    let of_one = ON_WEBHOOK
        .map(|(method, below)| request(user, method, &format!("/webhooks/{NOBODY}{below}")));
    let of_all = ON_ALL.map(|(method, path)| request(user, method, path).json(&valid));
    of_one.into_iter().chain(of_all).collect()
}
