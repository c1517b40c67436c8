//! Direct uploads: the parts of a video go to the S3 store, and none of its bytes to the API.

mod failures;
mod access;
mod kills;
mod manual;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::{MIB, expect_only, send, stored_video, text, video};
use crate::harness::client::{Client, User, fetch_json};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{Embedded, Servers};

const MEGABYTE: usize = 1_000_000;

/// Size of the parts of an upload of few GB.
const PART: usize = 16 * MIB;

/// Create an upload of a video of this size, with more fields of the request.
async fn request(user: &User<'_>, size: usize, more: Value) -> (StatusCode, Value) {
    let mut fields = json!({ "filename": "beach.mp4", "size": size });
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    fetch_json(user.request(Method::POST, "/uploads/direct").json(&fields)).await
}

/// Create an upload of `beach.mp4`.
async fn create(user: &User<'_>, size: usize) -> Value {
    let (status, upload) = request(user, size, json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{upload}");
    upload
}

/// Send bytes to the URL of a part.
async fn put(user: &User<'_>, part: &Value, bytes: Vec<u8>) -> Response {
    let url = part["url"].as_str().expect("a URL");
    send(user.client.request(Method::PUT, url).body(bytes)).await
}

/// Send a part, and return its tag.
async fn send_part(user: &User<'_>, part: &Value, bytes: Vec<u8>) -> String {
    let stored = put(user, part, bytes).await;
    assert_eq!(stored.status(), StatusCode::OK);
    text(&stored, "etag").expect("a tag")
}

/// Send all parts of a video, and return their tags.
async fn send_parts(user: &User<'_>, upload: &Value, video: &[u8]) -> Vec<String> {
    let (mut tags, mut rest) = (Vec::new(), video);
    for part in upload["parts"].as_array().expect("a list") {
        let size = part["size"].as_u64().expect("a number") as usize;
        let (bytes, after) = rest.split_at(size);
        tags.push(send_part(user, part, bytes.to_vec()).await);
        rest = after;
    }
    assert!(rest.is_empty(), "the parts are smaller than the video");
    tags
}

/// Complete an upload with these tags.
async fn complete(user: &User<'_>, upload: &Value, tags: &[String]) -> (StatusCode, Value) {
    let path = format!("/uploads/{}/complete", upload["id"].as_str().expect("an id"));
    fetch_json(user.request(Method::POST, &path).json(&json!({ "etags": tags }))).await
}

/// Complete an upload, and return the id of its job.
async fn completed(user: &User<'_>, upload: &Value, tags: &[String]) -> String {
    let (status, accepted) = complete(user, upload, tags).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    assert_eq!(accepted["job_id"], upload["id"]);
    accepted["job_id"].as_str().expect("an id").to_owned()
}

/// A proxy in front of an API that counts the bytes which clients send.
struct CountingProxy {
    client: Client,
    sent: Arc<AtomicU64>,
}

impl CountingProxy {
    async fn start(api: &Client) -> Self {
        let api = api.base().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let api = TcpStream::connect(&api).await.expect("the service listens");
                let ((read, write), (from_api, to_api)) = (client.into_split(), api.into_split());
                tokio::spawn(forward(read, to_api, Arc::clone(&counted)));
                tokio::spawn(forward(from_api, write, Arc::default()));
            }
        });
        Self { client: Client::of(&address), sent }
    }
}

