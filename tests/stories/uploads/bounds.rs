//! Nobody takes the service away from the others: uploads at once, jobs that wait, bytes in store,
//! and clients that only hold on.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use reqwest::{Body, StatusCode, header};
use rstest::rstest;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{FORM, MIB, SHORT, body, post};
use crate::harness::PATIENCE;
use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{User, bytes_of, eventually};

/// A small upload: its status, code and whether the client learns when to come again.
async fn one_more(user: &User<'_>) -> (StatusCode, Value, bool) {
    let form = body(&[("name=\"file\"; filename=\"a.mp4\"", &bytes_of(SHORT))]);
    let answer = post(user, FORM, form).send().await.expect("the service answers");
    let (status, again) = (answer.status(), answer.headers().contains_key(header::RETRY_AFTER));
    let answer: Value = answer.json().await.expect("answers are JSON");
    (status, answer["code"].clone(), again)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_uploads_under_way_and_no_more(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.limits.uploads_at_once = 1).await;
    let (user, other) = (service.user().await, service.user().await);
    // So large that an S3 store sees something of it before it is complete.
    let large = [bytes_of(SHORT), vec![0; 12 * MIB]].concat();
    let form = body(&[("name=\"file\"; filename=\"a.mp4\"", &large)]);
    let (begin, end) = (form[..form.len() / 2].to_vec(), form[form.len() / 2..].to_vec());
    let (go, gone) = oneshot::channel();
    let rest = stream::once(async move {
        gone.await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(end)
    });
    let slow = tokio::spawn(
        post(&user, FORM, Body::wrap_stream(stream::iter([Ok(begin)]).chain(rest))).send(),
    );
    eventually("the video is being written", || async {
        (!service.files().await.is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        one_more(&user).await,
        (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_UPLOADS".into(), true)
    );
    assert_eq!(one_more(&other).await.0, StatusCode::ACCEPTED, "somebody else is not held up");
    go.send(()).expect("the upload waits");
    assert_eq!(
        slow.await.expect("nothing panics").expect("the service answers").status(),
        StatusCode::ACCEPTED
    );
    assert_eq!(one_more(&user).await.0, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_jobs_that_wait_and_no_more(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.unfinished_jobs = 2;
            settings.worker.concurrency = 1;
        })
        .await;
    let user = service.user().await;
    let running = user.send("long/240_pictures.mp4").await;
    let waiting = user.send("long/240_pictures.mp4").await;
    assert_eq!(
        one_more(&user).await,
        (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_JOBS".into(), true)
    );
    for job in [&waiting, &running] {
        assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
    }
    assert_eq!(one_more(&user).await.0, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_user_stores_so_much_and_no_more(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.limits.stored_mb = 1).await;
    let (user, other) = (service.user().await, service.user().await);
    let padded = [bytes_of(SHORT), vec![0; 1 << 20]].concat();
    assert_eq!(user.upload(&[("a.mp4", padded)]).await.0, StatusCode::INSUFFICIENT_STORAGE);
    assert!(service.files().await.is_empty());
    let job = user.send(SHORT).await;
    user.done(&job).await;
    let half = [bytes_of(SHORT), vec![0; 850 << 10]].concat();
    let large = user.upload(&[("a.mp4", half.clone())]).await;
    assert_eq!(large.0, StatusCode::ACCEPTED, "{}", large.1);
    assert_eq!(one_more(&user).await.0, StatusCode::ACCEPTED);
    let (status, problem) = user.upload(&[("a.mp4", half.clone())]).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::INSUFFICIENT_STORAGE, &"QUOTA_EXCEEDED".into())
    );
    assert_eq!(one_more(&other).await.0, StatusCode::ACCEPTED);
    // What is deleted makes room.
    let large = large.1["job_id"].as_str().expect("an id");
    user.until(large, &["DONE", "FAILED"]).await;
    assert_eq!(user.delete(&format!("/videos/{large}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(user.upload(&[("a.mp4", half)]).await.0, StatusCode::ACCEPTED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_byte_by_byte_is_cut_off(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.upload.patience_seconds = 1).await;
    let address = service.base().strip_prefix("http://").expect("it is HTTP").to_owned();
    let user = service.user().await;
    // In the headers, in a JSON body, and in a video.
    let json = "POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n";
    let video = format!(
        "POST /videos/upload HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {FORM}\r\nContent-Length: 60000\r\n\r\n",
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
        let mut answer = Vec::new();
        let over = tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)).await;
        assert!(over.is_ok(), "{begin:?} holds its connection");
        // It had its patience and the time that its bytes may take.
        assert!(started.elapsed() >= Duration::from_secs(1), "{begin:?}");
        trickle.abort();
    }
    assert!(service.files().await.is_empty());
}
