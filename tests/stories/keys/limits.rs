//! Limits: each key counts by itself, a user has a number of keys, and few uses are recorded.

use std::time::Duration;

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use super::{create, listed, use_key};
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::TINY;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rate_limits_count_by_key(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.downloads_per_minute = 2).await;
    let user = service.user().await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let (one, two) =
        (user.create_key(&["videos:read"]).await, user.create_key(&["videos:read"]).await);
    let download = async |user: &User<'_>| user.get(&format!("/jobs/{job}/download")).await.0;
    for caller in [&user.with_key(&one), &user, &user.with_key(&two)] {
        for expected in [StatusCode::OK, StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
            assert_eq!(download(caller).await, expected);
        }
    }
    service.advance(Duration::from_mins(1));
    assert_eq!(download(&user.with_key(&one)).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_at_most_twenty_keys() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    let user = service.user().await;
    for _ in 0..20 {
        user.create_key(&["videos:read"]).await;
    }
    let (status, problem) = create(&user, &json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("TOO_MANY_KEYS")));
    let oldest = listed(&user).await.pop().expect("there are twenty");
    let path = format!("/keys/{}", oldest["id"].as_str().expect("an id"));
    assert_eq!(user.delete(&path).await.0, StatusCode::NO_CONTENT);
    user.create_key(&["videos:read"]).await;
}

/// A key cannot be created by guessing the password, and not in any number at a time.
#[tokio::test(flavor = "multi_thread")]
async fn attempts_to_create_a_key_are_limited() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 3).await;
    let user = service.user().await;
    for expected in [422, 422, 422, 429] {
        let (status, problem) = create(&user, &json!({ "password": "wrong" })).await;
        assert_eq!(status.as_u16(), expected, "{problem}");
    }
}

/// Time of the last use of a user's only key, as the list shows it.
async fn last_use(user: &User<'_>) -> Value {
    listed(user).await[0]["last_used_at"].clone()
}

/// Use the key of a program until the list shows another time than the previous one. A use is
/// recorded after its request, and not while another one is being recorded.
async fn use_until_recorded(user: &User<'_>, program: &User<'_>, previous: &Value) -> Value {
    eventually("the use is recorded", async || {
        assert_eq!(use_key(program).await.0, StatusCode::OK);
        let last = last_use(user).await;
        (last != *previous).then_some(last)
    })
    .await
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_use_a_minute_is_recorded(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    service.clock.pause();
    let user = service.user().await;
    let key = user.create_key(&["videos:read"]).await;
    let program = user.with_key(&key);
    assert_eq!(last_use(&user).await, Value::Null);
    let first = use_until_recorded(&user, &program, &Value::Null).await;
    assert!(first.is_string(), "{first}");
    service.advance(Duration::from_secs(59));
    assert_eq!(use_key(&program).await.0, StatusCode::OK);
    service.advance(Duration::from_secs(1));
    // A request that the scope does not permit is no use.
    assert_eq!(program.delete("/videos/0190a000-0000-7000-8000-0000000000ee").await.0, 403);
    assert_eq!(last_use(&user).await, first);
    use_until_recorded(&user, &program, &first).await;
}
