//! API keys: programs act as a user, within the scopes of the key.

mod lifetimes;
mod limits;
mod manual;
mod scopes;
mod secrets;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, User, fetch_json};
use crate::harness::clips::TINY;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Ask for a key with some fields changed.
async fn create(user: &User<'_>, changes: &Value) -> (StatusCode, Value) {
    let mut fields = json!({ "name": "Import", "scopes": ["videos:read"], "password": PASSWORD });
    for (name, value) in changes.as_object().expect("changes are an object") {
        fields[name] = value.clone();
    }
    fetch_json(user.request(Method::POST, "/keys").json(&fields)).await
}

/// The keys of a user, as the list shows them.
async fn listed(user: &User<'_>) -> Vec<Value> {
    let (status, keys) = user.get("/keys").await;
    assert_eq!(status, StatusCode::OK, "{keys}");
    keys.as_array().expect("a list").clone()
}

/// Status and code of a request for the videos of a user.
async fn use_key(user: &User<'_>) -> (StatusCode, Value) {
    let (status, body) = user.get("/videos").await;
    (status, body.get("code").cloned().unwrap_or_default())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_uses_a_key_from_upload_to_download(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    service.clock.pause();
    let user = service.user().await;
    let (status, created) = create(
        &user,
        &json!({ "name": " Backup ", "scopes": ["videos:write", "videos:read", "videos:write"] }),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let key = created["key"].as_str().expect("a key");
    assert!(key.len() == 52 && key.starts_with("fx_"), "{key}");
    let expected = json!({
        "key": key,
        "id": created["id"],
        "name": "Backup",
        "start": &key[..8],
        "scopes": ["videos:read", "videos:write"],
        "created_at": created["created_at"],
    });
    assert_eq!(created, expected);

    let mut program = user.account().at(&service);
    key.clone_into(&mut program.access);
    let job = program.upload_clip(TINY).await;
    program.wait_until_done(&job).await;
    let archive = Archive::read(program.archive(&job).await).expect("an archive");
    assert!(!archive.frames.is_empty());
    let another = program.request(Method::POST, &format!("/videos/{job}/jobs")).json(&json!({}));
    assert_eq!(fetch_json(another).await.0, StatusCode::ACCEPTED);
    assert_eq!(user.get(&format!("/videos/{job}")).await.0, StatusCode::OK, "it is the user's");
    assert_eq!(program.delete(&format!("/videos/{job}")).await.0, StatusCode::NO_CONTENT);

    let mut shown = expected;
    shown.as_object_mut().expect("an object").remove("key");
    shown["last_used_at"] = created["created_at"].clone();
    shown["last_used_address"] = json!("127.0.0.1");
    // The use is recorded after the request.
    eventually("the use is recorded", async || {
        let key = listed(&user).await.pop().expect("there is one");
        (!key["last_used_at"].is_null()).then_some(())
    })
    .await;
    assert_eq!(listed(&user).await, [shown]);
    let path = format!("/keys/{}", created["id"].as_str().expect("an id"));
    assert_eq!(user.delete(&path).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(use_key(&program).await, (StatusCode::UNAUTHORIZED, json!("KEY_INVALID")));
    assert_eq!(listed(&user).await, Vec::<Value>::new());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_belong_to_their_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let key = user.create_key(&["videos:read"]).await;
    let path = format!("/keys/{}", key.id);
    let (status, problem) = neighbor.delete(&path).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("KEY_NOT_FOUND")));
    assert_eq!(listed(&neighbor).await, Vec::<Value>::new());
    assert_eq!(use_key(&user.with_key(&key)).await.0, StatusCode::OK);
    let other = neighbor.upload_clip(TINY).await;
    let (status, problem) = user.with_key(&key).get(&format!("/videos/{other}")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("NOT_YOUR_JOB")));
}

/// A program that is logged out needs no password for it. Another key of the user stays.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_deletes_itself_only(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    for scope in ["videos:read", "webhooks"] {
        let (key, other) = (user.create_key(&[scope]).await, user.create_key(&[scope]).await);
        let (status, problem) = user.with_key(&key).delete(&format!("/keys/{}", other.id)).await;
        let got = (status, problem["code"].as_str());
        assert_eq!(got, (StatusCode::FORBIDDEN, Some("KEY_NOT_ALLOWED")), "{scope}");
        let path = format!("/keys/{}", key.id);
        let deleted = user.with_key(&key).delete(&path).await;
        assert_eq!(deleted, (StatusCode::NO_CONTENT, Value::Null), "{scope}");
        let (status, problem) = user.with_key(&key).delete(&path).await;
        let got = (status, problem["code"].as_str());
        assert_eq!(got, (StatusCode::UNAUTHORIZED, Some("KEY_INVALID")), "{scope}");
        let listed = listed(&user).await;
        assert!(listed.iter().any(|key| key["id"] == other.id), "{scope}: {listed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_needs_valid_fields_and_the_password() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    let user = service.user().await;
    let now = service.clock.now();
    let after = |hours: i64| json!(now + chrono::TimeDelta::hours(hours));
    for (changes, expected) in [
        (json!({ "name": " " }), "name: NAME_INVALID"),
        (json!({ "name": "a\u{7}b" }), "name: NAME_INVALID"),
        (json!({ "name": "a\nb" }), "name: NAME_INVALID"),
        (json!({ "name": "x".repeat(101) }), "name: NAME_INVALID"),
        (json!({ "scopes": [] }), "scopes: SCOPES_MISSING"),
        (json!({ "expires_at": after(-1) }), "expires_at: EXPIRY_INVALID"),
        (json!({ "expires_at": after(11 * 366 * 24) }), "expires_at: EXPIRY_INVALID"),
        (json!({ "password": "wrong" }), "password: PASSWORD_WRONG"),
    ] {
        let (status, problem) = create(&user, &changes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{changes}: {problem}");
        let error = &problem["errors"][0];
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        assert_eq!(format!("{}: {}", text("field"), text("code")), expected, "{problem}");
    }
    for changes in [
        json!({ "scopes": ["accounts"] }),
        json!({ "scopes": "videos:read" }),
        json!({ "expires_at": "tomorrow" }),
        json!({ "expires": after(1) }),
    ] {
        let (status, problem) = create(&user, &changes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{changes}: {problem}");
    }
    assert_eq!(listed(&user).await, Vec::<Value>::new());
    let (status, created) = create(&user, &json!({ "expires_at": after(1) })).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
}