/// Forward bytes in one direction, and count them.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: Arc<AtomicU64>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Bytes of a file that starts with these bytes and has zeros after them.
fn padded(start: &[u8], from: usize, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let rest = start.get(from..).unwrap_or_default();
    let length = rest.len().min(size);
    bytes[..length].copy_from_slice(&rest[..length]);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn no_byte_of_a_video_of_500_mb_passes_the_api() {
    const SIZE: usize = 500 * MEGABYTE;
    let service = Servers.start().await;
    let account = service.user().await.account();
    let proxy = CountingProxy::start(&service).await;
    let user = account.at(&proxy.client);
    let upload = create(&user, SIZE).await;
    let parts = upload["parts"].as_array().expect("a list");
    assert_eq!((parts.len(), &upload["part_size"]), (SIZE.div_ceil(PART), &json!(PART)));
    // Readers skip a box of the type `free` (ISO/IEC 14496-12, 8.1.2).
    let mut start = clip_bytes(ONE_FRAME);
    let rest = u32::try_from(SIZE - start.len()).expect("the size of a box");
    start.extend(rest.to_be_bytes().into_iter().chain(*b"free"));
    let mut tags = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let size = part["size"].as_u64().expect("a number") as usize;
        tags.push(send_part(&user, part, padded(&start, index * PART, size)).await);
    }
    let job = completed(&user, &upload, &tags).await;
    let sent = proxy.sent.load(Ordering::Relaxed);
    println!("{sent} bytes were sent to the API");
    assert!((500..20_000).contains(&sent), "{sent} bytes were sent to the API");
    let view = user.wait_until_done(&job).await;
    assert_eq!((&view["video_size_bytes"], &view["frame_count"]), (&json!(SIZE), &json!(1)));
    let files = service.files().await;
    let video = files.get(&format!("videos/{}/{job}/input.mp4", user.id));
    assert_eq!((video, files.len()), (Some(&(SIZE as u64)), 2), "{files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_becomes_a_job() {
    let service = Servers.start().await;
    let user = service.user().await;
    assert_eq!(user.get("/videos/upload").await.1["direct"], true);
    let video = video(PART + 5, 1);
    let fields = json!({
        "filename": "../praia de manh\u{e3}.mp4",
        "recipe": { "image": { "format": "jpeg" } },
    });
    let (status, upload) = request(&user, video.len(), fields).await;
    assert_eq!(status, StatusCode::CREATED, "{upload}");
    let sizes = upload["parts"].as_array().expect("a list").iter().map(|part| &part["size"]);
    assert!(sizes.eq([&json!(PART), &json!(5)]), "{upload}");
    let tags = send_parts(&user, &upload, &video).await;
    assert_eq!(user.get("/videos").await.1, json!([]), "it is a job once it is completed");
    let job = completed(&user, &upload, &tags).await;
    expect_only(&service, &user, &job, &video).await;
    let view = user.wait_until_done(&job).await;
    assert_eq!(
        (&view["filename"], &view["recipe"]["image"]["format"]),
        (&json!("praia de manh\u{e3}.mp4"), &json!("jpeg"))
    );
    // A client that has lost the response gets the same job, whatever it states.
    assert_eq!(completed(&user, &upload, &tags).await, job);
    assert_eq!(completed(&user, &upload, &[]).await, job);
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
    let deleted = user.delete(&format!("/videos/{job}")).await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT);
    let (status, problem) = complete(&user, &upload, &tags).await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("JOB_NOT_FOUND")));
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_completions_make_one_job() {
    let service = Servers.start().await;
    let user = service.user().await;
    let video = clip_bytes(ONE_FRAME);
    let upload = create(&user, video.len()).await;
    let tags = send_parts(&user, &upload, &video).await;
    let results = join_all((0..5).map(|_| complete(&user, &upload, &tags))).await;
    assert!(results.iter().any(|(status, _)| *status == StatusCode::ACCEPTED), "{results:?}");
    for (status, body) in results {
        match status {
            StatusCode::ACCEPTED => assert_eq!(body["job_id"], upload["id"]),
            _ => assert_eq!((status.as_u16(), &body["code"]), (409, &json!("UPLOAD_BUSY"))),
        }
    }
    let job = completed(&user, &upload, &tags).await;
    expect_only(&service, &user, &job, &video).await;
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
}

/// What a client sends after the completion has no effect.
#[tokio::test(flavor = "multi_thread")]
async fn a_video_does_not_change_after_its_completion() {
    let service = Servers.start().await;
    let user = service.user().await;
    let video = video(PART + 5, 2);
    let upload = create(&user, video.len()).await;
    let tags = send_parts(&user, &upload, &video).await;
    let job = completed(&user, &upload, &tags).await;
    let late = put(&user, &upload["parts"][1], vec![7; 5]).await;
    assert_eq!(late.status(), StatusCode::NOT_FOUND);
    assert!(stored_video(&service, &user, &job).await == video, "other bytes are stored");
    expect_only(&service, &user, &job, &video).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_receives_no_direct_uploads() {
    let service = Embedded.start().await;
    let user = service.user().await;
    assert_eq!(user.get("/videos/upload").await.1["direct"], false);
    let (status, problem) = request(&user, 1000, json!({})).await;
    let expected = (StatusCode::FORBIDDEN, &json!("DIRECT_UPLOADS_UNAVAILABLE"));
    assert_eq!((status, &problem["code"]), expected);
    assert_eq!(user.get("/videos").await.1, json!([]));
}
