//! Responses of the operations on jobs, frames and archives.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH, RANGE};

use storage::Key;

use super::client::{CheckedClient, ON_JOB, PREVIEWS, SHORT, on_job, upload, with_body};
use crate::harness::client::User;
use crate::harness::clips::clip_bytes;

/// Upload videos, and send every request that reads or deletes their jobs.
pub async fn check(client: &CheckedClient<'_>) {
    let (user, other) = (client.service.user().await, client.service.user().await);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(user.upload_clip(SHORT).await);
        user.wait_until_done(&jobs[jobs.len() - 1]).await;
    }
    pages(client, &user).await;
    let failed = failed(client, &user).await;
    every_operation(client, &user, &other, &jobs[0], &failed).await;
    let get = |path: &str| user.request(Method::GET, path);
    let (_, link) = client.expect(200, get(&format!("/jobs/{}/download", jobs[1]))).await;
    for path in ["download", "download?frames=1", "archive?frames=1"] {
        client.expect(429, get(&format!("/jobs/{}/{path}", jobs[1]))).await;
    }
    frames(client, &user, &jobs[1]).await;
    previews(client, &user, &other, &jobs[1]).await;
    another(client, &user, &jobs[1]).await;
    sheets(client, &user, &other, &jobs[1]).await;
    links(client, link["download_url"].as_str().expect("a link")).await;
    selections(client, &user, &jobs[1], &jobs[2]).await;
    ends(client, &user, &jobs[1], &jobs[2]).await;
}

/// Responses of the list of jobs.
async fn pages(client: &CheckedClient<'_>, user: &User<'_>) {
    let get = |path: &str| user.request(Method::GET, path);
    let (headers, page) = client.expect(200, get("/videos?limit=1")).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1));
    let next = headers["link"]
        .to_str()
        .expect("the header is text")
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a link")
        .0;
    let (headers, page) = client.expect(200, get(&format!("{next}&limit=2"))).await;
    assert!(page.as_array().is_some_and(|page| !page.is_empty()), "{headers:?}");
    for invalid in ["limit=0", "limit=101", "limit=x", "status=LOST", "cursor=x"] {
        client.expect(400, get(&format!("/videos?{invalid}"))).await;
    }
    client.expect(401, client.get("/videos")).await;
    let (_, usage) = client.expect(200, get("/videos/usage")).await;
    assert!(usage["stored_bytes"].as_u64() > Some(0), "{usage}");
    client.expect(401, client.get("/videos/usage")).await;
}

/// Responses that all operations on a job have in common.
async fn every_operation(
    client: &CheckedClient<'_>,
    user: &User<'_>,
    other: &User<'_>,
    finished: &str,
    failed: &str,
) {
    for (method, path) in ON_JOB {
        let path = |id: &str| path.replace("{}", id);
        let method: Method = method.parse().expect("a valid method");
        client.expect(400, on_job(user, &method, &path("no-id"))).await;
        let anonymous = client.service.request(method.clone(), &path(finished));
        client.expect(401, with_body(anonymous, &method)).await;
        client.expect(403, on_job(other, &method, &path(finished))).await;
        let unknown = path("0190a000-0000-7000-8000-0000000000aa");
        client.expect(404, on_job(user, &method, &unknown)).await;
        if method == Method::GET {
            client.expect(200, user.request(method.clone(), &path(finished))).await;
            let of_archive =
                ["/download", "/archive?frames=1", "/frames", "/frames/1", "/thumbnail"];
            let needs_archive = of_archive.iter().any(|end| path("").ends_with(end));
            let unfinished = if needs_archive { 400 } else { 200 };
            client.expect(unfinished, user.request(method, &path(failed))).await;
        }
    }
}

