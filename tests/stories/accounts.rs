//! Accounts: who gets in, who does not, and what nobody gets to see.

mod disabled;
mod guesses;
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

use crate::harness::scratch;
use crate::parts::Parts::{self, Embedded, Servers};
use crate::process::Process;
use crate::service::{Client, PASSWORD, Service, answer};

/// Send JSON without an access token.
async fn post(client: &Client, path: &str, body: &Value) -> (StatusCode, Value) {
    answer(client.request(Method::POST, path).json(body)).await
}

/// A registration of Ana with other fields in it.
fn registration(changes: &Value) -> Value {
    let mut fields = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    for (name, value) in changes.as_object().expect("changes are an object") {
        fields[name] = value.clone();
    }
    fields
}

/// The `field: code` pairs of a refusal.
fn lacks(problem: &Value) -> BTreeSet<String> {
    let errors =
        problem["errors"].as_array().unwrap_or_else(|| panic!("no fields are named: {problem}"));
    let told = |error: &Value| {
        assert!(error["message"].as_str().is_some_and(|message| message.ends_with('.')), "{error}");
        format!(
            "{}: {}",
            error["field"].as_str().unwrap_or_default(),
            error["code"].as_str().unwrap_or_default()
        )
    };
    errors.iter().map(told).collect()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_registered_once_in_any_case_of_letters(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let (status, account) =
        post(&service, "/auth/register", &registration(&json!({ "name": "  Ana Lúcia " }))).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
    let id = account["id"].clone();
    let expected = json!({
        "id": id, "email": "ana@example.com", "name": "Ana Lúcia", "language": "pt", "created_at": account["created_at"],
    });
    assert_eq!(account, expected);

    let again = registration(&json!({ "email": "ANA@Example.COM", "name": "Eve" }));
    let (status, problem) = post(&service, "/auth/register", &again).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("EMAIL_TAKEN")));

    // Nothing of the second is kept.
    let row = service
        .database()
        .user_by_email("ana@example.com")
        .await
        .expect("the rows can be read")
        .expect("she is there");
    assert_eq!((json!(row.id.0), row.name.as_str()), (id.clone(), "Ana Lúcia"));
    assert!(row.password_hash.starts_with("$argon2id$"), "{}", row.password_hash);
    let (status, session) =
        post(&service, "/auth/login", &json!({ "email": "Ana@EXAMPLE.com", "password": PASSWORD }))
            .await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let me = service
        .request(Method::GET, "/auth/me")
        .bearer_auth(session["access_token"].as_str().expect("a token"));
    assert_eq!(answer(me).await, (StatusCode::OK, account));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_wrong_is_named() {
    let service = Service::start().await;
    let (short, upper, digit, special) = (
        "password: PASSWORD_TOO_SHORT",
        "password: PASSWORD_NO_UPPER_CASE",
        "password: PASSWORD_NO_DIGIT",
        "password: PASSWORD_NO_SPECIAL",
    );
    let (long, name, email) =
        ("password: PASSWORD_TOO_LONG", "name: NAME_INVALID", "email: EMAIL_INVALID");
    let local = "x".repeat(65);
    let cases: [(Value, &[&str]); 24] = [
        (json!({ "password": "" }), &[short, upper, digit, special]),
        (json!({ "password": "Aa1#567" }), &[short]),
        (json!({ "password": "praia#2026" }), &[upper]),
        (json!({ "password": "Praia#abc" }), &[digit]),
        (json!({ "password": "Praia2026" }), &[special]),
        (json!({ "password": "Praia 2026" }), &[special]),
        (json!({ "password": format!("Praia#2026{}", "x".repeat(119)) }), &[long]),
        (json!({ "name": "" }), &[name]),
        (json!({ "name": " \t " }), &[name]),
        (json!({ "name": "x".repeat(101) }), &[name]),
        (json!({ "name": "Ana\r\nBcc: eve@example.com" }), &[name]),
        (json!({ "name": "Ana\u{0}" }), &[name]),
        (json!({ "email": "" }), &[email]),
        (json!({ "email": "ana" }), &[email]),
        (json!({ "email": "ana@" }), &[email]),
        (json!({ "email": "@example.com" }), &[email]),
        (json!({ "email": "ana@example.com\r\nBcc: eve@example.com" }), &[email]),
        (json!({ "email": "Ana <ana@example.com>" }), &[email]),
        (json!({ "email": "\"ana eve\"@example.com" }), &[email]),
        (json!({ "email": "ana@[127.0.0.1]" }), &[email]),
        (json!({ "email": format!("{local}@example.com") }), &[email]),
        (json!({ "email": format!("ana@{}example.com", "x.".repeat(130)) }), &[email]),
        (json!({ "email": "ana", "password": "praia#2026", "name": "" }), &[email, upper, name]),
        (json!({ "email": 1, "name": ["Ana"] }), &["email: FIELD_NO_TEXT", "name: FIELD_NO_TEXT"]),
    ];
    for (changes, expected) in cases {
        let (status, problem) = post(&service, "/auth/register", &registration(&changes)).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("INVALID_FIELDS")),
            "{changes} {problem}"
        );
        assert_eq!(
            lacks(&problem),
            expected.iter().map(ToString::to_string).collect(),
            "{changes}"
        );
    }
    let (status, problem) = post(&service, "/auth/register", &json!({ "name": "Ana" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        lacks(&problem),
        ["email: FIELD_MISSING", "password: FIELD_MISSING"].map(str::to_owned).into()
    );
    // None of them is a user now, and the longest of everything is fine.
    let row =
        service.database().user_by_email("ana@example.com").await.expect("the rows can be read");
    assert_eq!(row, None);
    let longest =
        json!({ "password": format!("Praia#2026{}", "x".repeat(118)), "name": "ã".repeat(100) });
    let (status, account) = post(&service, "/auth/register", &registration(&longest)).await;
    assert_eq!(status, StatusCode::CREATED, "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_asked_for_or_guessed() {
    let service = Service::start().await;
    let cases = [
        (None, None, "pt"),
        (None, Some("en-GB,en;q=0.9,pt;q=0.8"), "en"),
        (None, Some("de, pt-BR;q=0.7, en;q=0.3"), "pt"),
        (None, Some("de"), "pt"),
        (Some("en"), Some("pt-BR"), "en"),
        (Some("pt"), Some("en"), "pt"),
    ];
    for (number, (asked, header, expected)) in cases.into_iter().enumerate() {
        let mut fields = registration(&json!({ "email": format!("ana{number}@example.com") }));
        if let Some(asked) = asked {
            fields["language"] = json!(asked);
        }
        let request = service.request(Method::POST, "/auth/register").json(&fields);
        let request = header
            .into_iter()
            .fold(request, |request, header| request.header(ACCEPT_LANGUAGE, header));
        let (status, account) = answer(request).await;
        assert_eq!(
            (status, &account["language"]),
            (StatusCode::CREATED, &json!(expected)),
            "{asked:?} {header:?}"
        );
    }
    let (status, problem) =
        post(&service, "/auth/register", &registration(&json!({ "language": "de" }))).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let service = Service::start().await;
    let user = service.user().await;
    let mut answers = Vec::new();
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
            .expect("the service answers");
        let headers: BTreeSet<String> =
            response.headers().keys().map(ToString::to_string).collect();
        answers.push((
            response.status(),
            headers,
            response.text().await.expect("the answer comes whole"),
        ));
    }
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");

    let (status, session) =
        post(&service, "/auth/login", &json!({ "email": user.email, "password": PASSWORD })).await;
    let [access, refresh] = ["access_token", "refresh_token"].map(|name| session[name].clone());
    let minutes = crate::service::settings(service.directory.path()).accounts.access_minutes;
    let expected = json!({ "access_token": access, "refresh_token": refresh, "token_type": "bearer", "expires_in": 60 * minutes });
    assert_eq!((status, session), (StatusCode::OK, expected));
}

/// Looking for a user takes a millisecond, hashing a password twenty times as long: whoever is told
/// apart is told apart by that.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    let user = service.user().await;
    let quickest = async |email: &str| {
        let mut times = Vec::new();
        for _ in 0..5 {
            let begun = Instant::now();
            let (status, _) =
                post(&service, "/auth/login", &json!({ "email": email, "password": "Praia#2027" }))
                    .await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            times.push(begun.elapsed());
        }
        times.into_iter().min().expect("there were some")
    };
    let (known, unknown) = (quickest(&user.email).await, quickest("nobody@example.com").await);
    assert!(unknown > known / 2 && known > unknown / 2, "{known:?} and {unknown:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn guessing_passwords_is_slow(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let attempt = async |email: &str, password: &str| {
        let credentials = json!({ "email": email, "password": password });
        let response = service
            .request(Method::POST, "/auth/login")
            .json(&credentials)
            .send()
            .await
            .expect("the service answers");
        (response.status(), response.headers().clone())
    };
    let number = |headers: &HeaderMap, name: &str| -> u64 {
        let value = headers.get(name).unwrap_or_else(|| panic!("there is no {name}: {headers:?}"));
        value.to_str().expect("it is text").parse().expect("it is a number")
    };
    // The log-in of the new user counts as the first of ten.
    for _ in 1..10 {
        assert_eq!(attempt(&user.email, "Praia#2027").await.0, StatusCode::UNAUTHORIZED);
    }
    // Other letters are no other address, and the right password does not help.
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
        "somebody else is not held up"
    );

    service.advance(Duration::from_mins(1));
    assert_eq!(attempt(&user.email, PASSWORD).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_none_are_told_apart() {
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
            let (answered, problem) = answer(request).await;
            let what =
                format!("{path} {content_type:?} {}: {problem}", &body[..body.len().min(20)]);
            assert_eq!(
                (answered, &problem["code"], &problem["status"]),
                (status, &json!(code), &json!(status.as_u16())),
                "{what}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_holds_no_secret() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("LOG_LEVEL", "trace")]);
    let [typo, rejected, garbage] =
        ["Praia#Typo2027", "nodigitsandnocapitals", "garbage.in.tokens"];
    let (email, account) = {
        let user = process.user().await;
        post(&process, "/auth/login", &json!({ "email": user.email, "password": typo })).await;
        post(&process, "/auth/login", &json!({ "email": "nobody@example.com", "password": typo }))
            .await;
        post(&process, "/auth/register", &registration(&json!({ "password": rejected }))).await;
        post(&process, "/auth/register", &json!({ "password": PASSWORD, "email": 7 })).await;
        let (status, renewed) =
            post(&process, "/auth/refresh", &json!({ "refresh_token": user.refresh })).await;
        assert_eq!(status, StatusCode::OK);
        let (status, _) =
            post(&process, "/auth/refresh", &json!({ "refresh_token": user.refresh })).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "a spent one is noticed, and logged");
        post(&process, "/auth/logout", &json!({ "refresh_token": renewed["refresh_token"] })).await;
        for token in [user.access.as_str(), garbage] {
            answer(process.request(Method::GET, "/auth/me").bearer_auth(token)).await;
        }
        answer(
            process
                .request(Method::GET, "/auth/me")
                .header(AUTHORIZATION, format!("Basic {garbage}")),
        )
        .await;
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&user.refresh));
        let text = |value: &Value| value.as_str().expect("a token").to_owned();
        let tokens = [
            user.access.clone(),
            user.refresh.clone(),
            hash,
            text(&renewed["access_token"]),
            text(&renewed["refresh_token"]),
        ];
        (user.email.clone(), (user.id.clone(), tokens))
    };
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{status}");

    let (id, tokens) = account;
    let lines: Vec<String> = log.iter().map(ToString::to_string).collect();
    let secret =
        std::fs::read_to_string(directory.path().join("jwt-secret")).expect("the key is kept");
    let secrets =
        [PASSWORD, typo, rejected, garbage, &email, "$argon2id$", secret.trim()].map(str::to_owned);
    for secret in secrets.iter().chain(&tokens) {
        let told = lines.iter().find(|line| line.contains(secret.as_str()));
        assert_eq!(told, None, "the log tells {secret}");
    }
    // The log is that of these requests.
    for expected in [
        "a user registered",
        "a user logged in",
        "a spent refresh token was used again",
        &id,
        "/auth/logout",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "the log does not tell of {expected}"
        );
    }
}
