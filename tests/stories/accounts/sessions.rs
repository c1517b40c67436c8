//! Sessions: tokens, their lifetimes, and how sessions end.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::post;
use crate::harness::client::{Client, PASSWORD, User, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const SECRET: &str = "a secret that is long enough for the stories";

/// Tokens of a renewed session.
#[derive(Debug, PartialEq, Eq)]
struct Renewed {
    access: String,
    refresh: String,
}

/// Renew a session; return its new tokens, or the error code.
async fn refresh(client: &Client, token: &str) -> Result<Renewed, String> {
    let (status, body) = post(client, "/auth/refresh", &json!({ "refresh_token": token })).await;
    let text =
        |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
    match status {
        StatusCode::OK => {
            Ok(Renewed { access: text("access_token"), refresh: text("refresh_token") })
        }
        StatusCode::UNAUTHORIZED => Err(text("code")),
        other => panic!("{other}: {body}"),
    }
}

/// Get the account of an access token.
async fn me(client: &Client, token: &str) -> (StatusCode, Value) {
    fetch_json(client.request(Method::GET, "/auth/me").bearer_auth(token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_and_logged_out() {
    let service = Service::start().await;
    let user = service.user().await;
    let first = refresh(&service, &user.refresh).await.expect("the token is unused");
    assert_ne!(first.refresh, user.refresh);
    assert_eq!(me(&service, &first.access).await.1["id"], json!(user.id));
    let newest = refresh(&service, &first.refresh).await.expect("the token is unused").refresh;

    for _ in 0..2 {
        let (status, body) =
            post(&service, "/auth/logout", &json!({ "refresh_token": newest })).await;
        assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    }
    assert_eq!(refresh(&service, &newest).await, Err("TOKEN_INVALID".to_owned()));
    let (status, _) = post(&service, "/auth/logout", &json!({ "refresh_token": "unknown" })).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "the response does not reveal which tokens exist");
    assert_eq!(refresh(&service, "unknown").await, Err("TOKEN_INVALID".to_owned()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn reusing_a_refresh_token_ends_only_its_session(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut elsewhere = service.user().await;
    elsewhere.email.clone_from(&user.email);
    elsewhere.log_in_again().await;

    let newer = refresh(&service, &user.refresh).await.expect("the token is unused").refresh;
    let newest = refresh(&service, &newer).await.expect("the token is unused").refresh;
    assert_eq!(refresh(&service, &user.refresh).await, Err("TOKEN_REUSED".to_owned()));
    for token in [&newest, &newer, &user.refresh] {
        assert!(refresh(&service, token).await.is_err());
    }
    assert!(
        refresh(&service, &elsewhere.refresh).await.is_ok(),
        "the user's session on another device is still valid"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reuse_of_a_refresh_token_ends_the_session(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.limits.attempts_per_address = 1000).await;
    service.clock.pause();
    for _ in 0..5 {
        let user = service.user().await;
        let results = join_all((0..20).map(|_| refresh(&service, &user.refresh))).await;
        let renewed: Vec<&String> =
            results.iter().filter_map(|result| Some(&result.as_ref().ok()?.refresh)).collect();
        assert!(renewed.len() == 2 && renewed[0] == renewed[1], "one chain: {results:?}");
        assert!(
            results
                .iter()
                .all(|result| result.as_ref().err().is_none_or(|code| code == "TOKEN_REUSED")),
            "{results:?}"
        );
        assert_eq!(refresh(&service, renewed[0]).await, Err("TOKEN_INVALID".to_owned()));
        assert!(refresh(&service, &user.refresh).await.is_err());
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_may_be_repeated_once_within_ten_seconds(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    service.clock.pause();
    let reused = || Err("TOKEN_REUSED".to_owned());
    // The response is lost.
    let user = service.user().await;
    let lost = refresh(&service, &user.refresh).await.expect("the token is unused");
    service.advance(Duration::from_millis(9_999));
    let repeated = refresh(&service, &user.refresh).await.expect("the token may be repeated");
    assert_eq!(repeated.refresh, lost.refresh);
    assert_eq!(me(&service, &repeated.access).await.1["id"], json!(user.id));
    let next = refresh(&service, &repeated.refresh).await.expect("the token is unused");
    assert_eq!(refresh(&service, &user.refresh).await, reused(), "the successor was used");
    assert!(refresh(&service, &next.refresh).await.is_err(), "the session has ended");

    // Two tabs.
    let user = service.user().await;
    let both = [refresh(&service, &user.refresh), refresh(&service, &user.refresh)];
    let [one, other] = join_all(both).await.try_into().expect("two results");
    let (one, other) = (one.expect("the first use"), other.expect("the second use"));
    assert_eq!(one.refresh, other.refresh);
    let next = refresh(&service, &one.refresh).await.expect("the token is unused");
    assert!(refresh(&service, &next.refresh).await.is_ok());

    let user = service.user().await;
    let newest = refresh(&service, &user.refresh).await.expect("the token is unused");
    service.advance(Duration::from_secs(10));
    assert_eq!(refresh(&service, &user.refresh).await, reused(), "ten seconds have passed");
    assert!(refresh(&service, &newest.refresh).await.is_err(), "the session has ended");

    let user = service.user().await;
    for _ in 0..2 {
        refresh(&service, &user.refresh).await.expect("two uses are allowed");
    }
    assert_eq!(refresh(&service, &user.refresh).await, reused(), "the third use");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tokens_expire(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let accounts = crate::harness::service::settings(service.directory.path()).accounts;
    let lifetime = Duration::from_mins(accounts.access_minutes);
    // The story itself takes time, so it does not test the exact second.
    service.advance(lifetime.saturating_sub(Duration::from_mins(1)));
    assert_eq!(me(&service, &user.access).await.0, StatusCode::OK);
    service.advance(Duration::from_mins(1));
    let (status, problem) = me(&service, &user.access).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_EXPIRED")));

    let renewed = refresh(&service, &user.refresh).await.expect("it is valid for days");
    assert_eq!(me(&service, &renewed.access).await.0, StatusCode::OK);
    service.advance(Duration::from_hours(24 * accounts.refresh_days));
    assert_eq!(refresh(&service, &renewed.refresh).await, Err("TOKEN_INVALID".to_owned()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_all_sessions(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let credentials = |password: &str| json!({ "email": user.email, "password": password });
    let (_, elsewhere) = post(&service, "/auth/login", &credentials(PASSWORD)).await;
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        fetch_json(user.request(Method::POST, "/auth/password").json(&body)).await
    };
    let field_error = |problem: &Value| {
        (problem["errors"][0]["field"].clone(), problem["errors"][0]["code"].clone())
    };
    let (status, problem) = change("Praia#2027", "Costa#2028").await;
    assert_eq!(
        (status, field_error(&problem)),
        (StatusCode::UNPROCESSABLE_ENTITY, (json!("current_password"), json!("PASSWORD_WRONG")))
    );
    let (status, problem) = change(PASSWORD, "Costa#a").await;
    assert_eq!(
        (status, field_error(&problem)),
        (StatusCode::UNPROCESSABLE_ENTITY, (json!("new_password"), json!("PASSWORD_TOO_SHORT")))
    );
    assert_eq!(user.get("/auth/me").await.0, StatusCode::OK, "the session is still valid");

    assert_eq!(change(PASSWORD, "Costa#2028").await, (StatusCode::NO_CONTENT, Value::Null));
    for access in [user.access.as_str(), elsewhere["access_token"].as_str().expect("a token")] {
        let (status, problem) =
            fetch_json(service.request(Method::GET, "/auth/me").bearer_auth(access)).await;
        assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));
    }
    for refresh in [user.refresh.as_str(), elsewhere["refresh_token"].as_str().expect("a token")] {
        let (status, _) =
            post(&service, "/auth/refresh", &json!({ "refresh_token": refresh })).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(
        post(&service, "/auth/login", &credentials(PASSWORD)).await.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, session) = post(&service, "/auth/login", &credentials("Costa#2028")).await;
    assert_eq!(status, StatusCode::OK);
    let access = session["access_token"].as_str().expect("a token");
    assert_eq!(
        fetch_json(service.request(Method::GET, "/auth/me").bearer_auth(access)).await.0,
        StatusCode::OK
    );
}

/// Access tokens signed with [`SECRET`], with changed claims.
struct Forgery {
    user: String,
    now: i64,
}

impl Forgery {
    /// Valid claims with some changed.
    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({
            "iss": "fiapx",
            "aud": "fiapx-api",
            "sub": self.user,
            "jti": self.user,
            "iat": self.now,
            "exp": self.now + 600,
            "type": "access",
        });
        for (name, value) in changes.as_object().expect("changes are an object") {
            claims[name] = value.clone();
        }
        claims
    }

    fn signed(&self, changes: &Value) -> String {
        sign(Algorithm::HS256, &self.claims(changes), SECRET)
    }

    fn without(&self, name: &str) -> String {
        let mut claims = self.claims(&json!({}));
        claims.as_object_mut().expect("claims are an object").remove(name);
        sign(Algorithm::HS256, &claims, SECRET)
    }

    fn unsigned(&self, algorithm: &str) -> String {
        let header = json!({ "alg": algorithm, "typ": "JWT" });
        let [header, claims] =
            [header, self.claims(&json!({}))].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}.")
    }
}

fn sign(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("it can be signed")
}

/// Invalid access tokens, with what is wrong with them.
fn invalid_tokens(user: &User<'_>, forgery: &Forgery) -> Vec<(&'static str, String)> {
    let claims = forgery.claims(&json!({}));
    let mut truncated = user.access.clone();
    truncated.pop();
    let stranger = "0190a000-0000-7000-8000-0000000000aa";
    let other_secret = "another secret, which is as long as it has to be";
    vec![
        ("expired a second ago", forgery.signed(&json!({ "exp": forgery.now - 1 }))),
        ("without expiry", forgery.without("exp")),
        ("of another issuer", forgery.signed(&json!({ "iss": "somebody" }))),
        ("without issuer", forgery.without("iss")),
        ("for another audience", forgery.signed(&json!({ "aud": "somebody" }))),
        ("without audience", forgery.without("aud")),
        ("of another type", forgery.signed(&json!({ "type": "refresh" }))),
        ("without type", forgery.without("type")),
        ("of an unknown user", forgery.signed(&json!({ "sub": stranger }))),
        ("with a malformed user id", forgery.signed(&json!({ "sub": "ana" }))),
        ("signed with another secret", sign(Algorithm::HS256, &claims, other_secret)),
        ("signed with an empty secret", sign(Algorithm::HS256, &claims, "")),
        ("signed by another algorithm", sign(Algorithm::HS512, &claims, SECRET)),
        ("unsigned", forgery.unsigned("none")),
        ("unsigned, in capitals", forgery.unsigned("None")),
        ("unsigned but with an algorithm", forgery.unsigned("HS256")),
        ("truncated", truncated),
        ("a refresh token", user.refresh.clone()),
        ("empty", String::new()),
        ("garbage", "garbage".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn only_access_tokens_of_this_service_are_accepted() {
    let service =
        Service::with(|settings| settings.accounts.jwt_secret = Some(SECRET.to_owned().into()))
            .await;
    let user = service.user().await;
    let forgery = Forgery { user: user.id.clone(), now: service.clock.now().timestamp() };
    // Unchanged, the claims are valid.
    let (status, account) = me(&service, &forgery.signed(&json!({}))).await;
    assert_eq!((status, &account["id"]), (StatusCode::OK, &json!(user.id)));

    let with =
        |header: String| service.request(Method::GET, "/auth/me").header(AUTHORIZATION, header);
    let mut requests: Vec<_> = invalid_tokens(&user, &forgery)
        .into_iter()
        .map(|(what, token)| (what, with(format!("Bearer {token}"))))
        .collect();
    requests.push(("missing", service.request(Method::GET, "/auth/me")));
    requests.push(("of another scheme", with(format!("Basic {}", user.access))));
    requests.push((
        "in the query",
        service.request(Method::GET, &format!("/auth/me?access_token={}", user.access)),
    ));
    for (what, request) in requests {
        let response = request.send().await.expect("the service responds");
        let scheme = response
            .headers()
            .get(WWW_AUTHENTICATE)
            .map(|value| value.to_str().expect("it is text").to_owned());
        assert_eq!(
            (response.status(), scheme.as_deref()),
            (StatusCode::UNAUTHORIZED, Some("Bearer")),
            "a token that is {what}"
        );
        let problem: Value = response.json().await.expect("responses are JSON");
        assert_eq!(problem["status"], json!(401), "a token that is {what}");
    }
}
