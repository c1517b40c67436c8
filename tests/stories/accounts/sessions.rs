//! Sessions: how long they last, and how they end.

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
use crate::harness::client::{Client, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const SECRET: &str = "the secret of these stories, which is long enough";

/// Hand in a refresh token; gives the pair that it is changed for, or the code of the refusal.
async fn refresh(client: &Client, token: &str) -> Result<(String, String), String> {
    let (status, body) = post(client, "/auth/refresh", &json!({ "refresh_token": token })).await;
    let text =
        |name: &str| body[name].as_str().unwrap_or_else(|| panic!("no {name}: {body}")).to_owned();
    match status {
        StatusCode::OK => Ok((text("access_token"), text("refresh_token"))),
        StatusCode::UNAUTHORIZED => Err(text("code")),
        other => panic!("{other}: {body}"),
    }
}

/// Who the service takes the bearer of a token for.
async fn me(client: &Client, token: &str) -> (StatusCode, Value) {
    fetch_json(client.request(Method::GET, "/auth/me").bearer_auth(token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_renewed_and_logged_out() {
    let service = Service::start().await;
    let user = service.user().await;
    let (access, newer) = refresh(&service, &user.refresh).await.expect("it is fresh");
    assert_ne!(newer, user.refresh);
    assert_eq!(me(&service, &access).await.1["id"], json!(user.id));
    let (_, newest) = refresh(&service, &newer).await.expect("it is fresh");

    for _ in 0..2 {
        let (status, body) =
            post(&service, "/auth/logout", &json!({ "refresh_token": newest })).await;
        assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
    }
    assert_eq!(refresh(&service, &newest).await, Err("TOKEN_INVALID".to_owned()));
    let (status, _) = post(&service, "/auth/logout", &json!({ "refresh_token": "unknown" })).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "nobody can find out by it which tokens there are");
    assert_eq!(refresh(&service, "unknown").await, Err("TOKEN_INVALID".to_owned()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_spent_token_that_comes_again_ends_its_session_alone(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut elsewhere = service.user().await;
    elsewhere.email.clone_from(&user.email);
    elsewhere.log_in_again().await;

    let (_, newer) = refresh(&service, &user.refresh).await.expect("it is fresh");
    let (_, newest) = refresh(&service, &newer).await.expect("it is fresh");
    assert_eq!(refresh(&service, &user.refresh).await, Err("TOKEN_REUSED".to_owned()));
    for token in [&newest, &newer, &user.refresh] {
        assert!(refresh(&service, token).await.is_err());
    }
    assert!(
        refresh(&service, &elsewhere.refresh).await.is_ok(),
        "the user's session on another device goes on"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_who_spend_a_token_at_once_one_gets_another_and_it_is_worth_nothing(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.limits.attempts_per_address = 1000).await;
    for _ in 0..5 {
        let user = service.user().await;
        let results = join_all((0..20).map(|_| refresh(&service, &user.refresh))).await;
        let won: Vec<&String> =
            results.iter().filter_map(|result| Some(&result.as_ref().ok()?.1)).collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert!(
            results
                .iter()
                .all(|result| result.as_ref().err().is_none_or(|code| code == "TOKEN_REUSED")),
            "{results:?}"
        );
        assert_eq!(refresh(&service, won[0]).await, Err("TOKEN_INVALID".to_owned()));
        assert!(refresh(&service, &user.refresh).await.is_err());
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_time(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let accounts = crate::harness::service::settings(service.directory.path()).accounts;
    let lifetime = Duration::from_mins(accounts.access_minutes);
    // A story takes time of its own, so it stays away from the very second.
    service.advance(lifetime.saturating_sub(Duration::from_mins(1)));
    assert_eq!(me(&service, &user.access).await.0, StatusCode::OK);
    service.advance(Duration::from_mins(1));
    let (status, problem) = me(&service, &user.access).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_EXPIRED")));

    let (access, newer) = refresh(&service, &user.refresh).await.expect("it is valid for days");
    assert_eq!(me(&service, &access).await.0, StatusCode::OK);
    service.advance(Duration::from_hours(24 * accounts.refresh_days));
    assert_eq!(refresh(&service, &newer).await, Err("TOKEN_INVALID".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_access_tokens_of_this_service_let_anybody_in() {
    let service =
        Service::with(|settings| settings.accounts.jwt_secret = Some(SECRET.to_owned().into()))
            .await;
    let user = service.user().await;
    let now = service.clock.now().timestamp();
    let claims = |changes: Value| {
        let mut claims = json!({
            "iss": "fiapx", "aud": "fiapx-api", "sub": user.id, "jti": user.id, "iat": now, "exp": now + 600, "type": "access",
        });
        for (name, value) in changes.as_object().expect("changes are an object") {
            claims[name] = value.clone();
        }
        claims
    };
    let sign = |algorithm, claims: &Value, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("it can be signed")
    };
    let signed = |changes: Value| sign(Algorithm::HS256, &claims(changes), SECRET);
    let without = |name: &str| {
        let mut claims = claims(json!({}));
        claims.as_object_mut().expect("claims are an object").remove(name);
        sign(Algorithm::HS256, &claims, SECRET)
    };
    let unsigned = |algorithm: &str| {
        let header = json!({ "alg": algorithm, "typ": "JWT" });
        let [header, claims] =
            [header, claims(json!({}))].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        format!("{header}.{claims}.")
    };
    // What is changed below is all that is wrong.
    let (status, account) = me(&service, &signed(json!({}))).await;
    assert_eq!((status, &account["id"]), (StatusCode::OK, &json!(user.id)));

    let mut forged = user.access.clone();
    forged.pop();
    let stranger = "0190a000-0000-7000-8000-0000000000aa";
    let refused = [
        ("expired a second ago", signed(json!({ "exp": now - 1 }))),
        ("expires never", without("exp")),
        ("of another issuer", signed(json!({ "iss": "somebody" }))),
        ("of no issuer", without("iss")),
        ("for another audience", signed(json!({ "aud": "somebody" }))),
        ("for no audience", without("aud")),
        ("of another type", signed(json!({ "type": "refresh" }))),
        ("of no type", without("type")),
        ("of nobody", signed(json!({ "sub": stranger }))),
        ("of no user's id", signed(json!({ "sub": "ana" }))),
        (
            "signed with another secret",
            sign(
                Algorithm::HS256,
                &claims(json!({})),
                "another secret, which is as long as it has to be",
            ),
        ),
        ("signed with an empty secret", sign(Algorithm::HS256, &claims(json!({})), "")),
        ("signed by another algorithm", sign(Algorithm::HS512, &claims(json!({})), SECRET)),
        ("not signed", unsigned("none")),
        ("not signed at all", unsigned("None")),
        ("not signed but says so", unsigned("HS256")),
        ("cut off", forged),
        ("a refresh token", user.refresh.clone()),
        ("empty", String::new()),
        ("no token", "garbage".to_owned()),
    ];
    let with =
        |header: String| service.request(Method::GET, "/auth/me").header(AUTHORIZATION, header);
    let mut requests: Vec<_> =
        refused.map(|(what, token)| (what, with(format!("Bearer {token}")))).into();
    requests.push(("missing", service.request(Method::GET, "/auth/me")));
    requests.push(("of another scheme", with(format!("Basic {}", user.access))));
    requests.push((
        "in the query",
        service.request(Method::GET, &format!("/auth/me?access_token={}", user.access)),
    ));
    for (what, request) in requests {
        let response = request.send().await.expect("the service answers");
        let scheme = response
            .headers()
            .get(WWW_AUTHENTICATE)
            .map(|value| value.to_str().expect("it is text").to_owned());
        assert_eq!(
            (response.status(), scheme.as_deref()),
            (StatusCode::UNAUTHORIZED, Some("Bearer")),
            "a token that is {what}"
        );
        let problem: Value = response.json().await.expect("answers are JSON");
        assert_eq!(problem["status"], json!(401), "a token that is {what}");
    }
}
