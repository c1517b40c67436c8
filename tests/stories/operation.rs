//! Operation of the service: start, shutdown, checks, logs, metrics and traces.

mod check_command;
mod commands;
mod metrics;
mod readiness;
mod logs;
mod denied_requests;
mod startup_errors;
mod shutdown;
mod traces;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::checks::eventually;
use crate::harness::client::fetch_json;
use crate::harness::clips::{SHORT, clip_bytes};
use crate::harness::process::Process;
use crate::harness::service::Service;

/// Wait until a process has logged an event that begins with a text; return its line.
async fn wait_for_event(process: &Process, beginning: &str) -> Value {
    let begins =
        |line: &Value| line["event"].as_str().is_some_and(|event| event.starts_with(beginning));
    eventually(beginning, || async { process.log().into_iter().find(begins) }).await
}

/// State of a dependency in the response of `/ready`.
fn part(name: &str, reached: bool, required: bool) -> Value {
    json!({ "name": name, "reached": reached, "required": required })
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_the_failing_part() {
    let service = Service::start().await;
    let (status, health) = fetch_json(service.request(Method::GET, "/health")).await;
    assert_eq!((status, &health["status"]), (StatusCode::OK, &"ok".into()));
    let readiness = |storage: bool| {
        let parts = [
            part("database", true, true),
            part("storage", storage, true),
            part("broker", true, false),
        ];
        json!({ "ready": storage, "parts": parts })
    };
    // The result of a check is valid for two seconds.
    let wait_for = async |status: StatusCode, storage: bool| {
        let expected = (status, readiness(storage));
        eventually("the readiness", || async {
            (fetch_json(service.request(Method::GET, "/ready")).await == expected).then_some(())
        })
        .await;
    };
    wait_for(StatusCode::OK, true).await;

    let [files, away] = ["files", "away"].map(|name| service.directory.path().join(name));
    std::fs::rename(&files, &away).expect("it can be moved");
    wait_for(StatusCode::SERVICE_UNAVAILABLE, false).await;
    let (status, health) = fetch_json(service.request(Method::GET, "/health")).await;
    assert_eq!(
        (status, &health["status"]),
        (StatusCode::OK, &"ok".into()),
        "liveness does not depend on the store"
    );

    // Uploads are rejected meanwhile, and leave nothing.
    let user = service.user().await;
    let (status, problem) = user.upload(&[(SHORT, clip_bytes(SHORT))]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    std::fs::rename(&away, &files).expect("it can be moved");
    wait_for(StatusCode::OK, true).await;
    assert_eq!(user.get("/videos").await.1, json!([]));
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    assert_eq!(service.files().await.len(), 2);
}

/// Each job has a worker slot, and the slots share the machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_video_does_not_wait_for_a_long_one() {
    let service = Service::with(|settings| settings.worker.concurrency = 2).await;
    let (one, other) = (service.user().await, service.user().await);
    let long = one.upload_endless().await;
    one.wait_for(&long, &["PROCESSING"]).await;
    let short = other.upload_clip(SHORT).await;
    other.wait_until_done(&short).await;
    let view = one.get(&format!("/videos/{long}")).await.1;
    assert_eq!(view["status"], "PROCESSING", "{view}");
    assert_eq!(one.delete(&format!("/videos/{long}")).await.0, StatusCode::OK);
}
