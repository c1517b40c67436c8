//! Previews: some frames of a job, as long as it is being processed.

use std::time::Duration;

use jobs::{Clock, JobId, UserId};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use storage::Key;

use crate::harness::audit::LATER;
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::{LONG, ONE_FRAME, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::{Service, is_preview, stored_and_previews};

/// Maximum size of a preview in bytes.
const MAX_BYTES: usize = 48 << 10;

/// Wait until there are previews of a job, and list them.
async fn first_previews(user: &User<'_>, job: &str) -> Vec<Value> {
    eventually("a preview", || async {
        let (_, list) = user.get(&format!("/jobs/{job}/previews")).await;
        list["previews"].as_array().filter(|previews| !previews.is_empty()).cloned()
    })
    .await
}

/// Status and code of a problem.
async fn problem(user: &User<'_>, path: &str) -> (u16, Value) {
    let (status, problem) = user.get(path).await;
    (status.as_u16(), problem["code"].clone())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn frames_can_be_seen_while_a_job_is_processed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let job = user.upload_clip(LONG).await;
    let list = format!("/jobs/{job}/previews");
    let first = first_previews(&user, &job).await[0].clone();
    let number = first["number"].as_u64().expect("a number");
    // The clip has one frame in a second.
    assert_eq!(first["timestamp_s"].as_f64(), Some(number as f64 - 1.0), "{first}");
    let path = format!("{list}/{number}");
    let response = user.request(Method::GET, &path).send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "image/jpeg");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = headers["content-security-policy"].to_str().expect("the header is text");
    assert!(policy.contains("sandbox"), "{policy}");
    let image = response.bytes().await.expect("the response is complete");
    assert!(image.starts_with(&[0xFF, 0xD8, 0xFF]) && image.len() <= MAX_BYTES, "{}", image.len());
    for path in [&list, &path] {
        assert_eq!(problem(&other, path).await, (403, json!("NOT_YOUR_JOB")));
    }
    let absent = format!("{list}/4294967295");
    assert_eq!(problem(&user, &absent).await, (404, json!("PREVIEW_NOT_FOUND")));

    user.wait_until_done(&job).await;
    for path in [&list, &path] {
        assert_eq!(problem(&user, path).await, (404, json!("PREVIEWS_ENDED")));
    }
    eventually("the previews are removed", || async {
        (!service.files_and_previews().await.keys().any(|path| is_preview(path))).then_some(())
    })
    .await;
    assert_eq!(service.files_and_previews().await.len(), 2, "not just the video and its archive");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_leaves_no_previews(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    first_previews(&user, &job).await;
    assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
    let list = format!("/jobs/{job}/previews");
    assert_eq!(problem(&user, &list).await, (404, json!("PREVIEWS_ENDED")));
    eventually("the previews are removed", || async {
        (!service.files_and_previews().await.keys().any(|path| is_preview(path))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn previews_of_a_killed_process_are_removed() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let job = user.upload_clip(LONG).await;
    first_previews(&user, &job).await;
    process.kill();
    assert!(
        stored_and_previews(directory.path()).keys().any(|path| is_preview(path)),
        "none were left"
    );
    let clock = Clock::default();
    clock.advance(LATER);
    let service = Service::at(directory, None, clock, |_| {}).await;
    eventually("the archive, without previews", || async {
        let files = service.files_and_previews().await;
        let has_archive = files.keys().any(|path| path.contains("/output-"));
        (has_archive && !files.keys().any(|path| is_preview(path))).then_some(())
    })
    .await;
}

/// Previews are never the reason to suspect that the database is another one.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_previews_without_a_job_are_swept(#[values(Embedded, Servers)] parts: Parts) {
    const MANY: u64 = 20;
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let (owner, lost) = (UserId::generate(), JobId::generate());
    for number in 1..=MANY {
        let key = Key::preview(owner, lost, 1, number, 1000 * number);
        let mut upload = service.storage().create(&key).await.expect("the store works");
        upload.write(vec![0xFF, 0xD8, 0xFF].into()).await.expect("the store works");
        upload.complete().await.expect("the store works");
    }
    assert_eq!(service.sweep(Duration::ZERO).await, MANY);
    assert_eq!(service.files_and_previews().await.len(), 2);
}
