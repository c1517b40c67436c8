//! Quotas of users whose requests and jobs run at the same time.

use std::time::Duration;

use app::settings::Isolation;
use futures_util::future::join_all;
use futures_util::stream;
use reqwest::{Body, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{FORM, MIB, body, post};
use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::cluster::Cluster;
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Upload a padded clip in chunks, without a stated size.
async fn upload_chunked(user: &User<'_>, bytes: usize) -> (StatusCode, Value) {
    let mut video = clip_bytes(ONE_FRAME);
    video.resize(bytes, 0);
    let form = body(&[("name=\"file\"; filename=\"a.mp4\"", &video)]);
    let chunks: Vec<_> =
        form.chunks(100_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    fetch_json(post(user, FORM, Body::wrap_stream(stream::iter(chunks)))).await
}

/// Check that some uploads were accepted, and all others refused because of the quota.
fn accepted(responses: &[(StatusCode, Value)]) -> usize {
    let accepted = responses.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    for (status, problem) in responses {
        let is_refused =
            *status == StatusCode::INSUFFICIENT_STORAGE && problem["code"] == "QUOTA_EXCEEDED";
        assert!(is_refused || *status == StatusCode::ACCEPTED, "{problem}");
    }
    accepted
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_chunked_uploads_do_not_exceed_the_quota(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts
        .with(|settings| {
            settings.limits.stored_mb = 10;
            settings.worker.concurrency = 1;
        })
        .await;
    let user = service.user().await;
    let responses = join_all((0..8).map(|_| upload_chunked(&user, 3 * MIB))).await;
    assert!((1..=3).contains(&accepted(&responses)), "{responses:?}");
    let stored: u64 = service.files().await.values().sum();
    assert!(stored <= 10_000_000, "{stored}");
    for (status, accepted) in responses {
        if status == StatusCode::ACCEPTED {
            user.wait_for(&job_id(&accepted), &["DONE", "FAILED"]).await;
        }
    }
    // What was reserved and not used is free again.
    let used: u64 = service.files().await.values().sum();
    let left = usize::try_from(10_000_000 - used).expect("less than the quota");
    let (status, problem) = upload_chunked(&user, left + 1).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::INSUFFICIENT_STORAGE, &json!("QUOTA_EXCEEDED"))
    );
    let (status, accepted) = upload_chunked(&user, left).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_those_of_all_processes_together() {
    let limits = [("LIMIT_STORED_MB", "10"), ("LIMIT_JOBS_PER_HOUR", "5")];
    let cluster = Cluster::start(&limits).await;
    let apis = [cluster.api(), cluster.api()];
    let user = apis[0].user().await;
    let same = user.account().at(&apis[1]);
    let responses = join_all((0..8).map(|number| {
        let user = if number % 2 == 0 { &user } else { &same };
        upload_chunked(user, 3 * MIB)
    }))
    .await;
    assert!((1..=3).contains(&accepted(&responses)), "{responses:?}");

    let other = apis[0].user().await;
    let other_same = other.account().at(&apis[1]);
    let responses = join_all((0..12).map(|number| {
        let user = if number % 2 == 0 { &other } else { &other_same };
        upload_chunked(user, 10_000)
    }))
    .await;
    let count =
        |wanted: StatusCode| responses.iter().filter(|(status, _)| *status == wanted).count();
    // Uploads without a stated size may also reserve all that is left at the same time.
    let refused = count(StatusCode::TOO_MANY_REQUESTS) + count(StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(count(StatusCode::ACCEPTED) + refused, 12);
    assert!((1..=5).contains(&count(StatusCode::ACCEPTED)), "{responses:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_does_not_fit_fails_its_job(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(Isolation::Cell, Isolation::None)] isolation: Isolation,
) {
    let service = parts
        .with(|settings| {
            settings.limits.stored_mb = 2;
            settings.worker.isolation = isolation;
        })
        .await;
    let user = service.user().await;
    let clip = reqwest::multipart::Part::bytes(clip_bytes("good/ten_point_5.mp4"));
    let form = reqwest::multipart::Form::new()
        .text("recipe", r#"{"select": {"every": "1/100"}}"#)
        .part("file", clip.file_name("a.mp4"));
    let request = user.request(reqwest::Method::POST, "/videos/upload").multipart(form);
    let (status, accepted) = fetch_json(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let failed = user.wait_for(&job_id(&accepted), &["FAILED", "DONE"]).await;
    assert_eq!(
        (&failed["error_code"], &failed["retry_count"]),
        (&json!("QUOTA_EXCEEDED"), &json!(0))
    );
    let message = failed["error_message"].as_str().expect("a text");
    assert!(message.contains("storage"), "{message}");
    let files = service.files().await;
    assert_eq!(files.len(), 1, "only the video is left: {files:?}");
    // The reservation has ended with the attempt.
    let other = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&other).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn jobs_within_an_hour_are_limited(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.jobs_per_hour = 4).await;
    let mut user = service.user().await;
    let clips = |count: usize| vec![("a.mp4", clip_bytes(ONE_FRAME)); count];
    let refused = async |user: &User<'_>, count: usize| {
        let (status, problem) = user.upload(&clips(count)).await;
        let expected = (StatusCode::TOO_MANY_REQUESTS, &json!("TOO_MANY_JOBS_PER_HOUR"));
        assert_eq!((status, &problem["code"]), expected, "{problem}");
    };
    refused(&user, 5).await;
    assert!(service.files().await.is_empty(), "all videos of a request or none");
    let first = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&first).await;
    service.advance(Duration::from_mins(30));
    user.log_in_again().await;
    assert_eq!(user.upload(&clips(3)).await.0, StatusCode::ACCEPTED);
    refused(&user, 1).await;
    // Deleting a job does not permit another one.
    assert_eq!(user.delete(&format!("/videos/{first}")).await.0, StatusCode::NO_CONTENT);
    refused(&user, 1).await;
    let response = post(&user, FORM, Body::from(Vec::new())).send().await.expect("a response");
    let wait: u64 =
        response.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1700..=1800).contains(&wait), "{wait}");
    service.advance(Duration::from_mins(31));
    service.run_maintenance().await;
    user.log_in_again().await;
    user.upload_clip(ONE_FRAME).await;
    refused(&user, 1).await;
}
