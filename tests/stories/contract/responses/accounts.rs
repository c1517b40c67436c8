//! Responses of the operations on accounts and sessions.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::client::CheckedClient;
use crate::harness::client::{PASSWORD, oauth_log_in};

/// Register users, and send every request of an account.
pub async fn check(client: &CheckedClient<'_>) {
    let ana = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    client.post(201, "/auth/register", &ana).await;
    client.post(409, "/auth/register", &ana).await;
    client.post(422, "/auth/register", &json!({ "email": "", "password": "", "name": "" })).await;
    client.post(422, "/auth/register", &json!([])).await;
    let session = client.post(200, "/auth/login", &ana).await;
    let renewed = client
        .post(200, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] }))
        .await;
    let next = json!({ "refresh_token": renewed["refresh_token"] });
    client.post(200, "/auth/refresh", &next).await;
    client.post(401, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] })).await;
    client.post(204, "/auth/logout", &json!({ "refresh_token": renewed["refresh_token"] })).await;
    let wrong = json!({ "email": "ana@example.com", "password": "wrong" });
    for status in [401, 401, 429] {
        client.post(status, "/auth/login", &wrong).await;
    }
    client.service.advance(Duration::from_mins(1));
    log_in_by_form(client).await;
    let session = client.post(200, "/auth/login", &ana).await;
    let access = session["access_token"].as_str().expect("a token");
    client.expect(200, client.get("/auth/me").bearer_auth(access)).await;
    for (kind, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "x".repeat(70 << 10), 413),
        ("text/plain", "{}".to_owned(), 415),
    ] {
        let change = client.service.request(Method::POST, "/auth/password").bearer_auth(access);
        client.expect(status, change.header(CONTENT_TYPE, kind).body(body)).await;
    }
    let password = |current: &str, new: &str| {
        let change = json!({ "current_password": current, "new_password": new });
        client.service.request(Method::POST, "/auth/password").bearer_auth(access).json(&change)
    };
    client.expect(422, password(PASSWORD, "short")).await;
    for _ in 0..3 {
        client.expect(422, password("wrong", "Praia#2027")).await;
    }
    client.expect(429, password(PASSWORD, PASSWORD)).await;
    client.service.advance(Duration::from_mins(1));
    client.expect(204, password(PASSWORD, "Praia#2027")).await;
    client.expect(401, password(PASSWORD, "Praia#2028")).await;
    for request in [client.get("/auth/me"), client.get("/auth/me").bearer_auth("garbage")] {
        client.expect(401, request).await;
    }
    for path in ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"] {
        let post = |kind: &str, body: String| {
            client.service.request(Method::POST, path).header(CONTENT_TYPE, kind).body(body)
        };
        client.expect(400, post("application/json", "{".to_owned())).await;
        client.expect(413, post("application/json", "x".repeat(70 << 10))).await;
        client.expect(415, post("text/plain", "{}".to_owned())).await;
        client.expect(422, post("application/json", "{}".to_owned())).await;
    }
    let eva = json!({ "email": "eva@example.com", "password": PASSWORD, "name": "Eva" });
    client.post(201, "/auth/register", &eva).await;
    let disable = "UPDATE users SET is_active = FALSE WHERE email = 'eva@example.com'";
    client.service.execute_sql(disable);
    client.post(403, "/auth/login", &eva).await;
}

/// Log in as a client of OAuth 2.0.
async fn log_in_by_form(client: &CheckedClient<'_>) {
    for (password, status) in [("wrong", 400), (PASSWORD, 200)] {
        let grant =
            [("grant_type", "password"), ("username", "ana@example.com"), ("password", password)];
        client.expect(status, oauth_log_in(client.service, &grant)).await;
    }
}
