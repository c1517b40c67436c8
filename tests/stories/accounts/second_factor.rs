//! Second factor: logins require a code of an app, or a recovery code.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::links::{PAGE, token};
use super::{field_errors, post};
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, User, fetch_json, oauth_log_in};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::second_factor::App;
use crate::harness::service::Service;

const STEP: Duration = Duration::from_secs(30);

async fn send(user: &User<'_>, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    fetch_json(user.request(method, path).json(&body)).await
}

/// Second factor of a user.
struct SecondFactor<'a> {
    app: App<'a>,
    recovery_codes: Vec<String>,
}

/// Turn the second factor of a user on.
async fn turn_on<'a>(service: &'a Service, user: &User<'_>) -> SecondFactor<'a> {
    let start = json!({ "password": PASSWORD });
    let (status, created) = send(user, Method::POST, "/auth/second-factor", start).await;
    assert_eq!(status, StatusCode::OK, "{created}");
    let secret = created["secret"].as_str().expect("a secret");
    let uri = created["otpauth_uri"].as_str().expect("a URI");
    assert!(uri.starts_with("otpauth://totp/FIAP%20X:") && uri.contains(secret), "{uri}");
    let app = App::new(secret, &service.clock);
    let path = "/auth/second-factor/confirm";
    let (status, problem) =
        send(user, Method::POST, path, json!({ "code": app.wrong_code() })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["code: SECOND_FACTOR_WRONG".to_owned()].into());
    assert_eq!(user.get("/auth/me").await.1["second_factor"], json!(false));
    let (status, confirmed) = send(user, Method::POST, path, json!({ "code": app.code() })).await;
    assert_eq!(status, StatusCode::OK, "{confirmed}");
    assert_eq!(user.get("/auth/me").await.1["second_factor"], json!(true));
    let codes = confirmed["recovery_codes"].as_array().expect("a list");
    let code = |code: &Value| code.as_str().expect("a code").to_owned();
    SecondFactor { app, recovery_codes: codes.iter().map(code).collect() }
}

/// Log in; return the status and the problem's code.
async fn log_in(service: &Service, email: &str, password: &str, code: Option<&str>) -> String {
    let mut credentials = json!({ "email": email, "password": password });
    if let Some(code) = code {
        credentials["code"] = json!(code);
    }
    let (status, body) = post(service, "/auth/login", &credentials).await;
    let code = body["code"].as_str().unwrap_or("-");
    format!("{} {code}", status.as_u16())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn logins_require_a_code_that_is_used_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.logins_per_minute = 1000).await;
    service.clock.pause();
    let user = service.user().await;
    let SecondFactor { app, recovery_codes } = turn_on(&service, &user).await;
    let log_in = async |password: &str, code: Option<&str>| {
        log_in(&service, &user.email, password, code).await
    };
    assert_eq!(log_in(PASSWORD, None).await, "401 SECOND_FACTOR_REQUIRED");
    let unknown = log_in("Praia#2027", None).await;
    assert_eq!(unknown, "401 WRONG_CREDENTIALS", "only the password reveals the second factor");
    let confirmed = app.code();
    assert_eq!(log_in(PASSWORD, Some(&confirmed)).await, "401 SECOND_FACTOR_WRONG", "it was used");

    service.advance(STEP);
    assert_eq!(log_in(PASSWORD, Some(&app.wrong_code())).await, "401 SECOND_FACTOR_WRONG");
    assert_eq!(log_in("Praia#2027", Some(&app.code())).await, "401 WRONG_CREDENTIALS");
    assert_eq!(log_in(PASSWORD, Some(&app.code())).await, "200 -");
    assert_eq!(log_in(PASSWORD, Some(&app.code())).await, "401 SECOND_FACTOR_WRONG", "a replay");
    assert_eq!(user.get("/auth/me").await.0, StatusCode::OK, "earlier sessions continue");

    for code in &recovery_codes {
        assert_eq!(log_in(PASSWORD, Some(&code.to_lowercase())).await, "200 -");
        assert_eq!(log_in(PASSWORD, Some(code)).await, "401 SECOND_FACTOR_WRONG", "it was used");
    }
    assert_eq!(recovery_codes.len(), 10);
}

