//! Forgotten passwords are replaced by a link in a mail.

use std::time::Duration;

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::links::{account, log_in, start, token};
use super::{field_errors, post, registration};
use crate::harness::client::PASSWORD;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const EMAIL: &str = "ana@example.com";
const NEW_PASSWORD: &str = "Duna#2031";

async fn forget(service: &Service, email: &str) {
    let forgotten = post(service, "/auth/password/forgot", &json!({ "email": email })).await;
    assert_eq!(forgotten, (StatusCode::ACCEPTED, Value::Null));
}

async fn reset(service: &Service, token: &str, password: &str) -> (StatusCode, Value) {
    let body = json!({ "token": token, "new_password": password });
    post(service, "/auth/password/reset", &body).await
}

/// Token of the only link for a new password among the mails to an address.
async fn reset_token(service: &Service, mails: usize) -> String {
    let mails = service.mails_to(EMAIL, mails).await;
    let mail = mails.iter().find(|mail| mail.subject == "Set a new password");
    token(mail.expect("a mail with a link"), "reset")
}

/// The link proves that its user reads mails to the address, so it also confirms it.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_replaces_the_password_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = start(parts).await;
    let fields = registration(&json!({ "email": EMAIL, "language": "en" }));
    assert_eq!(post(&service, "/auth/register", &fields).await.0, StatusCode::ACCEPTED);
    let (_, session) =
        post(&service, "/auth/login", &json!({ "email": EMAIL, "password": PASSWORD })).await;
    forget(&service, "ANA@example.com").await;
    let link = reset_token(&service, 2).await;

    let (status, problem) = reset(&service, &link, "short").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(field_errors(&problem).contains("new_password: PASSWORD_TOO_SHORT"), "{problem}");
    assert_eq!(reset(&service, "unknown", NEW_PASSWORD).await.0, StatusCode::GONE);
    assert_eq!(reset(&service, &link, NEW_PASSWORD).await, (StatusCode::NO_CONTENT, Value::Null));
    let (status, problem) = reset(&service, &link, "Duna#2032").await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("ACCOUNT_LINK_INVALID")));

    assert_eq!(log_in(&service, EMAIL, PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    let (status, access) = log_in(&service, EMAIL, NEW_PASSWORD).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(account(&service, &access).await["confirmed"], json!(true));
    let refresh = json!({ "refresh_token": session["refresh_token"] });
    let (status, _) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "sessions are closed");
    let mails = service.expect_mails(3).await;
    assert!(mails.iter().any(|mail| mail.subject == "Your password was changed"), "{mails:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_valid_for_half_an_hour() {
    let service = start(Embedded).await;
    let fields = registration(&json!({ "email": EMAIL, "language": "en" }));
    assert_eq!(post(&service, "/auth/register", &fields).await.0, StatusCode::ACCEPTED);
    forget(&service, EMAIL).await;
    let link = reset_token(&service, 2).await;
    service.advance(Duration::from_mins(30));
    assert_eq!(reset(&service, &link, NEW_PASSWORD).await.0, StatusCode::GONE);
    assert_eq!(log_in(&service, EMAIL, PASSWORD).await.0, StatusCode::OK);
}

/// The response does not reveal whether an address is known, and unknown ones get no mail.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_disabled_users_get_the_same_response_and_no_mail() {
    let service = Service::start().await;
    let user = service.user().await;
    for email in ["nobody@example.com", "no address", "", &user.email] {
        forget(&service, email).await;
    }
    service.mails_to(&user.email, 1).await;
    let other = service.user().await;
    service.database().disable_user(&other.email).await.expect("the database is writable");
    forget(&service, &other.email).await;
    forget(&service, &user.email).await;
    let address = user.email.clone();
    service.mails_to(&address, 2).await;
    let mails = service.expect_mails(2).await;
    assert!(mails.iter().all(|mail| mail.to == address), "{mails:?}");
}

/// Whoever changes the password ends the links that an earlier holder of the account may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_earlier_links() {
    let service = start(Embedded).await;
    let fields = registration(&json!({ "email": EMAIL, "language": "en" }));
    assert_eq!(post(&service, "/auth/register", &fields).await.0, StatusCode::ACCEPTED);
    forget(&service, EMAIL).await;
    let link = reset_token(&service, 2).await;
    let (_, access) = log_in(&service, EMAIL, PASSWORD).await;
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let request = service.request(reqwest::Method::POST, "/auth/password").bearer_auth(access);
    let (status, _) = crate::harness::client::fetch_json(request.json(&change)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(reset(&service, &link, "Duna#2032").await.0, StatusCode::GONE);
}
