//! Disabled accounts: logins are rejected, and open sessions end.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use super::post;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_user_cannot_log_in_and_open_sessions_end(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let me = |token: &str| fetch_json(service.request(Method::GET, "/auth/me").bearer_auth(token));
    assert_eq!(me(&user.access).await.0, StatusCode::OK);

    let disabled = service.database().disable_user(&user.email).await;
    assert!(disabled.expect("the database is writable").is_some());

    let (status, problem) = me(&user.access).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));
    let refresh = json!({ "refresh_token": user.refresh });
    let (status, problem) = post(&service, "/auth/refresh", &refresh).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("TOKEN_INVALID")));

    let login = |password: &str| json!({ "email": user.email, "password": password });
    let (status, problem) = post(&service, "/auth/login", &login(PASSWORD)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("ACCOUNT_DISABLED")));
    let (status, problem) = post(&service, "/auth/login", &login("wrong")).await;
    let wrong = (StatusCode::UNAUTHORIZED, &json!("WRONG_CREDENTIALS"));
    assert_eq!((status, &problem["code"]), wrong, "only the password reveals the state");
    assert_eq!(me(&other.access).await.0, StatusCode::OK, "other users are not affected");
}
