//! Wrong parts, wrong videos, and uploads that are never completed.

use std::time::Duration;

use futures_util::stream;
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use super::super::{MIB, expect_only, request as tus_request, send, video};
use super::{PART, complete, completed, create, put, request, send_part, send_parts};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::Servers;
use crate::harness::service::long_sessions;

/// Status, and code of the first wrong field or of the problem.
fn refusal((status, problem): (StatusCode, Value)) -> (u16, String) {
    let code = problem["errors"][0]["code"].as_str().or_else(|| problem["code"].as_str());
    (status.as_u16(), code.unwrap_or_default().to_owned())
}

fn expected(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_requests_are_refused() {
    let service = Servers.start().await;
    let user = service.user().await;
    let large = 500_000_001;
    for (size, fields, status, code) in [
        (0, json!({}), 422, "EMPTY_FILE"),
        (large, json!({}), 413, "VIDEO_TOO_LARGE"),
        (10, json!({ "filename": "notes.txt" }), 415, "UNSUPPORTED_FORMAT"),
        (10, json!({ "filename": "../" }), 422, "FILENAME_MISSING"),
        (10, json!({ "size": -1 }), 422, "INVALID_BODY"),
        (10, json!({ "other": 1 }), 422, "INVALID_BODY"),
    ] {
        let got = refusal(request(&user, size, fields).await);
        assert_eq!(got, expected(status, code));
    }
    let recipe = json!({ "recipe": { "select": { "every": 0 } } });
    assert_eq!(request(&user, 10, recipe).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(service.files().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_all_parts_with_their_tags_complete_an_upload() {
    let service = Servers.start().await;
    let user = service.user().await;
    let video = video(PART + MIB, 1);
    let upload = create(&user, video.len()).await;
    let missing = ["\"00000000000000000000000000000000\"".to_owned(), String::new()];
    let got = complete(&user, &upload, &missing).await;
    assert_eq!(got.1["errors"][0]["field"], "etags[0]");
    assert_eq!(refusal(got), expected(422, "PART_MISSING"));
    let first = send_part(&user, &upload["parts"][0], video[..PART].to_vec()).await;
    let got = complete(&user, &upload, &[first.clone(), missing[0].clone()]).await;
    assert_eq!(got.1["errors"][0]["field"], "etags[1]");
    assert_eq!(refusal(got), expected(422, "PART_MISSING"));
    let second = send_part(&user, &upload["parts"][1], video[PART..].to_vec()).await;
    for (tags, code) in [
        (vec![], "ETAGS_COUNT"),
        (vec![first.clone()], "ETAGS_COUNT"),
        (vec![first.clone(), second.clone(), second.clone()], "ETAGS_COUNT"),
        (vec![second.clone(), first.clone()], "ETAG_WRONG"),
        (vec![first.clone(), missing[0].clone()], "ETAG_WRONG"),
    ] {
        assert_eq!(refusal(complete(&user, &upload, &tags).await), expected(422, code));
    }
    // A part that was replaced has another tag.
    let replaced = send_part(&user, &upload["parts"][1], vec![7; MIB]).await;
    assert_ne!(replaced, second);
    let tags = [first.clone(), second.clone()];
    assert_eq!(refusal(complete(&user, &upload, &tags).await), expected(422, "ETAG_WRONG"));
    send_part(&user, &upload["parts"][1], video[PART..].to_vec()).await;
    // Clients may remove the quotation marks.
    let tags = tags.map(|tag| tag.trim_matches('"').to_owned());
    let job = completed(&user, &upload, &tags).await;
    expect_only(&service, &user, &job, &video).await;
}

/// The signature fixes the upload, the part and its length.
#[tokio::test(flavor = "multi_thread")]
async fn the_store_accepts_nothing_but_the_signed_parts() {
    let service = Servers.start().await;
    let user = service.user().await;
    let video = clip_bytes(ONE_FRAME);
    let upload = create(&user, video.len()).await;
    let part = &upload["parts"][0];
    for bytes in [[&video[..], b"x"].concat(), video[1..].to_vec(), Vec::new()] {
        let refused = put(&user, part, bytes).await;
        assert!(refused.status().is_client_error(), "{}", refused.status());
    }
    let url = part["url"].as_str().expect("a URL");
    // Without a length.
    let chunks = stream::iter([Ok::<_, std::io::Error>(video.clone()), Ok(video.clone())]);
    let chunked = user.client.request(Method::PUT, url).body(Body::wrap_stream(chunks));
    assert!(send(chunked).await.status().is_client_error());
    for (from, to) in
        [("partNumber=1", "partNumber=2"), ("input.mp4", "input.mkv"), ("uploadId=", "uploadId=0")]
    {
        assert!(url.contains(from), "{url}");
        let other = json!({ "url": url.replace(from, to) });
        let refused = put(&user, &other, video.clone()).await;
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{to}");
    }
    for method in [Method::GET, Method::DELETE] {
        let refused = send(user.client.request(method, url)).await;
        assert!(refused.status().is_client_error(), "{}", refused.status());
    }
    let tags = ["\"00000000000000000000000000000000\"".to_owned()];
    let got = complete(&user, &upload, &tags).await;
    assert_eq!(refusal(got), expected(422, "PART_MISSING"), "nothing was stored");
    let tags = send_parts(&user, &upload, &video).await;
    let job = completed(&user, &upload, &tags).await;
    expect_only(&service, &user, &job, &video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_is_refused_and_leaves_nothing() {
    let service = Servers.start().await;
    let user = service.user().await;
    let upload = create(&user, PART + 10).await;
    let tags = send_parts(&user, &upload, &vec![b'x'; PART + 10]).await;
    let got = refusal(complete(&user, &upload, &tags).await);
    assert_eq!(got, expected(415, "CONTENT_MISMATCH"));
    let got = refusal(complete(&user, &upload, &tags).await);
    assert_eq!(got, expected(404, "UPLOAD_NOT_FOUND"));
    assert!(service.files().await.is_empty(), "{:?}", service.files().await);
    assert_eq!(user.get("/videos").await.1, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_not_completed_expires() {
    let service = Servers.with(long_sessions).await;
    let user = service.user().await;
    let video = clip_bytes(ONE_FRAME);
    let upload = create(&user, video.len()).await;
    let tags = send_parts(&user, &upload, &video).await;
    service.advance(Duration::from_hours(47));
    service.run_maintenance().await;
    // Of any age, because the store has the time of the system.
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
    assert_eq!(service.files().await.len(), 1, "its parts are kept");
    service.advance(Duration::from_hours(1));
    let got = refusal(complete(&user, &upload, &tags).await);
    assert_eq!(got, expected(410, "UPLOAD_EXPIRED"));
    service.run_maintenance().await;
    assert!(service.files().await.is_empty(), "{:?}", service.files().await);
    let got = refusal(complete(&user, &upload, &tags).await);
    assert_eq!(got, expected(404, "UPLOAD_NOT_FOUND"));
    // The URLs are signed for longer by the clock of the store, and have no effect.
    let late = put(&user, &upload["parts"][0], video).await;
    assert_eq!(late.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_reserves_its_bytes_until_it_is_ended() {
    let service = Servers
        .with(|settings| {
            settings.limits.stored_mb = 10;
            settings.limits.unfinished_jobs = 2;
        })
        .await;
    let user = service.user().await;
    let upload = create(&user, 9_800_000).await;
    let got = refusal(request(&user, MIB, json!({})).await);
    assert_eq!(got, expected(507, "QUOTA_EXCEEDED"));
    let small = create(&user, 1000).await;
    let got = refusal(request(&user, 1000, json!({})).await);
    assert_eq!(got, expected(429, "TOO_MANY_JOBS"));
    send_part(&user, &upload["parts"][0], vec![0; 9_800_000]).await;
    for upload in [&upload, &small] {
        let path = format!("/uploads/{}", upload["id"].as_str().expect("an id"));
        let ended = send(tus_request(&user, Method::DELETE, &path)).await;
        assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    }
    let late = put(&user, &small["parts"][0], vec![0; 1000]).await;
    assert_eq!(late.status(), StatusCode::NOT_FOUND);
    assert!(service.files().await.is_empty(), "{:?}", service.files().await);
    create(&user, MIB).await;
}
