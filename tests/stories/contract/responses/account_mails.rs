//! Responses of the operations with links in mails, and of those that change, export or delete an
//! account.

use std::time::Duration;

use app::settings::Confirm;
use parking_lot::Mutex;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::{CheckedClient, SHORT, upload};
use crate::contract::specification::Document;
use crate::harness::client::{PASSWORD, User};
use crate::harness::clips::clip_bytes;
use crate::harness::service::Service;

/// Operations that need no access token.
const PUBLIC: [&str; 4] =
    ["/auth/confirm", "/auth/password/forgot", "/auth/password/reset", "/auth/address/confirm"];

/// Operations on the current user with a body.
const WITH_BODY: [(Method, &str); 4] = [
    (Method::PATCH, "/auth/me"),
    (Method::POST, "/auth/address"),
    (Method::POST, "/auth/export"),
    (Method::DELETE, "/auth/me"),
];

/// Every request of a user, with a body that is valid.
pub fn all(user: &User<'_>) -> Vec<RequestBuilder> {
    let body = json!({ "email": "other@example.com", "password": PASSWORD });
    let with_body = WITH_BODY.map(|(method, path)| {
        let is_update = method == Method::PATCH;
        let body = if is_update { json!({ "name": "Ana" }) } else { body.clone() };
        user.request(method, path).json(&body)
    });
    with_body.into_iter().chain([user.request(Method::POST, "/auth/confirmation")]).collect()
}

/// Send every request without an access token while the database lacks its tables.
pub async fn missing_tables(client: &CheckedClient<'_>) {
    let body = json!({ "email": "ana@example.com", "token": "x", "new_password": PASSWORD });
    for path in PUBLIC {
        client.post(503, path, &body).await;
    }
}

/// Token of the latest link of a kind to an address.
async fn token(client: &CheckedClient<'_>, address: &str, mails: usize, path: &str) -> Value {
    let mails = client.service.mails_to(address, mails).await;
    let link = format!("/#/{path}/");
    let mut tokens = mails.iter().filter_map(|mail| {
        let (_, rest) = mail.text.split_once(&link)?;
        rest.split_whitespace().next()
    });
    json!(tokens.next_back().unwrap_or_else(|| panic!("no link to {path}: {mails:?}")))
}

/// Use all links, and every other request of an account.
pub async fn check(client: &CheckedClient<'_>) {
    client.service.advance(Duration::from_mins(1));
    malformed(client).await;
    client.service.advance(Duration::from_mins(1));
    let user = client.service.user().await;
    client.expect(409, user.request(Method::POST, "/auth/confirmation")).await;
    let unconfirm = format!("UPDATE users SET confirmed = FALSE WHERE email = '{}'", user.email);
    client.service.execute_sql(&unconfirm);
    for _ in 0..5 {
        client.expect(202, user.request(Method::POST, "/auth/confirmation")).await;
    }
    client.expect(429, user.request(Method::POST, "/auth/confirmation")).await;
    let confirm = token(client, &user.email, 5, "confirm").await;
    client.post(204, "/auth/confirm", &json!({ "token": confirm })).await;
    client.post(410, "/auth/confirm", &json!({ "token": confirm })).await;
    client.expect(200, user.request(Method::PATCH, "/auth/me").json(&json!({}))).await;
    addresses(client).await;
    limited(client, &user).await;

    let other = client.service.user().await;
    client.post(202, "/auth/password/forgot", &json!({ "email": other.email })).await;
    let reset = token(client, &other.email, 1, "reset").await;
    let reset = json!({ "token": reset, "new_password": "Duna#2031" });
    client.post(204, "/auth/password/reset", &reset).await;
    client.post(410, "/auth/password/reset", &reset).await;

    let last = client.service.user().await;
    let proof = json!({ "password": PASSWORD });
    client.expect(200, last.request(Method::POST, "/auth/export").json(&proof)).await;
    client.expect(204, last.request(Method::DELETE, "/auth/me").json(&proof)).await;
}

/// Bodies that are no JSON, too large, of another type, or incomplete, and missing access tokens.
async fn malformed(client: &CheckedClient<'_>) {
    let user = client.service.user().await;
    let public = PUBLIC.map(|path| client.service.request(Method::POST, path));
    let of_user = WITH_BODY.map(|(method, path)| user.request(method, path));
    for request in public.into_iter().chain(of_user) {
        for (kind, body, status) in [
            ("application/json", "{".to_owned(), 400),
            ("application/json", "x".repeat(70 << 10), 413),
            ("text/plain", "{}".to_owned(), 415),
            ("application/json", "[]".to_owned(), 422),
        ] {
            let request = request.try_clone().expect("the request has no stream");
            client.expect(status, request.header(CONTENT_TYPE, kind).body(body)).await;
        }
    }
    for (method, path) in WITH_BODY {
        let anonymous = client.service.request(method, path).json(&json!({}));
        client.expect(401, anonymous).await;
    }
    client.expect(401, client.service.request(Method::POST, "/auth/confirmation")).await;
}

/// Changes of the address, the second of which is taken when it is confirmed.
async fn addresses(client: &CheckedClient<'_>) {
    for (address, status) in [("free@example.com", 204), ("taken@example.com", 409)] {
        let user = client.service.user().await;
        let change = json!({ "email": address, "password": PASSWORD });
        client.expect(202, user.request(Method::POST, "/auth/address").json(&change)).await;
        let change = token(client, address, 1, "change-address").await;
        if status == 409 {
            let other = json!({ "email": address, "password": PASSWORD, "name": "Eva" });
            client.post(201, "/auth/register", &other).await;
        }
        client.post(status, "/auth/address/confirm", &json!({ "token": change })).await;
    }
    client.post(410, "/auth/address/confirm", &json!({ "token": "unknown" })).await;
}

/// Wrong passwords are limited within a session.
async fn limited(client: &CheckedClient<'_>, user: &User<'_>) {
    let body = json!({ "email": "new@example.com", "password": "wrong" });
    for status in [422, 429] {
        for (method, path) in &WITH_BODY[1..] {
            client.expect(status, user.request(method.clone(), path).json(&body)).await;
        }
    }
}

/// Responses of a service whose users have to confirm their address.
pub async fn check_confirmation(client: &CheckedClient<'_>) {
    let service = Service::with(|settings| {
        settings.accounts.confirm = Confirm::Always;
        settings.server.public_url = Some("https://videos.example.com".to_owned());
    })
    .await;
    let document = Document::of(&service).await;
    let confirming = CheckedClient { service: &service, document, seen: Mutex::default() };
    let ana = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    confirming.post(202, "/auth/register", &ana).await;
    let session = confirming.post(200, "/auth/login", &ana).await;
    let user = User {
        client: &service,
        id: String::new(),
        email: String::new(),
        access: session["access_token"].as_str().expect("a token").to_owned(),
        refresh: String::new(),
    };
    confirming.expect(403, upload(&user, &[("a.mp4", clip_bytes(SHORT))])).await;
    client.seen.lock().extend(confirming.seen.into_inner());
}
