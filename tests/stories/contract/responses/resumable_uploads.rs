//! Responses of resumable uploads.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method, RequestBuilder};
use serde_json::json;

use super::client::{CheckedClient, SHORT};
use crate::harness::client::User;
use crate::harness::clips::clip_bytes;

/// Id that nothing has.
const NOBODY: &str = "0190a000-0000-7000-8000-0000000000ee";

const BYTES: &str = "application/offset+octet-stream";

/// A SHA-256 that no bytes have.
const WRONG: &str = "sha256 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn request(user: &User<'_>, method: Method, path: &str) -> RequestBuilder {
    user.request(method, path).header("Tus-Resumable", "1.0.0")
}

fn create(user: &User<'_>, size: usize, name: &str) -> RequestBuilder {
    request(user, Method::POST, "/uploads")
        .header("Upload-Length", size)
        .header("Upload-Metadata", format!("filename {}", STANDARD.encode(name)))
}

fn with_bytes(request: RequestBuilder, bytes: impl Into<Body>) -> RequestBuilder {
    request.header("Content-Type", BYTES).body(bytes)
}

fn append(user: &User<'_>, path: &str, offset: usize, bytes: impl Into<Body>) -> RequestBuilder {
    with_bytes(request(user, Method::PATCH, path).header("Upload-Offset", offset), bytes)
}

/// Body that stalls after its first bytes.
fn stalled(bytes: &[u8]) -> Body {
    let first = stream::iter([Ok::<_, std::io::Error>(bytes.to_vec())]);
    Body::wrap_stream(first.chain(stream::pending()))
}

/// Create, continue and end uploads.
pub async fn check(client: &CheckedClient<'_>) {
    client.expect(204, client.service.request(Method::OPTIONS, "/uploads")).await;
    let (user, other) = (client.service.user().await, client.service.user().await);
    creation(client, &user).await;
    let clip = clip_bytes(SHORT);
    let new = async || {
        let (headers, _) = client.expect(201, create(&user, clip.len(), "a.mp4")).await;
        headers["location"].to_str().expect("the header is text").to_owned()
    };
    let path = new().await;
    let head = |path: &str| request(&user, Method::HEAD, path);
    let end = |path: &str| request(&user, Method::DELETE, path);
    client.expect(200, head(&path)).await;
    client.expect(400, append(&user, &path, 0, clip.clone()).header("Upload-Checksum", "x")).await;
    client.expect(408, append(&user, &path, 0, stalled(&clip[..500]))).await;
    client.expect(409, append(&user, &path, 1, clip[1..].to_vec())).await;
    client.expect(413, append(&user, &path, 500, vec![0; clip.len()])).await;
    let typed = request(&user, Method::PATCH, &path).header("Upload-Offset", 500);
    client.expect(415, typed.json(&1)).await;
    let rest = clip[500..].to_vec();
    client
        .expect(460, append(&user, &path, 500, rest.clone()).header("Upload-Checksum", WRONG))
        .await;
    client.expect(204, append(&user, &path, 500, rest)).await;
    client.expect(200, head(&path)).await;
    client.expect(409, end(&path)).await;
    client.expect(202, complete(&user, &path)).await;
    let path = new().await;
    client.expect(409, complete(&user, &path)).await;
    client.expect(204, end(&path)).await;

    direct(client, &user).await;
    for (id, status) in [("malformed", 400), (NOBODY, 404)] {
        for request in on_upload(&user, &format!("/uploads/{id}")) {
            client.expect(status, request).await;
        }
    }
    let path = new().await;
    for request in on_upload(&other, &path) {
        client.expect(403, request).await;
    }
    for method in [Method::HEAD, Method::PATCH, Method::DELETE] {
        let request = client.service.request(method.clone(), &path);
        client.expect(401, with_bytes(request, "").header("Upload-Offset", 0)).await;
        let request = user.request(method, &path);
        client.expect(412, with_bytes(request, "").header("Upload-Offset", 0)).await;
    }
}

async fn creation(client: &CheckedClient<'_>, user: &User<'_>) {
    let clip = clip_bytes(SHORT);
    let whole = || create(user, clip.len(), "a.mp4");
    client.expect(201, with_bytes(whole(), clip.clone())).await;
    client.expect(400, create(user, 1, "a.mp4").header("Upload-Checksum", "x")).await;
    client.expect(408, with_bytes(whole(), stalled(&clip[..500]))).await;
    client.expect(413, create(user, 40 << 20, "a.mp4")).await;
    client.expect(415, create(user, 10, "a.txt")).await;
    client.expect(422, create(user, 0, "a.mp4")).await;
    client.expect(460, with_bytes(whole(), clip.clone()).header("Upload-Checksum", WRONG)).await;
    let length = ("Upload-Length", 1);
    let anonymous = client.service.request(Method::POST, "/uploads").header(length.0, length.1);
    client.expect(401, anonymous).await;
    client.expect(412, user.request(Method::POST, "/uploads").header(length.0, length.1)).await;
    let key = user.create_key(&["videos:read"]).await;
    client.expect(403, create(&user.with_key(&key), 10, "a.mp4")).await;
}

fn complete(user: &User<'_>, path: &str) -> RequestBuilder {
    user.request(Method::POST, &format!("{path}/complete")).json(&json!({ "etags": ["x"] }))
}

fn create_direct(user: &User<'_>) -> RequestBuilder {
    let fields = json!({ "filename": "a.mp4", "size": 1000 });
    user.request(Method::POST, "/uploads/direct").json(&fields)
}

/// Requests for direct uploads, which a store on the disk cannot receive.
async fn direct(client: &CheckedClient<'_>, user: &User<'_>) {
    client.expect(403, create_direct(user)).await;
    let complete = format!("/uploads/{NOBODY}/complete");
    for path in ["/uploads/direct", &complete] {
        let post = |body: String| {
            let request = user.request(Method::POST, path);
            request.header(CONTENT_TYPE, "application/json").body(body)
        };
        client.expect(400, post("{".to_owned())).await;
        client.expect(413, post(" ".repeat(1 << 17))).await;
        client.expect(422, post("{}".to_owned())).await;
        client.expect(415, user.request(Method::POST, path).body("{}")).await;
        client.expect(401, client.service.request(Method::POST, path).json(&json!({}))).await;
    }
}

/// Requests for all operations on an upload.
fn on_upload(user: &User<'_>, path: &str) -> [RequestBuilder; 4] {
    [
        request(user, Method::HEAD, path),
        append(user, path, 0, "x"),
        request(user, Method::DELETE, path),
        complete(user, path),
    ]
}

/// Requests of a user for all operations.
pub fn all(user: &User<'_>) -> Vec<RequestBuilder> {
    let path = format!("/uploads/{NOBODY}");
    let create = [create(user, 1000, "a.mp4"), create_direct(user)];
    on_upload(user, &path).into_iter().chain(create).collect()
}
