//! Responses of the operations on sessions and second factors.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::client::CheckedClient;
use crate::harness::client::{PASSWORD, User};
use crate::harness::second_factor::App;

const START: &str = "/auth/second-factor";
const CONFIRM: &str = "/auth/second-factor/confirm";

/// List and end sessions, and turn a second factor on and off.
pub async fn check(client: &CheckedClient<'_>) {
    let user = client.service.user().await;
    sessions(client, &user).await;
    invalid_bodies(client, &user).await;
    let send = |method: Method, path: &str, body: Value| user.request(method, path).json(&body);
    let start = |password: &str| send(Method::POST, START, json!({ "password": password }));
    let confirm = |code: &str| send(Method::POST, CONFIRM, json!({ "code": code }));
    let end = |password: &str, code: &str| {
        send(Method::DELETE, START, json!({ "password": password, "code": code }))
    };
    // Three attempts a minute are allowed.
    let next_minute = || client.service.advance(Duration::from_mins(1));
    client.expect(409, end(PASSWORD, "000000")).await;
    client.expect(409, confirm("000000")).await;
    client.expect(422, start("wrong")).await;
    let (_, created) = client.expect(200, start(PASSWORD)).await;
    client.expect(429, start(PASSWORD)).await;
    client.expect(429, confirm("000000")).await;
    let app = App::new(created["secret"].as_str().expect("a secret"), &client.service.clock);
    next_minute();
    client.expect(422, confirm(&app.wrong_code())).await;
    client.expect(200, confirm(&app.code())).await;
    client.expect(409, start(PASSWORD)).await;
    client.expect(409, confirm("000000")).await;
    next_minute();
    let credentials = json!({ "email": user.email, "password": PASSWORD });
    client.post(401, "/auth/login", &credentials).await;
    client.expect(422, end(PASSWORD, &app.wrong_code())).await;
    client.expect(422, end("wrong", "000000")).await;
    client.expect(422, end("wrong", "000000")).await;
    client.expect(429, end(PASSWORD, &app.code())).await;
    next_minute();
    client.expect(204, end(PASSWORD, &app.code())).await;
}

async fn sessions(client: &CheckedClient<'_>, user: &User<'_>) {
    let credentials = json!({ "email": user.email, "password": PASSWORD });
    client.post(200, "/auth/login", &credentials).await;
    let request = |method: Method, path: &str| user.request(method, path);
    let (_, listed) = client.expect(200, request(Method::GET, "/auth/sessions")).await;
    let other =
        listed.as_array().expect("a list").iter().find(|session| session["current"] == false);
    let other =
        format!("/auth/sessions/{}", other.expect("another one")["id"].as_str().expect("an id"));
    client.expect(400, request(Method::DELETE, "/auth/sessions/malformed")).await;
    client.expect(204, request(Method::DELETE, &other)).await;
    client.expect(404, request(Method::DELETE, &other)).await;
    client.expect(204, request(Method::DELETE, "/auth/sessions")).await;
    for (method, path) in [
        (Method::GET, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions"),
        (Method::DELETE, other.as_str()),
    ] {
        client.expect(401, client.service.request(method, path)).await;
    }
}

async fn invalid_bodies(client: &CheckedClient<'_>, user: &User<'_>) {
    for (method, path) in operations() {
        client.expect(401, client.service.request(method.clone(), path).json(&json!({}))).await;
        for (kind, body, status) in [
            ("application/json", "{".to_owned(), 400),
            ("application/json", "x".repeat(70 << 10), 413),
            ("text/plain", "{}".to_owned(), 415),
            ("application/json", "{}".to_owned(), 422),
        ] {
            let request = user.request(method.clone(), path).header(CONTENT_TYPE, kind);
            client.expect(status, request.body(body)).await;
        }
    }
}

fn operations() -> [(Method, &'static str); 3] {
    [(Method::POST, START), (Method::POST, CONFIRM), (Method::DELETE, START)]
}

/// Requests of a user for all operations on sessions and second factors.
pub fn all(user: &User<'_>) -> Vec<RequestBuilder> {
    let sessions = [
        (Method::GET, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions"),
        (Method::DELETE, "/auth/sessions/0190a000-0000-7000-8000-0000000000cc"),
    ];
    let operations = sessions.into_iter().chain(operations());
    operations.map(|(method, path)| user.request(method, path).json(&json!({}))).collect()
}