/// Responses of the operations on frames, in addition to those of all operations on jobs.
async fn frames(client: &CheckedClient<'_>, user: &User<'_>, job: &str) {
    let get = |query: &str| user.request(Method::GET, &format!("/jobs/{job}/frames{query}"));
    for invalid in [
        "?limit=0",
        "?limit=1001",
        "?after=-1",
        "/x",
        "/0",
        "/1?width=15",
        "/1?width=17",
        "/1?width=656",
    ] {
        client.expect(400, get(invalid)).await;
    }
    client.expect(404, get("/2")).await;
    for (path, kind) in [("/1", "image/png"), ("/1?width=160", "image/jpeg")] {
        let (headers, _) = client.expect(200, get(path)).await;
        assert_eq!(headers[CONTENT_TYPE], kind);
        client.expect(304, get(path).header(IF_NONE_MATCH, headers["etag"].clone())).await;
    }
    let thumbnail = |query: &str| {
        let path = format!("/jobs/{job}/thumbnail{query}");
        user.request(Method::GET, &path)
    };
    client.expect(400, thumbnail("?width=17")).await;
    let (headers, _) = client.expect(200, thumbnail("?width=160")).await;
    assert_eq!(headers[CONTENT_TYPE], "image/jpeg");
    let condition = headers["etag"].clone();
    client.expect(304, thumbnail("?width=160").header(IF_NONE_MATCH, condition)).await;
}

/// Responses of the operation on contact sheets, for another job of a video.
async fn sheets(client: &CheckedClient<'_>, user: &User<'_>, other: &User<'_>, video: &str) {
    let recipe = serde_json::json!({ "recipe": { "sheet": {} } });
    let request = user.request(Method::POST, &format!("/videos/{video}/jobs")).json(&recipe);
    let (_, accepted) = client.expect(202, request).await;
    let job = accepted["job_id"].as_str().expect("an id");
    user.wait_until_done(job).await;
    let path = |id: &str, number: &str| format!("/jobs/{id}/sheets/{number}");
    let get = |path: &str| user.request(Method::GET, path);
    let (headers, _) = client.expect(200, get(&path(job, "1"))).await;
    assert_eq!(headers[CONTENT_TYPE], "image/jpeg");
    client.expect(400, get(&path(job, "0"))).await;
    client.expect(401, client.get(&path(job, "1"))).await;
    client.expect(403, other.request(Method::GET, &path(job, "1"))).await;
    client.expect(404, get(&path(job, "2"))).await;
    client.expect(204, user.request(Method::DELETE, &format!("/videos/{job}"))).await;
}

/// Responses of the operations on previews, of a job that waits in its decoder and of another one.
async fn previews(client: &CheckedClient<'_>, user: &User<'_>, other: &User<'_>, finished: &str) {
    let running = user.upload_endless().await;
    user.wait_for(&running, &["PROCESSING"]).await;
    let user_id = user.id.parse().expect("the id of a user");
    let key = Key::preview(user_id, running.parse().expect("an id"), 1, 7, 6_467);
    let mut stored = client.service.storage().create(&key).await.expect("the store works");
    stored.write(vec![0xFF, 0xD8, 0xFF].into()).await.expect("the store works");
    stored.complete().await.expect("the store works");
    for path in PREVIEWS {
        let path = |id: &str| path.replace("{}", id);
        let get = |user: &User<'_>, id: &str| user.request(Method::GET, &path(id));
        client.expect(200, get(user, &running)).await;
        client.expect(400, get(user, "no-id")).await;
        client.expect(401, client.get(&path(&running))).await;
        client.expect(403, get(other, &running)).await;
        client.expect(404, get(user, finished)).await;
    }
    let get =
        |number: u64| user.request(Method::GET, &format!("/jobs/{running}/previews/{number}"));
    let (headers, _) = client.expect(200, get(7)).await;
    assert_eq!(headers[CONTENT_TYPE], "image/jpeg");
    client.expect(404, get(8)).await;
    client.expect(400, get(0)).await;
    client.expect(200, user.request(Method::DELETE, &format!("/videos/{running}"))).await;
}

/// Job that fails: only the first bytes of its file are a video.
async fn failed(client: &CheckedClient<'_>, user: &User<'_>) -> String {
    let (_, accepted) =
        client.expect(202, upload(user, &[("a.mp4", clip_bytes(SHORT)[..400].to_vec())])).await;
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_for(&job, &["FAILED"]).await;
    job
}

