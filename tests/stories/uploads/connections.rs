//! Clients that disconnect, stall, or read late.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FORM, MIB, body, named, rows};
use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::client::Client;
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Begin an upload with these headers and a content length, and send a part of its body.
pub(super) async fn begin(
    service: &Client,
    headers: &str,
    length: usize,
    sent: &[u8],
) -> TcpStream {
    let address = service.base().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.expect("the service listens");
    let head = format!(
        "POST /videos/upload HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("the head is read");
    connection.write_all(sent).await.expect("the body is read");
    connection
}

/// Status of the response on a connection, and its error code.
async fn response_on(connection: &mut (impl AsyncRead + Unpin)) -> (String, Value) {
    let mut text = String::new();
    let read = tokio::time::timeout(TIMEOUT, async {
        while !text.ends_with('}') {
            let mut piece = [0; 4096];
            let length = connection.read(&mut piece).await.expect("the connection is open");
            assert!(length > 0, "the connection ends before the response: {text}");
            text += &String::from_utf8_lossy(&piece[..length]);
        }
    });
    read.await.expect("a response in time");
    let (head, document) = text.split_once("\r\n\r\n").expect("a head and a body");
    let problem: Value = serde_json::from_str(document).expect("responses are JSON");
    let status = head
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .expect("a line with the status");
    (status.to_owned(), problem["code"].clone())
}

/// Beginning of a form with two files, the second of which is incomplete.
fn incomplete() -> Vec<u8> {
    let mut large = clip_bytes(ONE_FRAME);
    large.resize(11 * MIB, 0);
    let mut form = body(&[
        ("name=\"file\"; filename=\"a.mp4\"", &clip_bytes(ONE_FRAME)),
        ("name=\"file\"; filename=\"b.mp4\"", &large),
    ]);
    form.truncate(form.len() - MIB / 2);
    form
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_leaves_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    let connection = begin(&service, &head, 12 * MIB, &incomplete()).await;
    eventually("both videos are being written", || async {
        let files = service.files().await;
        // An S3 store shows an upload once the first part of it has been sent.
        let there = match parts {
            Embedded => files.len() == 2 && files.values().any(|size| *size >= MIB as u64),
            Servers => files.keys().any(|path| path.starts_with("unfinished")),
        };
        there.then_some(())
    })
    .await;
    drop(connection);
    eventually("the files are removed", || async {
        service.files().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(rows(&service, &user).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stalls_times_out_and_leaves_nothing(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.patience_seconds = 1).await;
    let user = service.user().await;
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    for sent in [incomplete(), Vec::new(), b"--line\r\nContent-Dispo".to_vec()] {
        let mut connection = begin(&service, &head, 12 * MIB, &sent).await;
        assert_eq!(
            response_on(&mut connection).await,
            ("408 Request Timeout".to_owned(), json!("UPLOAD_STALLED"))
        );
        // A store removes the parts of an upload in the background.
        eventually("nothing is left", || async { service.files().await.is_empty().then_some(()) })
            .await;
    }
    assert_eq!(rows(&service, &user).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_is_refused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            // Much longer than the pauses of the client on a busy machine.
            settings.upload.patience_seconds = 5;
            settings.upload.min_kb_per_second = 1000;
        })
        .await;
    let user = service.user().await;
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    let (mut read, mut write) =
        begin(&service, &head, 12 * MIB, &incomplete()[..100_000]).await.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(&[0; 10_000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(
        response_on(&mut read).await,
        ("408 Request Timeout".to_owned(), json!("UPLOAD_TOO_SLOW"))
    );
    trickle.abort();
    eventually("nothing is left", || async { service.files().await.is_empty().then_some(()) })
        .await;
    assert_eq!(rows(&service, &user).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_only_after_sending_gets_the_response(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.max_video_mb = 1).await;
    let (user, mut stranger) = (service.user().await, service.user().await);
    "no token".clone_into(&mut stranger.access);
    let mut large = clip_bytes(ONE_FRAME);
    large.resize(30 * MIB, 0);
    let named = |name: &str| named(name, &large);
    let video = named("video.mp4");
    let cases = [
        (&user, FORM, video.clone(), "413 Payload Too Large", "VIDEO_TOO_LARGE"),
        (&user, FORM, named("video.txt"), "415 Unsupported Media Type", "UNSUPPORTED_FORMAT"),
        (&user, FORM, named("video.avi"), "415 Unsupported Media Type", "CONTENT_MISMATCH"),
        (&user, "video/mp4", video.clone(), "415 Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE"),
        (&stranger, FORM, video.clone(), "401 Unauthorized", "TOKEN_INVALID"),
    ];
    for (user, content_type, content, status, code) in cases {
        let head = format!("Content-Type: {content_type}\r\nAuthorization: Bearer {}", user.access);
        let mut connection = begin(&service, &head, content.len(), &content).await;
        assert_eq!(response_on(&mut connection).await, (status.to_owned(), json!(code)));
        // The body was read to its end, so the connection can be used again.
        connection
            .write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("the connection is open");
        assert_eq!(
            response_on(&mut connection).await,
            ("404 Not Found".to_owned(), json!("NOT_FOUND"))
        );
    }
    assert_eq!((service.files().await, rows(&service, &user).await), ([].into(), Vec::new()));

    // The same for a repeated upload with an idempotency key.
    let head = format!(
        "Content-Type: {FORM}\r\nAuthorization: Bearer {}\r\nIdempotency-Key: again",
        user.access
    );
    let mut small = clip_bytes(ONE_FRAME);
    small.resize(900_000, 0);
    let small = self::named("video.mp4", &small);
    for _ in 0..2 {
        let mut connection = begin(&service, &head, small.len(), &small).await;
        assert_eq!(response_on(&mut connection).await, ("202 Accepted".to_owned(), Value::Null));
    }
    assert_eq!(rows(&service, &user).await.len(), 1);
}
