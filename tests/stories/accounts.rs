//! Accounts: registration, login, and secrets that never appear.

mod abandoned_logins;
mod access;
mod confirmation;
mod deletion;
mod disabled;
mod export;
mod forgotten_passwords;
mod links;
mod login_limits;
mod mail_choices;
mod operators;
mod passwords;
mod profile;
mod second_factor;
mod sessions;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::Service;

/// Send JSON without an access token.
async fn post(client: &Client, path: &str, body: &Value) -> (StatusCode, Value) {
    fetch_json(client.request(Method::POST, path).json(body)).await
}

/// A registration with some fields changed.
fn registration(changes: &Value) -> Value {
    let mut fields = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    for (name, value) in changes.as_object().expect("changes are an object") {
        fields[name] = value.clone();
    }
    fields
}

/// The `field: code` pairs of an error response.
fn field_errors(problem: &Value) -> BTreeSet<String> {
    let errors =
        problem["errors"].as_array().unwrap_or_else(|| panic!("no fields are named: {problem}"));
    let pair = |error: &Value| {
        assert!(error["message"].as_str().is_some_and(|message| message.ends_with('.')), "{error}");
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        format!("{}: {}", text("field"), text("code"))
    };
    errors.iter().map(pair).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_registered_once_regardless_of_case(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let (status, account) =
        post(&service, "/auth/register", &registration(&json!({ "name": "  Ana Lúcia " }))).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
    let id = account["id"].clone();
    let expected = json!({
        "id": id,
        "email": "ana@example.com",
        "name": "Ana Lúcia",
        "language": "pt",
        "second_factor": false,
        "created_at": account["created_at"],
        "mails": "each",
        "time_zone": null,
        "confirmed": true,
    });
    assert_eq!(account, expected);

    let again = registration(&json!({ "email": "ANA@Example.COM", "name": "Eve" }));
    let (status, problem) = post(&service, "/auth/register", &again).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EMAIL_TAKEN")));

    // The second registration changes nothing.
    let row = service
        .database()
        .user_by_email("ana@example.com")
        .await
        .expect("the database responds")
        .expect("the user exists");
    assert_eq!((json!(row.id.0), row.name.as_str()), (id.clone(), "Ana Lúcia"));
    assert!(row.password_hash.starts_with("$argon2id$"), "{}", row.password_hash);
    let (status, session) =
        post(&service, "/auth/login", &json!({ "email": "Ana@EXAMPLE.com", "password": PASSWORD }))
            .await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let me = service
        .request(Method::GET, "/auth/me")
        .bearer_auth(session["access_token"].as_str().expect("a token"));
    assert_eq!(fetch_json(me).await, (StatusCode::OK, account));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invalid_field_is_named() {
    let service = Service::start().await;
    for (changes, expected) in invalid_registrations() {
        let (status, problem) = post(&service, "/auth/register", &registration(&changes)).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("INVALID_FIELDS")),
            "{changes} {problem}"
        );
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(field_errors(&problem), expected, "{changes}");
    }
    let (status, problem) = post(&service, "/auth/register", &json!({ "name": "Ana" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        field_errors(&problem),
        ["email: FIELD_MISSING", "password: FIELD_MISSING"].map(str::to_owned).into()
    );
    let row =
        service.database().user_by_email("ana@example.com").await.expect("the database responds");
    assert_eq!(row, None, "an invalid registration created a user");

    // The longest valid values.
    let longest =
        json!({ "password": format!("Praia#2026{}", "x".repeat(246)), "name": "ã".repeat(100) });
    let (status, account) = post(&service, "/auth/register", &registration(&longest)).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
}

/// Invalid changes of a registration, and the errors that they cause.
fn invalid_registrations() -> Vec<(Value, Vec<&'static str>)> {
    let (short, upper, digit, special) = (
        "password: PASSWORD_TOO_SHORT",
        "password: PASSWORD_NO_UPPER_CASE",
        "password: PASSWORD_NO_DIGIT",
        "password: PASSWORD_NO_SPECIAL",
    );
    let (long, name, email) =
        ("password: PASSWORD_TOO_LONG", "name: NAME_INVALID", "email: EMAIL_INVALID");
    let local = "x".repeat(65);
    vec![
        (json!({ "password": "" }), vec![short, upper, digit, special]),
        (json!({ "password": "Aa1#567" }), vec![short]),
        (json!({ "password": "praia#2026" }), vec![upper]),
        (json!({ "password": "Praia#abc" }), vec![digit]),
        (json!({ "password": "Praia2026" }), vec![special]),
        (json!({ "password": "Praia 2026" }), vec![special]),
        (json!({ "password": format!("Praia#2026{}", "x".repeat(247)) }), vec![long]),
        (json!({ "name": "" }), vec![name]),
        (json!({ "name": " \t " }), vec![name]),
        (json!({ "name": "x".repeat(101) }), vec![name]),
        (json!({ "name": "Ana\r\nBcc: eve@example.com" }), vec![name]),
        (json!({ "name": "Ana\u{0}" }), vec![name]),
        (json!({ "email": "" }), vec![email]),
        (json!({ "email": "ana" }), vec![email]),
        (json!({ "email": "ana@" }), vec![email]),
        (json!({ "email": "@example.com" }), vec![email]),
        (json!({ "email": "ana@example.com\r\nBcc: eve@example.com" }), vec![email]),
        (json!({ "email": "Ana <ana@example.com>" }), vec![email]),
        (json!({ "email": "\"ana eve\"@example.com" }), vec![email]),
        (json!({ "email": "ana@[127.0.0.1]" }), vec![email]),
        (json!({ "email": format!("{local}@example.com") }), vec![email]),
        (json!({ "email": format!("ana@{}example.com", "x.".repeat(130)) }), vec![email]),
        (json!({ "email": "ana", "password": "praia#2026", "name": "" }), vec![email, upper, name]),
        (
            json!({ "email": 1, "name": ["Ana"] }),
            vec!["email: FIELD_NO_TEXT", "name: FIELD_NO_TEXT"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_chosen_or_derived_from_the_request() {
    let service = Service::start().await;
    let cases = [
        (None, None, "pt"),
        (None, Some("en-GB,en;q=0.9,pt;q=0.8"), "en"),
        (None, Some("de, pt-BR;q=0.7, en;q=0.3"), "pt"),
        (None, Some("de"), "pt"),
        (Some("en"), Some("pt-BR"), "en"),
        (Some("pt"), Some("en"), "pt"),
    ];
    for (number, (chosen, header, expected)) in cases.into_iter().enumerate() {
        let mut fields = registration(&json!({ "email": format!("ana{number}@example.com") }));
        if let Some(chosen) = chosen {
            fields["language"] = json!(chosen);
        }
        let request = service.request(Method::POST, "/auth/register").json(&fields);
        let request = header
            .into_iter()
            .fold(request, |request, header| request.header(ACCEPT_LANGUAGE, header));
        let (status, account) = fetch_json(request).await;
        assert_eq!(
            (status, &account["language"]),
            (StatusCode::CREATED, &json!(expected)),
            "{chosen:?} {header:?}"
        );
    }
    let (status, problem) =
        post(&service, "/auth/register", &registration(&json!({ "language": "de" }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_get_the_same_response() {
    let service = Service::start().await;
    let user = service.user().await;
    let mut responses = Vec::new();
    for credentials in [
        json!({ "email": user.email, "password": "Praia#2027" }),
        json!({ "email": user.email, "password": "" }),
        json!({ "email": user.email, "password": "x".repeat(10_000) }),
        json!({ "email": "nobody@example.com", "password": PASSWORD }),
        json!({ "email": "no address", "password": PASSWORD }),
    ] {
        let response = service
            .request(Method::POST, "/auth/login")
            .json(&credentials)
            .send()
            .await
            .expect("the service responds");
        let headers: BTreeSet<String> =
            response.headers().keys().map(ToString::to_string).collect();
        responses.push((
            response.status(),
            headers,
            response.text().await.expect("the response completes"),
        ));
    }
    assert_eq!(responses[0].0, StatusCode::UNAUTHORIZED);
    assert!(responses.iter().all(|response| *response == responses[0]), "{responses:#?}");

    let (status, session) =
        post(&service, "/auth/login", &json!({ "email": user.email, "password": PASSWORD })).await;
    let [access, refresh] = ["access_token", "refresh_token"].map(|name| session[name].clone());
    let minutes =
        crate::harness::service::settings(service.directory.path()).accounts.access_minutes;
    let expected = json!({
        "access_token": access,
        "refresh_token": refresh,
        "token_type": "bearer",
        "expires_in": 60 * minutes,
    });
    assert_eq!((status, session), (StatusCode::OK, expected));
}

/// A lookup takes a millisecond and hashing a password twenty, so a difference in time would reveal
/// which users exist.
#[tokio::test(flavor = "multi_thread")]
async fn the_response_time_does_not_reveal_unknown_users() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    let user = service.user().await;
    let attempt = async |email: &str| {
        let credentials = json!({ "email": email, "password": "Praia#2027" });
        let started = Instant::now();
        let (status, _) = post(&service, "/auth/login", &credentials).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        started.elapsed()
    };
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    // By turns, so that a busy machine slows both.
    for _ in 0..10 {
        known = known.min(attempt(&user.email).await);
        unknown = unknown.min(attempt("nobody@example.com").await);
    }
    assert!(unknown > known / 2 && known > unknown / 2, "{known:?} and {unknown:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn logins_are_limited_for_each_address(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let attempt = async |email: &str, password: &str| {
        let credentials = json!({ "email": email, "password": password });
        let response = service
            .request(Method::POST, "/auth/login")
            .json(&credentials)
            .send()
            .await
            .expect("the service responds");
        (response.status(), response.headers().clone())
    };
    let number = |headers: &HeaderMap, name: &str| -> u64 {
        let value = headers.get(name).unwrap_or_else(|| panic!("no {name}: {headers:?}"));
        value.to_str().expect("it is text").parse().expect("it is a number")
    };
    // The login of the new user counts as the first of ten.
    for _ in 1..10 {
        assert_eq!(attempt(&user.email, "Praia#2027").await.0, StatusCode::UNAUTHORIZED);
    }
    // Another case is the same address, and the right password makes no difference.
    let (status, headers) = attempt(&user.email.to_uppercase(), PASSWORD).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let [after, limit, remaining, reset] =
        ["retry-after", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]
            .map(|name| number(&headers, name));
    assert_eq!((limit, remaining, after), (10, 0, reset));
    assert!((1..=60).contains(&after), "{headers:?}");
    assert_eq!(
        attempt(&other.email, PASSWORD).await.0,
        StatusCode::OK,
        "another user is not limited"
    );

    service.advance(Duration::from_mins(1));
    assert_eq!(attempt(&user.email, PASSWORD).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_bodies_have_distinct_codes() {
    let service = Service::start().await;
    let large = format!("\"{}\"", "x".repeat(70 << 10));
    for path in ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"] {
        let cases = [
            (Some("application/json"), "{\"email\": ", StatusCode::BAD_REQUEST, "INVALID_JSON"),
            (Some("application/json"), "", StatusCode::BAD_REQUEST, "INVALID_JSON"),
            (Some("application/json"), "[]", StatusCode::UNPROCESSABLE_ENTITY, "INVALID_BODY"),
            (Some("application/json"), "null", StatusCode::UNPROCESSABLE_ENTITY, "INVALID_BODY"),
            (Some("application/json"), "{}", StatusCode::UNPROCESSABLE_ENTITY, "INVALID_FIELDS"),
            (Some("application/json"), &large, StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"),
            (
                Some("text/plain"),
                "{}",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
            ),
            (None, "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"),
        ];
        for (content_type, body, status, code) in cases {
            let request = service.request(Method::POST, path).body(body.to_owned());
            let request = content_type
                .into_iter()
                .fold(request, |request, value| request.header(CONTENT_TYPE, value));
            let (actual, problem) = fetch_json(request).await;
            let case =
                format!("{path} {content_type:?} {}: {problem}", &body[..body.len().min(20)]);
            assert_eq!(
                (actual, &problem["code"], &problem["status"]),
                (status, &json!(code), &json!(status.as_u16())),
                "{case}"
            );
        }
    }
}

/// Use every endpoint with secrets, valid and invalid ones; return the secrets and the user's id.
async fn use_secrets(process: &Process) -> (Vec<String>, String) {
    let [typo, rejected, garbage] =
        ["Praia#Typo2027", "nodigitsandnocapitals", "garbage.in.tokens"];
    let user = process.user().await;
    post(process, "/auth/login", &json!({ "email": user.email, "password": typo })).await;
    post(process, "/auth/login", &json!({ "email": "nobody@example.com", "password": typo })).await;
    post(process, "/auth/register", &registration(&json!({ "password": rejected }))).await;
    post(process, "/auth/register", &json!({ "password": PASSWORD, "email": 7 })).await;
    let refresh = json!({ "refresh_token": user.refresh });
    let (status, renewed) = post(process, "/auth/refresh", &refresh).await;
    assert_eq!(status, StatusCode::OK);
    // The second use may be a repetition, the third cannot.
    post(process, "/auth/refresh", &refresh).await;
    let (status, _) = post(process, "/auth/refresh", &refresh).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "the reuse is detected, and logged");
    post(process, "/auth/logout", &json!({ "refresh_token": renewed["refresh_token"] })).await;
    for token in [user.access.as_str(), garbage] {
        fetch_json(process.request(Method::GET, "/auth/me").bearer_auth(token)).await;
    }
    let basic = process.request(Method::GET, "/auth/me");
    fetch_json(basic.header(AUTHORIZATION, format!("Basic {garbage}"))).await;
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&user.refresh));
    let text = |value: &Value| value.as_str().expect("a token").to_owned();
    let mut secrets = vec![
        user.access.clone(),
        user.refresh.clone(),
        hash,
        text(&renewed["access_token"]),
        text(&renewed["refresh_token"]),
    ];
    secrets.extend([PASSWORD, typo, rejected, garbage, &user.email].map(str::to_owned));
    (secrets, user.id.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_contains_no_secrets() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("LOG_LEVEL", "trace")]);
    let (mut secrets, id) = use_secrets(&process).await;
    let log = process.terminate();

    let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
    let key =
        std::fs::read_to_string(directory.path().join("jwt-secret")).expect("the key is stored");
    secrets.extend(["$argon2id$", key.trim()].map(str::to_owned));
    for secret in &secrets {
        let leak = lines.iter().find(|line| line.contains(secret.as_str()));
        assert_eq!(leak, None, "the log contains {secret}");
    }
    // The log does contain these requests.
    for expected in [
        "a user registered",
        "a user logged in",
        "a spent refresh token was used again",
        &id,
        "/auth/logout",
    ] {
        assert!(lines.iter().any(|line| line.contains(expected)), "the log lacks {expected}");
    }
}
