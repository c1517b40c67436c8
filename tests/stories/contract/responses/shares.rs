//! Responses of the operations on links to jobs, and of those that the links permit.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH, RANGE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::client::{CheckedClient, SHORT};
use crate::harness::client::User;

/// Operations that need the token of a link.
const SHARED: [&str; 4] = ["/shared", "/shared/frames", "/shared/frames/1", "/shared/download"];

/// Every request by a link: those with its token, and the download at an address.
pub fn all(client: &CheckedClient<'_>, token: &str, download: &str) -> Vec<RequestBuilder> {
    let with_token = SHARED.map(|path| client.get(path).bearer_auth(token));
    with_token.into_iter().chain([client.get(download)]).collect()
}

/// Token of a new link to a job, and the address of a download by it.
pub async fn share(client: &CheckedClient<'_>, user: &User<'_>, job: &str) -> (String, String) {
    let path = format!("/jobs/{job}/shares");
    let create = user.request(Method::POST, &path).json(&json!({ "days": 7 }));
    let (_, created) = client.expect(201, create).await;
    let token = created["token"].as_str().expect("a token").to_owned();
    let link = client.get("/shared/download").bearer_auth(&token);
    let (_, link) = client.expect(200, link).await;
    (token, link["download_url"].as_str().expect("a link").to_owned())
}

/// Share a job, use and revoke the link, and let another one expire with the files.
pub async fn check(client: &CheckedClient<'_>) {
    client.service.advance(Duration::from_mins(1));
    let user = client.service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let path = format!("/jobs/{job}/shares");
    let post = |kind: &str, body: String| {
        user.request(Method::POST, &path).header(CONTENT_TYPE, kind).body(body)
    };
    client.expect(400, post("application/json", "{".to_owned())).await;
    client.expect(413, post("application/json", "x".repeat(70 << 10))).await;
    client.expect(415, post("text/plain", "{}".to_owned())).await;
    client.expect(422, post("application/json", r#"{"days":2}"#.to_owned())).await;
    let (token, download) = share(client, &user, &job).await;
    used(client, &token, &download).await;
    let (_, listed) = client.expect(200, user.request(Method::GET, &path)).await;
    for _ in 1..10 {
        client.expect(201, post("application/json", "{}".to_owned())).await;
    }
    client.expect(409, post("application/json", "{}".to_owned())).await;
    let id = listed[0]["id"].as_str().expect("an id");
    let revoke = || user.request(Method::DELETE, &format!("{path}/{id}"));
    client.expect(204, revoke()).await;
    client.expect(404, revoke()).await;
    for path in SHARED {
        client.expect(401, client.get(path).bearer_auth(&token)).await;
    }
    client.expect(410, client.get(&download)).await;
    client.service.advance(Duration::from_hours(24 * 8));
    client.expect(410, post("application/json", "{}".to_owned())).await;
}

/// Responses to somebody who has a valid link.
async fn used(client: &CheckedClient<'_>, token: &str, download: &str) {
    let get = |path: &str| client.get(path).bearer_auth(token);
    for path in &SHARED[..3] {
        client.expect(200, get(path)).await;
    }
    for invalid in ["/shared/frames?limit=0", "/shared/frames/x", "/shared/frames/1?width=17"] {
        client.expect(400, get(invalid)).await;
    }
    client.expect(404, get("/shared/frames/2")).await;
    let (headers, _) = client.expect(200, get("/shared/frames/1?width=160")).await;
    let condition = headers["etag"].clone();
    let known = get("/shared/frames/1?width=160").header(IF_NONE_MATCH, condition);
    client.expect(304, known).await;
    for status in [200, 200, 429] {
        client.expect(status, get("/shared/download")).await;
    }
    client.expect(200, client.get(download)).await;
    client.expect(206, client.get(download).header(RANGE, "bytes=0-9")).await;
    client.expect(416, client.get(download).header(RANGE, "bytes=999999999-")).await;
    client.expect(400, client.get(download.split('?').next().expect("a path"))).await;
    client.expect(403, client.get(&download.replace("signature=", "signature=A"))).await;
}
