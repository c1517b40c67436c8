//! Attempts are counted by account and by network, and a changed password ends what the old one had
//! opened.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{post, registration};
use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Log in from behind proxies that tell of these hops.
async fn log_in(client: &Client, email: &str, hops: &str) -> StatusCode {
    let credentials = json!({ "email": email, "password": "Praia#2027" });
    fetch_json(
        client
            .request(Method::POST, "/auth/login")
            .header("X-Forwarded-For", hops)
            .json(&credentials),
    )
    .await
    .0
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_network_cannot_guess_at_many_accounts(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.attempts_per_address = 3;
            settings.server.proxies = 1;
        })
        .await;
    let guess = async |number: usize, hops: &str| {
        log_in(&service, &format!("user{number}@example.com"), hops).await
    };
    for number in 0..3 {
        assert_eq!(guess(number, "203.0.113.7").await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(guess(3, "203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    // What the client itself writes into the header does not count: our proxy adds the last hop.
    assert_eq!(guess(4, "198.51.100.1, 203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        guess(5, "203.0.113.7, 198.51.100.1").await,
        StatusCode::UNAUTHORIZED,
        "another network is not held up"
    );
    // One household has 2^64 addresses of IPv6.
    for (number, hop) in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"].into_iter().enumerate()
    {
        assert_eq!(guess(number, hop).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(guess(3, "2001:db8::4").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(guess(3, "2001:db8:0:1::4").await, StatusCode::UNAUTHORIZED);
    // Registering and refreshing are attempts, too.
    for (path, body) in [
        ("/auth/register", registration(&json!({}))),
        ("/auth/refresh", json!({ "refresh_token": "guess" })),
    ] {
        let request = service
            .request(Method::POST, path)
            .header("X-Forwarded-For", "203.0.113.7")
            .json(&body);
        assert_eq!(fetch_json(request).await.0, StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    service.advance(Duration::from_mins(1));
    assert_eq!(guess(0, "203.0.113.7").await, StatusCode::UNAUTHORIZED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn without_proxies_of_ours_the_header_is_not_believed(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.limits.attempts_per_address = 3).await;
    let hops = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let mut answers = Vec::new();
    for (number, hop) in hops.into_iter().enumerate() {
        answers.push(log_in(&service, &format!("user{number}@example.com"), hop).await);
    }
    let (wrong, enough) = (StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answers, [wrong, wrong, wrong, enough]);
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
    let lacking = |problem: &Value| {
        (problem["errors"][0]["field"].clone(), problem["errors"][0]["code"].clone())
    };
    let (status, problem) = change("Praia#2027", "Costa#2028").await;
    assert_eq!(
        (status, lacking(&problem)),
        (StatusCode::UNPROCESSABLE_ENTITY, (json!("current_password"), json!("PASSWORD_WRONG")))
    );
    let (status, problem) = change(PASSWORD, "Costa#a").await;
    assert_eq!(
        (status, lacking(&problem)),
        (StatusCode::UNPROCESSABLE_ENTITY, (json!("new_password"), json!("PASSWORD_TOO_SHORT")))
    );
    assert_eq!(user.get("/auth/me").await.0, StatusCode::OK, "nothing has changed yet");

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
