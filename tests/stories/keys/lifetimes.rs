//! Ends of keys: an expiry, a deletion, and what happens to the user.

use std::time::Duration;

use jobs::Time;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::{create, listed, use_key};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, run};
use crate::harness::service::Service;

const INVALID: &str = "KEY_INVALID";

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_expires(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    service.clock.pause();
    let user = service.user().await;
    let end = service.clock.now() + Duration::from_mins(30);
    let (_, created) = create(&user, &json!({ "expires_at": end })).await;
    let stated: Time = created["expires_at"].as_str().expect("a time").parse().expect("a time");
    assert_eq!(stated, end);
    let mut program = user.account().at(&service);
    created["key"].as_str().expect("a key").clone_into(&mut program.access);
    service.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(use_key(&program).await.0, StatusCode::OK);
    service.advance(Duration::from_secs(1));
    assert_eq!(use_key(&program).await, (StatusCode::UNAUTHORIZED, json!("KEY_EXPIRED")));
    assert_eq!(listed(&user).await.len(), 1, "the user sees why it stopped working");
}

/// Programs go on when their user changes the password, or logs out.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_survive_a_password_change_and_a_logout(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let key = user.create_key(&["videos:read"]).await;
    let program = user.with_key(&key);
    let change = json!({ "current_password": PASSWORD, "new_password": "Costa#2028" });
    let changed = user.request(Method::POST, "/auth/password").json(&change);
    assert_eq!(fetch_json(changed).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(user.get("/keys").await.0, StatusCode::UNAUTHORIZED, "the session has ended");
    assert_eq!(use_key(&program).await.0, StatusCode::OK);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_end_with_their_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let (key, other) =
        (user.create_key(&["videos:read"]).await, neighbor.create_key(&["videos:read"]).await);
    let program = user.with_key(&key);
    let refused = (StatusCode::UNAUTHORIZED, json!(INVALID));
    service.database().disable_user(&user.email).await.expect("the database responds");
    assert_eq!(use_key(&program).await, refused);
    service.database().enable_user(&user.email).await.expect("the database responds");
    assert_eq!(use_key(&program).await.0, StatusCode::OK, "the user may use the service again");

    let mut user = user.account().at(&service);
    user.log_in_again().await;
    let proof = json!({ "password": PASSWORD });
    let deletion = fetch_json(user.request(Method::DELETE, "/auth/me").json(&proof)).await;
    assert_eq!(deletion.0, StatusCode::NO_CONTENT);
    assert_eq!(use_key(&program).await, refused);
    assert_eq!(use_key(&neighbor.with_key(&other)).await.0, StatusCode::OK);
}

/// The second factor is needed to create a key, and not to use it.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_a_second_factor_needs_it_for_a_key() {
    let service = Service::start().await;
    service.clock.pause();
    let user = service.user().await;
    let start = user.request(Method::POST, "/auth/second-factor");
    let (_, secret) = fetch_json(start.json(&json!({ "password": PASSWORD }))).await;
    let secret = secret["secret"].as_str().expect("a secret").to_owned();
    let app = crate::harness::second_factor::App::new(&secret, &service.clock);
    let confirm = user.request(Method::POST, "/auth/second-factor/confirm");
    let (status, _) = fetch_json(confirm.json(&json!({ "code": app.code() }))).await;
    assert_eq!(status, StatusCode::OK);
    service.advance(Duration::from_secs(30));
    for (changes, code) in [
        (json!({}), "SECOND_FACTOR_REQUIRED"),
        (json!({ "code": app.wrong_code() }), "SECOND_FACTOR_WRONG"),
    ] {
        let (status, problem) = create(&user, &changes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["code"], json!(code));
    }
    let (status, created) = create(&user, &json!({ "code": app.code() })).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let mut program = user.account().at(&service);
    created["key"].as_str().expect("a key").clone_into(&mut program.access);
    assert_eq!(use_key(&program).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_deletes_the_keys_of_a_user() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let (user, other) = (process.user().await, process.user().await);
    let key = user.create_key(&["videos:read"]).await;
    let others = other.create_key(&["videos:read"]).await;
    let users = |command: &str| {
        let arguments = ["users", command, &user.email, "--data-dir"];
        let output = block_in_place(|| run(fiapx().args(arguments).arg(directory.path())));
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{command}");
        output.lines()
    };
    let program = user.with_key(&key);
    users("sign-out");
    assert_eq!(user.get("/keys").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(use_key(&program).await.0, StatusCode::OK, "keys are no sessions");
    assert_eq!(users("delete-keys"), [format!("{}: no API keys", user.id)]);
    assert_eq!(use_key(&program).await, (StatusCode::UNAUTHORIZED, json!(INVALID)));
    assert_eq!(use_key(&other.with_key(&others)).await.0, StatusCode::OK);
}
