//! Responses to requests for videos by URL.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::client::CheckedClient;
use crate::harness::client::User;

/// Request for a video at a host that no name server has.
pub fn add(user: &User<'_>) -> RequestBuilder {
    let body = json!({ "url": "https://videos.example/beach.mp4" });
    user.request(Method::POST, "/videos").json(&body)
}

/// Add a video, and send invalid requests.
pub async fn check(client: &CheckedClient<'_>) {
    let user = client.service.user().await;
    let post = |body: &str| {
        let request = user.request(Method::POST, "/videos");
        request.header(CONTENT_TYPE, "application/json").body(body.to_owned())
    };
    let named = || add(&user).header("Idempotency-Key", "mine");
    let (headers, accepted) = client.expect(202, named()).await;
    let path = format!("/videos/{}", accepted["job_id"].as_str().expect("an id"));
    assert_eq!(headers["location"].to_str().expect("the header is text"), path);
    client.expect(202, named()).await;
    let other = json!({ "url": "https://videos.example/other.mp4" }).to_string();
    client.expect(422, post(&other).header("Idempotency-Key", "mine")).await;
    let (_, job) = client.expect(200, user.request(Method::GET, &path)).await;
    assert_eq!(job["source_url"], "https://videos.example/beach.mp4");
    client.expect(200, user.request(Method::DELETE, &path)).await;
    client.expect(204, user.request(Method::DELETE, &path)).await;
    client.expect(409, named()).await;
    client.expect(400, add(&user).header("Idempotency-Key", "")).await;
    client.expect(400, post("{")).await;
    let anonymous = client.service.request(Method::POST, "/videos").json(&json!({}));
    client.expect(401, anonymous).await;
    let key = user.create_key(&["videos:read"]).await;
    client.expect(403, add(&user.with_key(&key))).await;
    client.expect(413, post(&" ".repeat(1 << 17))).await;
    client.expect(415, user.request(Method::POST, "/videos").body("{}")).await;
    client.expect(422, post("{}")).await;
    let scheme = json!({ "url": "http://videos.example/beach.mp4" }).to_string();
    client.expect(422, post(&scheme)).await;
}
