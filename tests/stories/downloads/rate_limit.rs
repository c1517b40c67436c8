//! Rate limit of the requests for links.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::header;
use crate::harness::client::User;
use crate::harness::clips::ONE_FRAME;
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ten_downloads_a_minute_are_allowed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let (job, others) = (user.upload_clip(ONE_FRAME).await, other.upload_clip(ONE_FRAME).await);
    user.wait_until_done(&job).await;
    other.wait_until_done(&others).await;
    // Requests that return no link do not count.
    for _ in 0..12 {
        assert_eq!(user.get(&format!("/jobs/{others}/download")).await.0, StatusCode::FORBIDDEN);
    }
    for remaining in (0..10).rev() {
        let limited = request_link(&user, &job).await;
        let Limited { status, limit, retry_after, .. } = limited;
        assert_eq!((status, limit, limited.remaining, retry_after), (200, 10, remaining, None));
        assert!((1..=60).contains(&limited.reset), "{}", limited.reset);
    }
    for _ in 0..2 {
        let Limited { status, limit, remaining, reset, retry_after, body } =
            request_link(&user, &job).await;
        assert_eq!(
            (status, limit, remaining, &body["code"]),
            (429, 10, 0, &json!("TOO_MANY_DOWNLOADS"))
        );
        assert_eq!(retry_after, Some(reset));
        assert!((1..=60).contains(&reset), "{reset}");
    }
    let limits = async |user: &User<'_>, job: &str| {
        let Limited { limit, remaining, reset, .. } = request_link(user, job).await;
        [limit, remaining, reset]
    };
    assert_eq!(limits(&other, &others).await, [10, 9, 60], "another user is not limited");

    let reset = request_link(&user, &job).await.reset;
    service.advance(Duration::from_secs(reset));
    assert_eq!(request_link(&user, &job).await.status, 200, "allowed after the announced time");
    service.advance(Duration::from_mins(1));
    assert_eq!(limits(&user, &job).await, [10, 9, 60], "counts end after a minute");
}

/// Response to a request for a link, with its rate limit headers.
struct Limited {
    status: u16,
    limit: u64,
    remaining: u64,
    /// Seconds until the count ends.
    reset: u64,
    retry_after: Option<u64>,
    body: Value,
}

async fn request_link(user: &User<'_>, job: &str) -> Limited {
    let request = user.request(Method::GET, &format!("/jobs/{job}/download"));
    let response = request.send().await.expect("the service responds");
    let number = |name: &str| header(response.headers(), name).parse::<u64>().expect("a number");
    let [limit, remaining, reset] =
        ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(number);
    let retry_after = response.headers().contains_key("retry-after").then(|| number("retry-after"));
    let status = response.status().as_u16();
    let body = response.json().await.expect("responses are JSON");
    Limited { status, limit, remaining, reset, retry_after, body }
}
