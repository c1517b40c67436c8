//! Resumable uploads (tus 1.0.0): cut off anywhere, and continued to the same bytes.

mod clients;
mod crashes;
mod direct;
mod expiry;
mod ownership;
mod protocol;
mod quotas;
mod turns;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storage::Key;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::checks::{eventually, story_seed};
use crate::harness::client::User;
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const MIB: usize = 1 << 20;

/// Content type of the bytes of an upload.
const BYTES: &str = "application/offset+octet-stream";

/// A valid video of this size, most of which are random bytes in a box that readers skip.
fn video(size: usize, seed: u64) -> Vec<u8> {
    let mut video = clip_bytes(ONE_FRAME);
    let rest = size.checked_sub(video.len()).expect("the clip is smaller");
    video.extend(u32::try_from(rest).expect("the size of a box").to_be_bytes());
    video.extend(b"free");
    let mut random = vec![0; rest - 8];
    StdRng::seed_from_u64(seed).fill_bytes(&mut random);
    video.extend(random);
    video
}

/// Value of `Upload-Metadata`.
fn metadata(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key} {}", STANDARD.encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Value of `Upload-Checksum`.
fn checksum(bytes: &[u8]) -> String {
    format!("sha256 {}", STANDARD.encode(Sha256::digest(bytes)))
}

/// Request of the protocol.
fn request(user: &User<'_>, method: Method, path: &str) -> RequestBuilder {
    user.request(method, path).header("Tus-Resumable", "1.0.0")
}

/// Request that creates an upload of `beach.mp4`.
fn creation(user: &User<'_>, size: usize) -> RequestBuilder {
    let request = request(user, Method::POST, "/uploads");
    request
        .header("Upload-Length", size)
        .header("Upload-Metadata", metadata(&[("filename", "beach.mp4")]))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("the service responds")
}

/// Create an upload of `beach.mp4`, and return its path.
async fn create(user: &User<'_>, size: usize) -> String {
    let created = send(creation(user, size)).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert_eq!(number(&created, "upload-offset"), 0);
    text(&created, "location").expect("a path")
}

/// Request that appends bytes.
fn patch(user: &User<'_>, path: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
    let request = request(user, Method::PATCH, path).header("Content-Type", BYTES);
    request.header("Upload-Offset", offset).body(bytes.to_vec())
}

/// Header of a response.
fn text(response: &Response, header: &str) -> Option<String> {
    let value = response.headers().get(header)?;
    Some(value.to_str().expect("the header is text").to_owned())
}

fn number(response: &Response, header: &str) -> usize {
    text(response, header).expect("a header").parse().expect("a number")
}

