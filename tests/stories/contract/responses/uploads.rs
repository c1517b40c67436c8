//! Responses of uploads.

use futures_util::stream::{self, StreamExt};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, Method};
use serde_json::json;

use super::client::{CheckedClient, SHORT, upload};
use crate::harness::client::form;
use crate::harness::clips::clip_bytes;

/// Upload videos, complete, stalled and invalid ones.
pub async fn check(client: &CheckedClient<'_>) {
    client.expect(200, client.get("/videos/upload")).await;
    let user = client.service.user().await;
    let clip = clip_bytes(SHORT);
    // The service aborts it after one second and discards its data for ten more.
    let stalled =
        stream::iter([Ok::<_, std::io::Error>(part(&clip[..500]))]).chain(stream::pending());
    let post = |body: Body| {
        user.request(Method::POST, "/videos/upload")
            .header(CONTENT_TYPE, "multipart/form-data; boundary=line")
            .body(body)
    };
    let large = [clip.clone(), vec![0; 32 << 20]].concat();
    let others = async {
        let named =
            |key: &str| upload(&user, &[("a.mp4", clip.clone())]).header("Idempotency-Key", key);
        let (headers, accepted) = client.expect(202, named("mine")).await;
        let job = accepted["job_id"].as_str().expect("an id");
        assert_eq!(
            headers["location"].to_str().expect("the header is text"),
            format!("/videos/{job}")
        );
        user.wait_until_done(job).await;
        client.expect(202, named("mine")).await;
        let other = upload(&user, &[("b.mp4", clip.clone())]).header("Idempotency-Key", "mine");
        client.expect(422, other).await;
        client.expect(204, user.request(Method::DELETE, &format!("/videos/{job}"))).await;
        client.expect(409, named("mine")).await;
        client.expect(400, named("")).await;
        client.expect(400, post(part(&clip).into())).await;
        client
            .expect(
                401,
                client
                    .service
                    .request(Method::POST, "/videos/upload")
                    .multipart(form(&[("a.mp4", clip.clone())])),
            )
            .await;
        client.expect(413, upload(&user, &[("a.mp4", large)])).await;
        client.expect(415, upload(&user, &[("a.txt", clip.clone())])).await;
        client.expect(415, upload(&user, &[("a.mp4", b"not a video".to_vec())])).await;
        client.expect(415, user.request(Method::POST, "/videos/upload").json(&json!({}))).await;
        client.expect(422, post("--line--\r\n".into())).await;
        client.expect(422, upload(&user, &[("a.mp4", Vec::new())])).await;
    };
    tokio::join!(client.expect(408, post(Body::wrap_stream(stalled))), others);
}

/// Start of a form with the start of a video.
fn part(bytes: &[u8]) -> Vec<u8> {
    [b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n", bytes]
        .concat()
}
