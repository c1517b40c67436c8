//! Failed logins are limited by account and by network.

use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use super::registration;
use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Log in with the wrong password, through proxies that report these hops.
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
async fn attempts_are_limited_for_each_network(#[values(Embedded, Servers)] parts: Parts) {
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
    // Only the last hop counts, which the trusted proxy adds: the client can forge the others.
    assert_eq!(guess(4, "198.51.100.1, 203.0.113.7").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        guess(5, "203.0.113.7, 198.51.100.1").await,
        StatusCode::UNAUTHORIZED,
        "another network is not limited"
    );
    // The addresses of an IPv6 /64 count as one network.
    for (number, hop) in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:3"].into_iter().enumerate()
    {
        assert_eq!(guess(number, hop).await, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(guess(3, "2001:db8::4").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(guess(3, "2001:db8:0:1::4").await, StatusCode::UNAUTHORIZED);
    // Registrations, refreshes and logouts count, too.
    for (path, body) in [
        ("/auth/register", registration(&json!({}))),
        ("/auth/refresh", json!({ "refresh_token": "guess" })),
        ("/auth/logout", json!({ "refresh_token": "guess" })),
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
async fn the_header_is_ignored_without_trusted_proxies(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.attempts_per_address = 3).await;
    let hops = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"];
    let mut statuses = Vec::new();
    for (number, hop) in hops.into_iter().enumerate() {
        statuses.push(log_in(&service, &format!("user{number}@example.com"), hop).await);
    }
    let (wrong, limited) = (StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(statuses, [wrong, wrong, wrong, limited]);
}

/// Log in with the right password, from a network.
async fn log_in_rightly(client: &Client, email: &str, network: &str) -> StatusCode {
    let credentials = json!({ "email": email, "password": PASSWORD });
    let login = client.request(Method::POST, "/auth/login").header("X-Forwarded-For", network);
    fetch_json(login.json(&credentials)).await.0
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_lock_the_owner_out(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.server.proxies = 1).await;
    service.clock.pause();
    let user = service.user().await;
    for number in 0..12 {
        let status = log_in(&service, &user.email, "203.0.113.7").await;
        let expected =
            if number < 10 { StatusCode::UNAUTHORIZED } else { StatusCode::TOO_MANY_REQUESTS };
        assert_eq!(status, expected, "{number}");
    }
    assert_eq!(log_in_rightly(&service, &user.email, "198.51.100.7").await, StatusCode::OK);
    let change = json!({ "current_password": PASSWORD, "new_password": "Costa#2028" });
    let change = user.request(Method::POST, "/auth/password").json(&change);
    assert_eq!(fetch_json(change).await.0, StatusCode::NO_CONTENT);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_networks_do_not_lock_out_those_of_the_owner(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts
        .with(|settings| {
            settings.server.proxies = 1;
            settings.limits.logins_per_minute = 2;
        })
        .await;
    service.clock.pause();
    let user = service.user().await;
    let home = "2001:db8::1";
    assert_eq!(log_in_rightly(&service, &user.email, home).await, StatusCode::OK);
    service.advance(Duration::from_mins(1));
    for network in 0..10 {
        for _ in 0..2 {
            let status = log_in(&service, &user.email, &format!("203.0.113.{network}")).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    }
    let limited = StatusCode::TOO_MANY_REQUESTS;
    assert_eq!(log_in(&service, &user.email, "203.0.113.99").await, limited, "of the account");
    let unknown = log_in_rightly(&service, &user.email, "198.51.100.7").await;
    assert_eq!(unknown, limited, "the right password makes no difference");
    let neighbor = "2001:db8::2";
    assert_eq!(log_in_rightly(&service, &user.email, neighbor).await, StatusCode::OK);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_limited_for_each_session(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.logins_per_minute = 3).await;
    service.clock.pause();
    let user = service.user().await;
    let mut elsewhere = service.user().await;
    elsewhere.email.clone_from(&user.email);
    elsewhere.log_in_again().await;
    let change = |access: &str, current: &str| {
        let body = json!({ "current_password": current, "new_password": "Costa#2028" });
        let request = service.request(Method::POST, "/auth/password");
        fetch_json(request.bearer_auth(access).json(&body))
    };
    for _ in 0..3 {
        let (status, problem) = change(&user.access, "Praia#2027").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    }
    let (status, problem) = change(&user.access, PASSWORD).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem}");
    assert_eq!(change(&elsewhere.access, PASSWORD).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_no_text_does_not_lift_the_limit() {
    for header in [&b"\xe9"[..], b"unknown", b"\"", b"\xe9, 203.0.113.7", b"\", 203.0.113.7"] {
        let service = Embedded
            .with(|settings| {
                settings.limits.attempts_per_address = 3;
                settings.server.proxies = 1;
            })
            .await;
        let mut statuses = Vec::new();
        for number in 0..4 {
            let email = format!("user{number}@example.com");
            let request = service
                .request(Method::POST, "/auth/login")
                .header("X-Forwarded-For", HeaderValue::from_bytes(header).expect("a valid value"))
                .json(&json!({ "email": email, "password": "Praia#2027" }));
            statuses.push(fetch_json(request).await.0.as_u16());
        }
        assert_eq!(statuses, [401, 401, 401, 429], "{header:?}");
    }
}
