//! Limits for each user: concurrent uploads, waiting jobs, stored bytes, and slow connections.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use reqwest::{Body, StatusCode, header};
use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{FORM, MIB, body, post};
use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::client::User;
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Response to a small upload.
#[derive(Debug, PartialEq)]
struct Response {
    status: StatusCode,
    code: Value,
    /// Whether it has `Retry-After`.
    has_retry_after: bool,
}

impl Response {
    fn too_many(code: &str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self { status, code: code.into(), has_retry_after: true }
    }
}

async fn upload_one_more(user: &User<'_>) -> Response {
    let form = body(&[("name=\"file\"; filename=\"a.mp4\"", &clip_bytes(ONE_FRAME))]);
    let response = post(user, FORM, form).send().await.expect("the service responds");
    let status = response.status();
    let has_retry_after = response.headers().contains_key(header::RETRY_AFTER);
    let body: Value = response.json().await.expect("responses are JSON");
    Response { status, code: body["code"].clone(), has_retry_after }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_of_a_user_are_limited(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.uploads_at_once = 1).await;
    let (user, other) = (service.user().await, service.user().await);
    // So large that an S3 store has a part of it before it is complete.
    let large = [clip_bytes(ONE_FRAME), vec![0; 12 * MIB]].concat();
    let form = body(&[("name=\"file\"; filename=\"a.mp4\"", &large)]);
    let (begin, end) = (form[..form.len() / 2].to_vec(), form[form.len() / 2..].to_vec());
    let (resume, resumed) = oneshot::channel();
    let rest = stream::once(async move {
        resumed.await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(end)
    });
    let slow = tokio::spawn(
        post(&user, FORM, Body::wrap_stream(stream::iter([Ok(begin)]).chain(rest))).send(),
    );
    eventually("the video is being written", || async {
        (!service.files().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(upload_one_more(&user).await, Response::too_many("TOO_MANY_UPLOADS"));
    assert_eq!(
        upload_one_more(&other).await.status,
        StatusCode::ACCEPTED,
        "another user is not limited"
    );
    resume.send(()).expect("the upload waits");
    assert_eq!(
        slow.await.expect("nothing panics").expect("the service responds").status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(upload_one_more(&user).await.status, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_jobs_of_a_user_are_limited(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.unfinished_jobs = 2;
            settings.worker.concurrency = 1;
        })
        .await;
    let user = service.user().await;
    let running = user.upload_endless().await;
    let waiting = user.upload_endless().await;
    assert_eq!(upload_one_more(&user).await, Response::too_many("TOO_MANY_JOBS"));
    for job in [&waiting, &running] {
        assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
    }
    assert_eq!(upload_one_more(&user).await.status, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn stored_bytes_of_a_user_are_limited(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.stored_mb = 1).await;
    let (user, other) = (service.user().await, service.user().await);
    let padded = [clip_bytes(ONE_FRAME), vec![0; 1 << 20]].concat();
    assert_eq!(user.upload(&[("a.mp4", padded)]).await.0, StatusCode::INSUFFICIENT_STORAGE);
    assert!(service.files().await.is_empty());
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let half = [clip_bytes(ONE_FRAME), vec![0; 850 << 10]].concat();
    let large = user.upload(&[("a.mp4", half.clone())]).await;
    assert_eq!(large.0, StatusCode::ACCEPTED, "{}", large.1);
    let large = large.1["job_id"].as_str().expect("an id");
    // An attempt reserves all that is left until it ends.
    user.wait_for(large, &["DONE", "FAILED"]).await;
    let small = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&small).await;
    let (status, problem) = user.upload(&[("a.mp4", half.clone())]).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::INSUFFICIENT_STORAGE, &"QUOTA_EXCEEDED".into())
    );
    assert_eq!(upload_one_more(&other).await.status, StatusCode::ACCEPTED);
    // Deleting a job frees its bytes.
    assert_eq!(user.delete(&format!("/videos/{large}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(user.upload(&[("a.mp4", half)]).await.0, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_byte_by_byte_is_disconnected(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.patience_seconds = 1).await;
    let address = service.base().strip_prefix("http://").expect("an HTTP URL").to_owned();
    let user = service.user().await;
    // In the headers, in a JSON body, and in a video.
    let json = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 60000\r\n\r\n";
    let video = format!(
        "POST /videos/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {FORM}\r\nContent-Length: 60000\r\n\r\n",
        user.access
    );
    for begin in ["GET /health HTTP/1.1\r\nX-Slow: ", json, &video] {
        let started = Instant::now();
        let (mut read, mut write) =
            TcpStream::connect(&address).await.expect("it listens").into_split();
        write.write_all(begin.as_bytes()).await.expect("it reads");
        let trickle = tokio::spawn(async move {
            while write.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut response = Vec::new();
        let end = tokio::time::timeout(TIMEOUT, read.read_to_end(&mut response)).await;
        assert!(end.is_ok(), "{begin:?} keeps its connection");
        // The connection lasts at least as long as the timeout.
        assert!(started.elapsed() >= Duration::from_secs(1), "{begin:?}");
        trickle.abort();
    }
    assert!(service.files().await.is_empty());
}
