//! Servers that fail, change the video, or send something else.

use std::time::Duration;

use app::settings::Settings;
use rstest::rstest;
use serde_json::json;

use super::client::{accepted, permit_loopback};
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::{SHORT, WRONG, clip_bytes, long_clip};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;
use crate::harness::video_server::{Serving, VideoServer};

/// Little patience with servers, and no large videos.
fn strict(settings: &mut Settings) {
    permit_loopback(settings);
    settings.upload.patience_seconds = 4;
    settings.upload.max_video_mb = 2;
}

/// Wait until an attempt has failed with a code and another one is due later.
async fn wait_for_retry(user: &User<'_>, job: &str, code: &str) {
    eventually("another attempt", || async {
        let view = user.get(&format!("/videos/{job}")).await.1;
        (view["next_attempt_at"].is_string() && view["error_code"] == code).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn failures_of_servers_are_retried(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(strict).await;
    let user = service.user().await;
    for (serving, code) in [
        (Serving::Status(503), "SOURCE_UNREACHABLE"),
        (Serving::Hang, "SOURCE_UNREACHABLE"),
        (Serving::Trickle(Duration::from_millis(50)), "SOURCE_UNREACHABLE"),
        // It breaks off.
        (Serving::WrongLength(100), "SOURCE_UNREACHABLE"),
        (Serving::ChangingAfter(1), "SOURCE_CHANGED"),
    ] {
        let server = VideoServer::start(clip_bytes(SHORT), serving.clone()).await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
        wait_for_retry(&user, &job, code).await;
        server.serve(Serving::Ranges("\"two\""));
        service.advance(Duration::from_mins(1));
        let view = user.wait_until_done(&job).await;
        assert_eq!((&view["retry_count"], &view["complete"]), (&json!(1), &json!(true)));
        let retry = format!("PROCESSING>PROCESSING 1 {code}");
        assert_eq!(user.history(&job).await[3], retry, "{serving:?}");
    }
    assert_eq!(service.sweep(Duration::ZERO).await, 0, "no part of a video is left");
}

/// Three attempts fail, and the user gets a mail that does not contain the address.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_on_failing_ends_the_job() {
    let service = Service::with(strict).await;
    let user = service.user().await;
    let server = VideoServer::start(Vec::new(), Serving::Status(500)).await;
    let job = accepted(&user, &server.url("praia.mp4?signature=topsecret"), &json!({})).await;
    for _ in 0..2 {
        wait_for_retry(&user, &job, "SOURCE_UNREACHABLE").await;
        service.advance(Duration::from_mins(2));
    }
    let view = user.wait_for(&job, &["FAILED"]).await;
    assert_eq!(
        (&view["error_code"], &view["retry_count"]),
        (&json!("SOURCE_UNREACHABLE"), &json!(2))
    );
    let mails = service.mails_to(&user.email, 1).await;
    assert!(mails[0].subject.ends_with(": praia.mp4"), "{}", mails[0].subject);
    let text = format!("{} {}", mails[0].text, mails[0].html);
    assert!(text.contains("SOURCE_UNREACHABLE"), "{text}");
    assert!(!text.contains("topsecret") && !text.contains(&server.url("")), "{text}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn other_failures_end_the_job_at_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(strict).await;
    let user = service.user().await;
    let large = vec![0; 2_000_001];
    let long = std::fs::read(long_clip("mp4")).expect("the clip can be read");
    let page = b"<!DOCTYPE html><title>Not found</title>".repeat(20);
    let clip = || clip_bytes(SHORT);
    let elsewhere = |url: &str| Serving::Redirect(url.to_owned());
    for (video, serving, code) in [
        (clip(), Serving::Status(404), "SOURCE_REFUSED"),
        (clip(), Serving::Status(401), "SOURCE_REFUSED"),
        (clip(), elsewhere("http://10.0.0.1/a.mp4"), "SOURCE_REFUSED"),
        (clip(), elsewhere("http://169.254.169.254/latest/meta-data/"), "SOURCE_REFUSED"),
        (clip(), elsewhere("file:///etc/passwd"), "SOURCE_REFUSED"),
        (clip(), elsewhere("/again.mp4"), "SOURCE_REFUSED"),
        (long.clone(), Serving::Ranges("\"one\""), "SOURCE_TOO_LARGE"),
        (long, Serving::Whole, "SOURCE_TOO_LARGE"),
        (clip(), Serving::Endless, "SOURCE_TOO_LARGE"),
        (large, Serving::Endless, "UNSUPPORTED_CONTAINER"),
        (page.clone(), Serving::Ranges("\"one\""), "UNSUPPORTED_CONTAINER"),
        (page, Serving::Whole, "UNSUPPORTED_CONTAINER"),
        (Vec::new(), Serving::Whole, "EMPTY_FILE"),
        (clip_bytes(WRONG), Serving::Ranges("\"one\""), "NO_VIDEO_STREAM"),
        // The index is at the end of the file, which is not within the stated length.
        (clip(), Serving::WrongLength(-5000), "VIDEO_DAMAGED"),
    ] {
        let server = VideoServer::start(video, serving.clone()).await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
        let view = user.wait_for(&job, &["FAILED"]).await;
        assert_eq!(
            (&view["error_code"], &view["retry_count"]),
            (&json!(code), &json!(0)),
            "{serving:?}"
        );
    }
    assert_eq!(service.sweep(Duration::ZERO).await, 0, "no part of a video is left");
}

/// The video that is read as a whole counts while it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn the_quota_limits_videos_that_are_stored() {
    let service = Service::with(|settings| {
        permit_loopback(settings);
        settings.limits.stored_mb = 1;
    })
    .await;
    let user = service.user().await;
    let video = std::fs::read(long_clip("mp4")).expect("the clip can be read");
    for serving in [Serving::Whole, Serving::WithoutLength] {
        let server = VideoServer::start(video.clone(), serving.clone()).await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({ "max_frames": 1 })).await;
        let view = user.wait_for(&job, &["FAILED"]).await;
        assert_eq!(view["error_code"], "QUOTA_EXCEEDED", "{serving:?}");
    }
    let server = VideoServer::start(video, Serving::Ranges("\"one\"")).await;
    let job = accepted(&user, &server.url("a.mp4"), &json!({ "max_frames": 1 })).await;
    user.wait_until_done(&job).await;
}

/// A server that hangs does not delay the end of a job.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_being_read_can_be_cancelled() {
    let service = Service::with(permit_loopback).await;
    let user = service.user().await;
    for serving in [Serving::Hang, Serving::Trickle(Duration::from_millis(20))] {
        let server = VideoServer::start(clip_bytes(SHORT), serving).await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
        eventually("the request", || async { server.sent().first().cloned() }).await;
        user.delete(&format!("/videos/{job}?action=cancel")).await;
        user.wait_for(&job, &["CANCELLED"]).await;
    }
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Whole).await;
    let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
    user.wait_until_done(&job).await;
}