/// Responses to requests for another job of a video.
async fn another(client: &CheckedClient<'_>, user: &User<'_>, job: &str) {
    let path = format!("/videos/{job}/jobs");
    let post = |body: &str| {
        let request = user.request(Method::POST, &path).header(CONTENT_TYPE, "application/json");
        request.body(body.to_owned())
    };
    let named = || post(r#"{"recipe":{"max_frames":1}}"#).header("Idempotency-Key", "again");
    let (headers, accepted) = client.expect(202, named()).await;
    let another = accepted["job_id"].as_str().expect("an id");
    let location = headers["location"].to_str().expect("the header is text");
    assert_eq!(location, format!("/videos/{another}"));
    client.expect(202, named()).await;
    client.expect(422, post("{}").header("Idempotency-Key", "again")).await;
    user.wait_until_done(another).await;
    client.expect(204, user.request(Method::DELETE, &format!("/videos/{another}"))).await;
    client.expect(409, named()).await;
    client.expect(400, post("{")).await;
    client.expect(413, post(&" ".repeat(1 << 17))).await;
    client.expect(415, user.request(Method::POST, &path).body("{}")).await;
    client.expect(422, post("[]")).await;
    let (_, problem) = client.expect(422, post(r#"{"recipe":{"select":{"every":0}}}"#)).await;
    assert_eq!(problem["errors"][0]["field"], "select.every", "{problem}");
    let forecast = format!("/videos/{job}/forecast?recipe=[]");
    client.expect(422, user.request(Method::GET, &forecast)).await;
}

/// Responses of the download of an archive.
async fn links(client: &CheckedClient<'_>, link: &str) {
    let (headers, _) = client.expect(200, client.get(link)).await;
    assert_eq!(headers["accept-ranges"], "bytes");
    client.expect(206, client.get(link).header(RANGE, "bytes=0-9")).await;
    client.expect(416, client.get(link).header(RANGE, "bytes=999999999-")).await;
    client.expect(400, client.get(link.split('?').next().expect("a URL has a path"))).await;
    client.expect(403, client.get(&link.replace("signature=", "signature=A"))).await;
    client.service.advance(Duration::from_hours(1));
    client.expect(410, client.get(link)).await;
}

/// Responses about selected frames.
async fn selections(client: &CheckedClient<'_>, user: &User<'_>, job: &str, other: &str) {
    let get = |path: &str| user.request(Method::GET, path);
    for operation in ["download", "archive"] {
        for (frames, status) in [("2", 404), ("1,2", 404), ("x", 400), ("2-1", 400)] {
            client.expect(status, get(&format!("/jobs/{job}/{operation}?frames={frames}"))).await;
        }
    }
    client.expect(400, get(&format!("/jobs/{job}/archive"))).await;
    let another = user.upload_clip(SHORT).await;
    user.wait_until_done(&another).await;
    let mut links = Vec::new();
    for job in [other, &another] {
        let (_, link) = client.expect(200, get(&format!("/jobs/{job}/download?frames=1"))).await;
        let link = link["download_url"].as_str().expect("a link").to_owned();
        let (headers, _) = client.expect(200, client.get(&link)).await;
        assert_eq!(headers[CONTENT_TYPE], "application/zip");
        links.push(link);
    }
    client.expect(400, client.get("/files/selection")).await;
    client.expect(403, client.get(&links[0].replace("token=", "token=x"))).await;
    client.expect(204, user.request(Method::DELETE, &format!("/videos/{another}"))).await;
    client.expect(404, client.get(&links[1])).await;
    client.service.advance(Duration::from_hours(1));
    client.expect(410, client.get(&links[0])).await;
}

/// An unfinished job is cancelled. A finished one is deleted, and another one expires.
async fn ends(client: &CheckedClient<'_>, user: &User<'_>, deleted: &str, expired: &str) {
    let get = |path: &str| user.request(Method::GET, path);
    let running = user.upload_clip("long/240_frames.mp4").await;
    let (_, view) =
        client.expect(200, user.request(Method::DELETE, &format!("/videos/{running}"))).await;
    assert_eq!(view["status"], "CANCELLED");
    let cancellation = format!("/videos/{running}?action=cancel");
    client.expect(409, user.request(Method::DELETE, &cancellation)).await;
    let (_, link) = client.expect(200, get(&format!("/jobs/{deleted}/download"))).await;
    client.expect(204, user.request(Method::DELETE, &format!("/videos/{deleted}"))).await;
    client.expect(404, client.get(link["download_url"].as_str().expect("a link"))).await;
    client.service.advance(Duration::from_hours(24 * 8));
    for path in ["download", "archive?frames=1", "frames", "frames/1", "sheets/1", "thumbnail"] {
        client.expect(410, get(&format!("/jobs/{expired}/{path}"))).await;
    }
    client.expect(410, get(&format!("/videos/{expired}/forecast"))).await;
    client.expect(410, on_job(user, &Method::POST, &format!("/videos/{expired}/jobs"))).await;
}
