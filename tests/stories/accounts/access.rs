//! Access tokens end with their session: at a logout, at the reuse of a refresh token, and when the
//! user ends sessions from a list.

use std::time::Duration;

use reqwest::header::USER_AGENT;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::post;
use crate::harness::client::{Client, PASSWORD, User, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Get the account of an access token.
async fn me(client: &Client, token: &str) -> StatusCode {
    fetch_json(client.request(Method::GET, "/auth/me").bearer_auth(token)).await.0
}

/// Log a user in again with a browser; return the session.
async fn log_in(user: &User<'_>, browser: &str) -> Value {
    let credentials = json!({ "email": user.email, "password": PASSWORD });
    let login = user.client.request(Method::POST, "/auth/login").header(USER_AGENT, browser);
    let (status, session) = fetch_json(login.json(&credentials)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    session
}

fn text<'a>(session: &'a Value, name: &str) -> &'a str {
    session[name].as_str().unwrap_or_else(|| panic!("no {name}: {session}"))
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_access_of_its_session(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let elsewhere = log_in(&user, FIREFOX).await;
    let (status, _) =
        post(&service, "/auth/logout", &json!({ "refresh_token": user.refresh })).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(me(&service, &user.access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&service, text(&elsewhere, "access_token")).await, StatusCode::OK);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_refresh_token_ends_the_access_of_its_session(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let refresh = json!({ "refresh_token": user.refresh });
    let (status, renewed) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!(status, StatusCode::OK, "{renewed}");
    let newest = text(&renewed, "access_token");
    assert_eq!(me(&service, newest).await, StatusCode::OK);
    service.advance(Duration::from_secs(10));
    let (_, problem) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!(problem["code"], json!("TOKEN_REUSED"));
    for access in [newest, &user.access] {
        assert_eq!(me(&service, access).await, StatusCode::UNAUTHORIZED);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let firefox = log_in(&user, FIREFOX).await;
    let curl = log_in(&user, "curl/8.14.1").await;
    let (status, listed) = user.get("/auth/sessions").await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    let sessions = listed.as_array().expect("a list");
    let shown = |session: &Value| {
        (session["browser"].clone(), session["address"].clone(), session["current"].clone())
    };
    let local = || json!("127.0.0.1");
    assert_eq!(
        sessions.iter().map(shown).collect::<Vec<_>>(),
        [
            (json!("curl"), local(), json!(false)),
            (json!("Firefox, Linux"), local(), json!(false)),
            (Value::Null, local(), json!(true)),
        ]
    );
    for time in ["created_at", "last_used_at", "expires_at"] {
        assert!(sessions[0][time].is_string(), "{listed}");
    }

    let path = format!("/auth/sessions/{}", text(&sessions[1], "id"));
    let (status, problem) = neighbor.delete(&path).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("SESSION_NOT_FOUND")));
    assert_eq!(me(&service, text(&firefox, "access_token")).await, StatusCode::OK);
    assert_eq!(user.delete(&path).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(user.delete(&path).await.0, StatusCode::NOT_FOUND, "it has ended");
    assert_eq!(me(&service, text(&firefox, "access_token")).await, StatusCode::UNAUTHORIZED);
    let refresh = json!({ "refresh_token": firefox["refresh_token"] });
    assert_eq!(post(&service, "/auth/refresh", &refresh).await.0, StatusCode::UNAUTHORIZED);

    assert_eq!(user.delete("/auth/sessions").await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(me(&service, text(&curl, "access_token")).await, StatusCode::UNAUTHORIZED);
    let (_, listed) = user.get("/auth/sessions").await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(neighbor.get("/auth/me").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_its_absolute_lifetime() {
    let service = Service::with(|settings| settings.accounts.session_days = 2).await;
    service.clock.pause();
    let user = service.user().await;
    service.advance(Duration::from_hours(47));
    service.advance(Duration::from_mins(30));
    let (status, renewed) =
        post(&service, "/auth/refresh", &json!({ "refresh_token": user.refresh })).await;
    assert_eq!(status, StatusCode::OK, "{renewed}");
    assert_eq!(renewed["expires_in"], json!(30 * 60), "the session ends in half an hour");
    service.advance(Duration::from_mins(30));
    assert_eq!(me(&service, text(&renewed, "access_token")).await, StatusCode::UNAUTHORIZED);
    let refresh = json!({ "refresh_token": renewed["refresh_token"] });
    let (status, problem) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));
}
