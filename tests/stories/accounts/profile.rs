//! Changes of the name, the language and the address of a user.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::links::{account, log_in, open, start, token};
use super::{field_errors, post, registration};
use crate::harness::client::{PASSWORD, User, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const NEW_EMAIL: &str = "nova@example.com";

/// Send JSON as a user.
async fn send(user: &User<'_>, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
    fetch_json(user.request(method, path).json(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_language_can_be_changed() {
    let service = Service::start().await;
    let user = service.user().await;
    let update = async |body: Value| send(&user, Method::PATCH, "/auth/me", &body).await;
    let (status, changed) = update(json!({ "name": " Ana Lúcia ", "language": "pt" })).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!((&changed["name"], &changed["language"]), (&json!("Ana Lúcia"), &json!("pt")));
    let (status, unchanged) = update(json!({})).await;
    assert_eq!((status, &unchanged), (StatusCode::OK, &changed));
    let (_, changed) = update(json!({ "language": "en" })).await;
    assert_eq!((&changed["name"], &changed["language"]), (&json!("Ana Lúcia"), &json!("en")));
    assert_eq!(account(&service, &user.access).await, changed);

    for name in ["", "  ", "Ana\r\nBcc: eve@example.com"] {
        let (status, problem) = update(json!({ "name": name })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(field_errors(&problem), ["name: NAME_INVALID".to_owned()].into());
    }
    // The address needs a confirmation.
    let (status, _) = update(json!({ "email": "eve@example.com" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(account(&service, &user.access).await, changed);
}

/// The new address takes effect when it is confirmed, and the owner of the present one is warned
/// twice.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_changes_when_it_is_confirmed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| {
        settings.server.public_url = Some(super::links::PAGE.to_owned());
    });
    let service = service.await;
    let user = service.user().await;
    let change = async |email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        send(&user, Method::POST, "/auth/address", &body).await
    };
    for (email, password, error) in [
        (NEW_EMAIL, "wrong", "password: PASSWORD_WRONG"),
        ("no address", PASSWORD, "email: EMAIL_INVALID"),
        (&user.email, PASSWORD, "email: EMAIL_UNCHANGED"),
    ] {
        let (status, problem) = change(email, password).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(field_errors(&problem), [error.to_owned()].into());
    }
    assert_eq!(change("Nova@Example.com", PASSWORD).await, (StatusCode::ACCEPTED, Value::Null));
    assert_eq!(account(&service, &user.access).await["email"], json!(user.email));
    let link = token(&service.mails_to(NEW_EMAIL, 1).await[0], "change-address");
    assert_eq!(open(&service, "/auth/confirm", &link).await.0, StatusCode::GONE);
    let confirmed = open(&service, "/auth/address/confirm", &link).await;
    assert_eq!(confirmed, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(open(&service, "/auth/address/confirm", &link).await.0, StatusCode::GONE);

    assert_eq!(account(&service, &user.access).await["email"], json!(NEW_EMAIL));
    assert_eq!(log_in(&service, NEW_EMAIL, PASSWORD).await.0, StatusCode::OK);
    assert_eq!(log_in(&service, &user.email, PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    let subjects: Vec<_> =
        service.mails_to(&user.email, 2).await.into_iter().map(|mail| mail.subject).collect();
    let expected =
        ["A change of your e-mail address was requested", "Your e-mail address was changed"];
    assert_eq!(subjects, expected);
    drop(user);
    service.expect_mails(3).await;
}

/// The response does not reveal that an address belongs to somebody else, who gets a notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_address_gets_a_notice_instead_of_a_link() {
    let service = start(Embedded).await;
    for email in ["ana@example.com", "bia@example.com"] {
        let fields = registration(&json!({ "email": email, "language": "en" }));
        assert_eq!(post(&service, "/auth/register", &fields).await.0, StatusCode::ACCEPTED);
    }
    let (_, access) = log_in(&service, "ana@example.com", PASSWORD).await;
    let body = json!({ "email": "bia@example.com", "password": PASSWORD });
    let request = service.request(Method::POST, "/auth/address").bearer_auth(&access).json(&body);
    assert_eq!(fetch_json(request).await, (StatusCode::ACCEPTED, Value::Null));
    let mails = service.mails_to("bia@example.com", 2).await;
    assert_eq!(mails[1].subject, "You already have an account");
    assert_eq!(account(&service, &access).await["email"], json!("ana@example.com"));
}
