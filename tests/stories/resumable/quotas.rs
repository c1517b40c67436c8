//! Quotas and limits of resumable uploads. All bytes of an upload are reserved when it is created,
//! so the quota cannot be used up midway.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;

use super::{
    MIB, begin, create, creation, offset, patch, problem, request, send, send_rest, text, video,
};
use crate::harness::checks::eventually;
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_an_upload_are_reserved(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.stored_mb = 10;
            settings.limits.unfinished_jobs = 2;
        })
        .await;
    let user = service.user().await;
    let video = video(9_800_000, 1);
    let path = create(&user, video.len()).await;
    send(patch(&user, &path, 0, &video[..MIB])).await;
    // Neither another upload nor a form gets the bytes that the first one still needs.
    let other = problem(send(creation(&user, MIB)).await).await;
    assert_eq!(other, (507, "QUOTA_EXCEEDED".to_owned()));
    let large = [clip_bytes(ONE_FRAME), vec![0; MIB]].concat();
    let (status, form) = user.upload(&[("a.mp4", large.clone())]).await;
    assert_eq!((status.as_u16(), &form["code"]), (507, &"QUOTA_EXCEEDED".into()));
    let small = create(&user, 1000).await;
    let third = problem(send(creation(&user, 1000)).await).await;
    assert_eq!(third, (429, "TOO_MANY_JOBS".to_owned()));
    for path in [&path, &small] {
        let ended = send(request(&user, Method::DELETE, path)).await;
        assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(user.upload(&[("a.mp4", large)]).await.0, StatusCode::ACCEPTED);
}

/// An upload whose quota was used up meanwhile, because the operator has lowered it, is completed.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_accepted_fits(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.stored_mb = 20).await;
    let user = service.user().await;
    let video = video(9 * MIB, 2);
    let paths = [create(&user, video.len()).await, create(&user, video.len()).await];
    for path in &paths {
        send(patch(&user, path, 0, &video[..MIB])).await;
    }
    for path in &paths {
        let job = send_rest(&user, path, &video).await;
        user.wait_for(&job, &["DONE", "FAILED"]).await;
    }
    let third = problem(send(creation(&user, 3 * MIB)).await).await;
    assert_eq!(third, (507, "QUOTA_EXCEEDED".to_owned()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_limited_and_lose_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.uploads_at_once = 1;
            // Longer than a busy machine needs for the other requests.
            settings.upload.patience_seconds = 30;
        })
        .await;
    let (user, other) = (service.user().await, service.user().await);
    let video = video(6 * MIB, 3);
    let paths = [create(&user, video.len()).await, create(&user, video.len()).await];
    let _stalled = begin(&user, &paths[0], video.len(), &video[..MIB]).await;
    let refused = send(patch(&user, &paths[1], 0, &[])).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let path = create(&other, video.len()).await;
    assert!(text(&send(patch(&other, &path, 0, &video)).await, "x-job-id").is_some());
    // It is stopped after so long without a byte, and what it has sent is kept.
    let second = eventually("the slot is free", || async {
        let response = send(patch(&user, &paths[1], 0, &video)).await;
        (response.status() != StatusCode::TOO_MANY_REQUESTS).then_some(response)
    });
    assert_eq!(second.await.status(), StatusCode::NO_CONTENT);
    assert_eq!(offset(&user, &paths[0]).await, MIB);
    let job = send_rest(&user, &paths[0], &video).await;
    user.wait_until_done(&job).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_in_progress_count_for_an_hour_of_jobs() {
    let service = Embedded.with(|settings| settings.limits.jobs_per_hour = 2).await;
    let user = service.user().await;
    create(&user, 1000).await;
    let path = create(&user, 1000).await;
    let third = problem(send(creation(&user, 1000)).await).await;
    assert_eq!(third, (429, "TOO_MANY_JOBS_PER_HOUR".to_owned()));
    send(request(&user, Method::DELETE, &path)).await;
    create(&user, 1000).await;
    service.advance(Duration::from_secs(1));
}