/// Status and code of a response.
async fn problem(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(text(&response, "tus-resumable").as_deref(), Some("1.0.0"));
    let body: Value = response.json().await.expect("a problem document");
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// Offset of an upload.
async fn offset(user: &User<'_>, path: &str) -> usize {
    let state = send(request(user, Method::HEAD, path)).await;
    assert_eq!(state.status(), StatusCode::OK);
    number(&state, "upload-offset")
}

/// Append the rest of an upload, as soon as no other request holds it, and return its job.
async fn send_rest(user: &User<'_>, path: &str, video: &[u8]) -> String {
    eventually("the upload is completed", || async {
        let from = offset(user, path).await;
        let response = send(patch(user, path, from, &video[from..])).await;
        match response.status() {
            StatusCode::NO_CONTENT => text(&response, "x-job-id"),
            status => {
                assert_eq!(status, StatusCode::CONFLICT);
                None
            }
        }
    })
    .await
}

/// Head of a request that appends so many bytes, with these additional lines.
fn patch_head(user: &User<'_>, path: &str, offset: usize, length: usize, lines: &str) -> String {
    format!(
        "PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Tus-Resumable: 1.0.0\r\nContent-Type: {BYTES}\r\nUpload-Offset: {offset}\r\n\
         Content-Length: {length}\r\n{lines}\r\n",
        user.access
    )
}

/// Connection of its own to the service.
async fn connect(user: &User<'_>) -> TcpStream {
    let address = user.client.base().trim_start_matches("http://");
    TcpStream::connect(address).await.expect("the service listens")
}

/// Begin to append so many bytes over a connection of its own, send the first ones, and keep it
/// open. The request has its turn: the service has asked for its bytes (RFC 9110, 10.1.1).
async fn begin(user: &User<'_>, path: &str, length: usize, bytes: &[u8]) -> TcpStream {
    let mut connection = connect(user).await;
    let head = patch_head(user, path, 0, length, "Expect: 100-continue\r\n");
    connection.write_all(head.as_bytes()).await.expect("the head is read");
    let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut interim = [0; 25];
    connection.read_exact(&mut interim).await.expect("a response");
    assert_eq!(&interim, expected, "{}", String::from_utf8_lossy(&interim));
    connection.write_all(bytes).await.expect("bytes are read");
    connection
}

/// Send a request that appends these bytes over a connection of its own, and break it off after
/// some of them, without reading a response.
async fn send_and_cut(user: &User<'_>, path: &str, offset: usize, bytes: &[u8], sent: usize) {
    let mut connection = connect(user).await;
    let head = patch_head(user, path, offset, bytes.len(), "");
    // The service may refuse the request before it reads all bytes.
    let _ = connection.write_all(head.as_bytes()).await;
    let _ = connection.write_all(&bytes[..sent]).await;
    let _ = connection.flush().await;
}

/// The video of a job in the store.
async fn stored_video(service: &Service, user: &User<'_>, job: &str) -> Vec<u8> {
    let (user, job) = (user.id.parse().expect("an id"), job.parse().expect("an id"));
    let key = Key::input(user, job, jobs::VideoFormat::Mp4);
    let size = service.storage().head(&key).await.expect("the video is stored").size;
    service.storage().read(&key, 0..size).await.expect("it can be read").to_vec()
}

/// Check that a job is done and has exactly this video, and that nothing else is stored.
async fn expect_only(service: &Service, user: &User<'_>, job: &str, video: &[u8]) {
    user.wait_until_done(job).await;
    assert!(stored_video(service, user, job).await == video, "other bytes are stored");
    eventually("only the video and its archive are left", || async {
        let files = service.files().await;
        let is_of_job = |path: &String| path.contains(&format!("/{job}/"));
        (files.len() == 2 && files.keys().all(is_of_job)).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_a_job(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(12 * MIB + 5, 1);
    let recipe = r#"{"image":{"format":"jpeg"}}"#;
    let sent = metadata(&[("filename", "../praia de manh\u{e3}.mp4"), ("recipe", recipe)]);
    let created = request(&user, Method::POST, "/uploads")
        .header("Upload-Length", video.len())
        .header("Upload-Metadata", &sent);
    let created = send(created).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    assert!(text(&created, "upload-expires").expect("a date").ends_with(" GMT"));
    let path = text(&created, "location").expect("a path");

    let first = send(patch(&user, &path, 0, &video[..MIB])).await;
    assert_eq!((first.status(), number(&first, "upload-offset")), (StatusCode::NO_CONTENT, MIB));
    assert_eq!(text(&first, "x-job-id"), None);
    let state = send(request(&user, Method::HEAD, &path)).await;
    assert_eq!(
        (number(&state, "upload-offset"), number(&state, "upload-length")),
        (MIB, video.len())
    );
    assert_eq!(text(&state, "upload-metadata"), Some(sent));
    assert_eq!(text(&state, "cache-control").as_deref(), Some("no-store"));

    let last = send(patch(&user, &path, MIB, &video[MIB..])).await;
    assert_eq!(number(&last, "upload-offset"), video.len());
    let job = text(&last, "x-job-id").expect("the id of the job");
    expect_only(&service, &user, &job, &video).await;
    let view = user.wait_until_done(&job).await;
    assert_eq!(
        (&view["filename"], &view["recipe"]["image"]["format"]),
        (&json!("praia de manh\u{e3}.mp4"), &json!("jpeg"))
    );
    // A client that has lost the response finds the job.
    let state = send(request(&user, Method::HEAD, &path)).await;
    assert_eq!(number(&state, "upload-offset"), video.len());
    let repeated = send(patch(&user, &path, video.len(), &[])).await;
    assert_eq!(repeated.status(), StatusCode::NO_CONTENT);
    for response in [state, repeated] {
        assert_eq!(text(&response, "x-job-id").as_ref(), Some(&job));
    }
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_request_that_creates_an_upload_may_have_bytes(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(6 * MIB, 2);
    let with = |bytes: &[u8]| {
        creation(&user, video.len()).header("Content-Type", BYTES).body(bytes.to_vec())
    };
    for first in [0, 1, 5 * MIB, video.len()] {
        let created = send(with(&video[..first])).await;
        assert_eq!(created.status(), StatusCode::CREATED);
        assert_eq!(number(&created, "upload-offset"), first);
        let path = text(&created, "location").expect("a path");
        let job = match text(&created, "x-job-id") {
            Some(job) => job,
            None => send_rest(&user, &path, &video).await,
        };
        user.wait_until_done(&job).await;
        assert!(stored_video(&service, &user, &job).await == video, "{first} bytes");
    }
    // A wrong checksum, or a broken connection, leaves nothing.
    let before = service.files().await;
    let wrong = send(with(&video[..MIB]).header("Upload-Checksum", checksum(b"other"))).await;
    assert_eq!(problem(wrong).await, (460, "CHECKSUM_MISMATCH".to_owned()));
    let right = with(&video).header("Upload-Checksum", checksum(&video));
    let job = text(&send(right).await, "x-job-id").expect("a job");
    user.wait_until_done(&job).await;
    assert_eq!(service.files().await.len(), before.len() + 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_is_continued(#[values(Embedded, Servers)] parts: Parts) {
    let cuts = std::env::var("UPLOAD_CUTS").ok();
    let cuts = cuts.map_or(25, |number| number.parse().expect("UPLOAD_CUTS is a number"));
    let mut random = StdRng::seed_from_u64(story_seed());
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(cuts * 8 * MIB / 5 + 11, 3);
    let path = create(&user, video.len()).await;
    let mut offsets = Vec::new();
    for _ in 0..cuts {
        let from = offset(&user, &path).await;
        offsets.push(from);
        let rest = &video[from..];
        // Never all of them, mostly few, and at times several parts.
        let limit = if random.random_bool(0.3) { 12 * MIB } else { MIB };
        let sent = random.random_range(0..rest.len().min(limit));
        send_and_cut(&user, &path, from, rest, sent).await;
        if random.random_bool(0.5) {
            eventually("the bytes are stored", || async {
                (offset(&user, &path).await > from || sent < 70_000).then_some(())
            })
            .await;
        }
    }
    println!("offsets: {offsets:?}");
    assert!(offsets.is_sorted(), "bytes that were stored are lost");
    assert!(offset(&user, &path).await > 0, "nothing is stored");
    let job = send_rest(&user, &path, &video).await;
    expect_only(&service, &user, &job, &video).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stalls_continues_over_another_connection(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let video = video(8 * MIB, 4);
    let path = create(&user, video.len()).await;
    let mut stalled = begin(&user, &path, video.len(), &video[..MIB]).await;
    // The first connection stays open, as one whose client has another address by now.
    service.advance(Duration::from_secs(1));
    let job = send_rest(&user, &path, &video).await;
    // What the first connection sends now has no effect.
    let _ = stalled.write_all(&video[MIB..]).await;
    expect_only(&service, &user, &job, &video).await;
}