/// A client of OAuth 2.0 learns why its log-in fails, and may send a code.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_oauth_are_told_that_a_code_is_missing() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    service.clock.pause();
    let user = service.user().await;
    let SecondFactor { app, .. } = turn_on(&service, &user).await;
    service.advance(STEP);
    let grant =
        [("grant_type", "password"), ("username", user.email.as_str()), ("password", PASSWORD)];
    let (status, problem) = fetch_json(oauth_log_in(&service, &grant)).await;
    assert_eq!((status, &problem["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
    assert_eq!(problem["code"], "SECOND_FACTOR_REQUIRED");
    let description = problem["error_description"].as_str().expect("a text");
    assert!(description.contains("second factor") && description.contains("API key"));
    // Characters of descriptions (RFC 6749, 5.2).
    assert!(description.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"'));
    let code = app.code();
    let with_code = [&grant[..], &[("code", code.as_str())]].concat();
    let (status, session) = fetch_json(oauth_log_in(&service, &with_code)).await;
    assert_eq!((status, &session["token_type"]), (StatusCode::OK, &json!("bearer")), "{session}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn it_is_turned_off_with_password_and_code(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    service.clock.pause();
    let user = service.user().await;
    let path = "/auth/second-factor";
    let (status, problem) =
        send(&user, Method::POST, path, json!({ "password": "Praia#2027" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["password: PASSWORD_WRONG".to_owned()].into());
    let end = |password: &str, code: &str| json!({ "password": password, "code": code });
    let (status, problem) = send(&user, Method::DELETE, path, end(PASSWORD, "000000")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("SECOND_FACTOR_OFF")));
    let confirm = json!({ "code": "000000" });
    let (status, problem) = send(&user, Method::POST, "/auth/second-factor/confirm", confirm).await;
    let not_started = (StatusCode::CONFLICT, &json!("SECOND_FACTOR_NOT_STARTED"));
    assert_eq!((status, &problem["code"]), not_started);

    let app = turn_on(&service, &user).await.app;
    let (status, problem) = send(&user, Method::POST, path, json!({ "password": PASSWORD })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("SECOND_FACTOR_ON")));
    service.advance(STEP);
    let wrong = [
        ("Praia#2027", app.code(), "password: PASSWORD_WRONG"),
        (PASSWORD, app.wrong_code(), "code: SECOND_FACTOR_WRONG"),
    ];
    for (password, code, error) in wrong {
        let (status, problem) = send(&user, Method::DELETE, path, end(password, &code)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(field_errors(&problem), [error.to_owned()].into());
    }
    let off = send(&user, Method::DELETE, path, end(PASSWORD, &app.code())).await;
    assert_eq!(off, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(user.get("/auth/me").await.1["second_factor"], json!(false));
    assert_eq!(log_in(&service, &user.email, PASSWORD, None).await, "200 -");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_requires_the_code() {
    let service = Service::start().await;
    service.clock.pause();
    let user = service.user().await;
    let app = turn_on(&service, &user).await.app;
    service.advance(STEP);
    let change = async |code: Option<&str>| {
        let mut body = json!({ "current_password": PASSWORD, "new_password": "Costa#2028" });
        if let Some(code) = code {
            body["code"] = json!(code);
        }
        send(&user, Method::POST, "/auth/password", body).await
    };
    let (status, problem) = change(None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["code: SECOND_FACTOR_REQUIRED".to_owned()].into());
    assert_eq!(change(Some(&app.code())).await.0, StatusCode::NO_CONTENT);
}

/// A link of a mail replaces the password only.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_does_not_replace_the_code() {
    let service =
        Service::with(|settings| settings.server.public_url = Some(PAGE.to_owned())).await;
    service.clock.pause();
    let user = service.user().await;
    let app = turn_on(&service, &user).await.app;
    post(&service, "/auth/password/forgot", &json!({ "email": user.email })).await;
    let link = eventually("the link", || async {
        let mails = service.mails_to(&user.email, 1).await;
        mails
            .iter()
            .find(|mail| mail.subject == "Set a new password")
            .map(|mail| token(mail, "reset"))
    });
    let reset = json!({ "token": link.await, "new_password": "Costa#2028" });
    let (status, problem) = post(&service, "/auth/password/reset", &reset).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{problem}");
    let log_in = async |code: Option<&str>| log_in(&service, &user.email, "Costa#2028", code).await;
    assert_eq!(log_in(None).await, "401 SECOND_FACTOR_REQUIRED");
    service.advance(STEP);
    assert_eq!(log_in(Some(&app.code())).await, "200 -");
}

/// Somebody who knows the password guesses codes from networks that the user does not use.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_codes_are_limited_without_locking_the_user_out() {
    let service = Service::with(|settings| {
        settings.server.proxies = 1;
        settings.limits.attempts_per_address = 1000;
    })
    .await;
    let user = service.user().await;
    let log_in = async |network: &str, code: &str| {
        let credentials = json!({ "email": user.email, "password": PASSWORD, "code": code });
        let login = service.request(Method::POST, "/auth/login").json(&credentials);
        let (status, body) = fetch_json(login.header("X-Forwarded-For", network)).await;
        format!("{} {}", status.as_u16(), body["code"].as_str().unwrap_or("-"))
    };
    let home = "198.51.100.7";
    assert_eq!(log_in(home, "").await, "200 -", "there is no second factor yet");
    let SecondFactor { app, recovery_codes } = turn_on(&service, &user).await;
    for number in 0..50 {
        let network = format!("203.0.113.{number}");
        assert_eq!(log_in(&network, &app.wrong_code()).await, "401 SECOND_FACTOR_WRONG");
        service.advance(STEP);
    }
    let limited = "429 TOO_MANY_CODES";
    assert_eq!(log_in("203.0.113.99", &app.code()).await, limited, "also the right code");
    assert_eq!(log_in(home, &app.code()).await, "200 -", "the user's own network");
    let recovery = &recovery_codes[0];
    assert_eq!(log_in("192.0.2.1", recovery).await, "200 -", "recovery codes cannot be guessed");
    service.advance(Duration::from_hours(24));
    assert_eq!(log_in("203.0.113.99", &app.code()).await, "200 -");
}
