//! Failed logins are limited by account and by network.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use super::registration;
use crate::harness::client::{Client, fetch_json};
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
    // Registrations and refreshes count, too.
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
