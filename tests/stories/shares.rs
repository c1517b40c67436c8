//! Links to finished jobs: people without an account see the frames and download the archive, until
//! the link ends.

use std::time::Duration;

use reqwest::header::{IF_NONE_MATCH, RANGE};
use reqwest::{Method, RequestBuilder, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{ApiKey, Client, PASSWORD, User, fetch_json};
use crate::harness::clips::{ONE_FRAME, TINY, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::{Service, long_sessions};

const DAY: Duration = Duration::from_hours(24);
/// A well-formed token that was never issued: that of the bytes from 0 to 31.
const UNKNOWN: &str = "fxs_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP";

/// Ask for a link to a job.
async fn create(user: &User<'_>, job: &str, days: u32) -> (StatusCode, Value) {
    let path = format!("/jobs/{job}/shares");
    fetch_json(user.request(Method::POST, &path).json(&json!({ "days": days }))).await
}

/// Link to a job: its id and its token.
async fn share(user: &User<'_>, job: &str, days: u32) -> (String, String) {
    let (status, created) = create(user, job, days).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let text = |name: &str| created[name].as_str().expect("a text").to_owned();
    (text("id"), text("token"))
}

/// Request with a token, by somebody without an account.
fn with_token(client: &Client, path: &str, token: &str) -> RequestBuilder {
    client.request(Method::GET, path).bearer_auth(token)
}

/// Status and code of a request for the shared job.
async fn open(client: &Client, token: &str) -> (StatusCode, Value) {
    let (status, body) = fetch_json(with_token(client, "/shared", token)).await;
    (status, body.get("code").cloned().unwrap_or_default())
}

async fn listed(user: &User<'_>, job: &str) -> Vec<Value> {
    let (status, shares) = user.get(&format!("/jobs/{job}/shares")).await;
    assert_eq!(status, StatusCode::OK, "{shares}");
    shares.as_array().expect("a list").clone()
}

/// Response to a link that is unknown or has ended.
fn refused() -> (StatusCode, Value) {
    (StatusCode::UNAUTHORIZED, json!("SHARE_INVALID"))
}

/// Job of a user that is done.
async fn done(user: &User<'_>, clip: &str) -> String {
    let job = user.upload_clip(clip).await;
    user.wait_until_done(&job).await;
    job
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_a_job_without_an_account(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = done(&user, TINY).await;
    let (status, created) = create(&user, &job, 3).await;
    assert_eq!(status, StatusCode::CREATED, "{created}");
    let token = created["token"].as_str().expect("a token");
    assert!(token.len() == 53 && token.starts_with("fxs_"), "{token}");
    assert_eq!(created["url"], format!("{}/#/shared/{token}", service.base()));

    let response = with_token(&service, "/shared", token).send().await.expect("a response");
    for (name, value) in [
        ("x-robots-tag", "noindex"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(response.headers()[name], value);
    }
    let shared: Value = response.json().await.expect("JSON");
    let (_, own) = user.get(&format!("/videos/{job}")).await;
    let expected = json!({
        "filename": own["filename"],
        "status": "DONE",
        "recipe": own["recipe"],
        "frame_count": own["frame_count"],
        "zip_size_bytes": own["zip_size_bytes"],
        "complete": own["complete"],
        "expires_at": created["expires_at"],
    });
    assert_eq!(shared, expected);

    let (_, frames) = fetch_json(with_token(&service, "/shared/frames?limit=1", token)).await;
    let (_, mut of_owner) = user.get(&format!("/jobs/{job}/frames?limit=1")).await;
    for of_owner_only in ["job_id", "sheets"] {
        of_owner.as_object_mut().expect("an object").remove(of_owner_only);
    }
    assert_eq!(frames, of_owner);
    let (_, link) = fetch_json(with_token(&service, "/shared/download", token)).await;
    for text in [&shared, &frames, &link].map(ToString::to_string) {
        for secret in [&user.id, &user.email, &job] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }

    shows_frames(&service, token).await;
    downloads(&service, &user, &job, link["download_url"].as_str().expect("a link")).await;
}

/// A frame and its thumbnail, for somebody who has a token.
async fn shows_frames(service: &Service, token: &str) {
    let frame = |query: &str| with_token(service, &format!("/shared/frames/1{query}"), token);
    let whole = frame("").send().await.expect("a response");
    assert_eq!(whole.headers()["cache-control"], "private, no-cache");
    let etag = whole.headers()["etag"].clone();
    let bytes = whole.bytes().await.expect("the frame");
    assert!(bytes.starts_with(b"\x89PNG"), "it is the file of the archive");
    let known = frame("").header(IF_NONE_MATCH, etag).send().await.expect("a response");
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let thumbnail = frame("?width=160").send().await.expect("a response");
    assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
}

/// The archive of a user's job, whole and in part, at a signed address.
async fn downloads(service: &Service, user: &User<'_>, job: &str, url: &str) {
    let download = service.request(Method::GET, url).send().await.expect("a response");
    assert_eq!(download.headers()["x-robots-tag"], "noindex");
    let downloaded = download.bytes().await.expect("the archive");
    assert!(downloaded == user.archive(job).await, "it is the archive of the owner");
    let part = service.request(Method::GET, url).header(RANGE, "bytes=0-3").send().await;
    let part = part.expect("a response");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.bytes().await.expect("a part"), downloaded[..4]);
    let forged = url.replace("signature=", "signature=A");
    let (status, problem) = fetch_json(service.request(Method::GET, &forged)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("LINK_INVALID")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_revoked_or_expires(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(long_sessions).await;
    service.clock.pause();
    let user = service.user().await;
    let job = done(&user, ONE_FRAME).await;
    let (id, revoked) = share(&user, &job, 1).await;
    service.advance(Duration::from_secs(1));
    let (kept, short) = share(&user, &job, 1).await;
    let (_, long) = share(&user, &job, 7).await;
    let shown = listed(&user, &job).await;
    assert_eq!(shown.len(), 3);
    let members = |share: &Value| share.as_object().expect("an object").len();
    assert!(shown.iter().all(|share| members(share) == 3), "{shown:?}");
    let (_, link) = fetch_json(with_token(&service, "/shared/download", &revoked)).await;
    let path = |id: &str| format!("/jobs/{job}/shares/{id}");
    assert_eq!(user.delete(&path(&id)).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(open(&service, &revoked).await, refused());
    let url = link["download_url"].as_str().expect("a link");
    let (status, problem) = fetch_json(service.request(Method::GET, url)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("LINK_EXPIRED")));
    let (status, problem) = user.delete(&path(&id)).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("SHARE_NOT_FOUND")));

    service.advance(DAY.saturating_sub(Duration::from_secs(1)));
    assert_eq!(open(&service, &short).await.0, StatusCode::OK);
    service.advance(Duration::from_secs(1));
    assert_eq!(open(&service, &short).await, refused());
    assert!(!listed(&user, &job).await.iter().any(|share| share["id"] == kept));
    assert_eq!(open(&service, &long).await.0, StatusCode::OK);
    let (_, late) = share(&user, &job, 7).await;
    let (_, own) = user.get(&format!("/videos/{job}")).await;
    let ends = listed(&user, &job).await;
    assert_eq!(ends[0]["expires_at"], own["expires_at"], "no link outlives the files");
    service.advance(6 * DAY);
    for token in [&long, &late] {
        assert_eq!(open(&service, token).await, refused(), "the files have expired");
    }
    let (status, problem) = create(&user, &job, 1).await;
    assert_eq!((status, &problem["code"]), (StatusCode::GONE, &json!("ARCHIVE_EXPIRED")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn links_end_with_their_job_and_their_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (deleted, kept) = (done(&user, ONE_FRAME).await, done(&user, ONE_FRAME).await);
    let ((_, one), (_, other)) = (share(&user, &deleted, 1).await, share(&user, &kept, 1).await);
    let path = format!("/videos/{deleted}");
    assert_eq!(user.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(open(&service, &one).await, refused());
    assert_eq!(open(&service, &other).await.0, StatusCode::OK);

    service.database().disable_user(&user.email).await.expect("the database responds");
    assert_eq!(open(&service, &other).await, refused());
    service.database().enable_user(&user.email).await.expect("the database responds");
    assert_eq!(open(&service, &other).await.0, StatusCode::OK);
    let mut user = user.account().at(&service);
    user.log_in_again().await;
    let proof = json!({ "password": PASSWORD });
    let deletion = fetch_json(user.request(Method::DELETE, "/auth/me").json(&proof)).await;
    assert_eq!(deletion.0, StatusCode::NO_CONTENT);
    assert_eq!(open(&service, &other).await, refused());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_shares_a_finished_job(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let (job, others) = (done(&user, ONE_FRAME).await, done(&neighbor, ONE_FRAME).await);
    let (id, token) = share(&user, &job, 1).await;
    let code = |(status, problem): (StatusCode, Value)| (status, problem["code"].clone());
    let not_yours = (StatusCode::FORBIDDEN, json!("NOT_YOUR_JOB"));
    assert_eq!(code(create(&neighbor, &job, 1).await), not_yours);
    assert_eq!(code(neighbor.get(&format!("/jobs/{job}/shares")).await), not_yours);
    assert_eq!(code(neighbor.delete(&format!("/jobs/{job}/shares/{id}")).await), not_yours);
    let elsewhere = neighbor.delete(&format!("/jobs/{others}/shares/{id}")).await;
    assert_eq!(code(elsewhere), (StatusCode::NOT_FOUND, json!("SHARE_NOT_FOUND")));
    let reader = user.create_key(&["videos:read"]).await;
    let reader = user.with_key(&reader);
    assert_eq!(listed(&reader, &job).await.len(), 1);
    let lacks = (StatusCode::FORBIDDEN, json!("KEY_SCOPE_MISSING"));
    assert_eq!(code(create(&reader, &job, 1).await), lacks);
    assert_eq!(code(reader.delete(&format!("/jobs/{job}/shares/{id}")).await), lacks);
    for days in [0, 2, 8, 365] {
        let (status, problem) = create(&user, &job, days).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["code"], "SHARE_DAYS_INVALID");
    }
    for _ in 1..10 {
        share(&user, &job, 1).await;
    }
    let many = (StatusCode::CONFLICT, json!("TOO_MANY_SHARES"));
    assert_eq!(code(create(&user, &job, 1).await), many);

    // A token opens nothing but its job, and nothing else opens a shared job.
    let holder = user.with_key(&ApiKey { id: String::new(), key: token });
    let invalid = (StatusCode::UNAUTHORIZED, json!("TOKEN_INVALID"));
    for path in ["/videos".to_owned(), format!("/jobs/{job}/frames"), "/auth/me".to_owned()] {
        assert_eq!(code(holder.get(&path).await), invalid, "{path}");
    }
    for token in [user.access.as_str(), reader.access.as_str(), UNKNOWN, "fxs_", ""] {
        assert_eq!(open(&service, token).await, refused());
    }
}

/// Links that are invalid are limited by network, and a valid one works meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn scans_and_downloads_are_limited() {
    let service = Service::with(|settings| {
        settings.limits.attempts_per_address = 5;
        settings.limits.downloads_per_minute = 2;
    })
    .await;
    let user = service.user().await;
    let job = done(&user, ONE_FRAME).await;
    let (_, token) = share(&user, &job, 1).await;
    service.clock.pause();
    for _ in 0..5 {
        assert_eq!(open(&service, UNKNOWN).await, refused());
    }
    let limited = |code: &str| (StatusCode::TOO_MANY_REQUESTS, json!(code));
    assert_eq!(open(&service, UNKNOWN).await, limited("TOO_MANY_ATTEMPTS"));
    assert_eq!(open(&service, &token).await.0, StatusCode::OK);
    let download = async || {
        let (status, body) = fetch_json(with_token(&service, "/shared/download", &token)).await;
        (status, body.get("code").cloned().unwrap_or_default())
    };
    for _ in 0..2 {
        assert_eq!(download().await.0, StatusCode::OK);
    }
    assert_eq!(download().await, limited("TOO_MANY_DOWNLOADS"));
    let of_owner = user.get(&format!("/jobs/{job}/download")).await.0;
    assert_eq!(of_owner, StatusCode::OK, "users have a limit of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_no_tokens() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("LOG_LEVEL", "trace")]);
    let user = process.user().await;
    let job = done(&user, ONE_FRAME).await;
    let (id, token) = share(&user, &job, 1).await;
    assert_eq!(open(&process, &token).await.0, StatusCode::OK);
    let (_, link) = fetch_json(with_token(&process, "/shared/download", &token)).await;
    let url = link["download_url"].as_str().expect("a link");
    let download = process.request(Method::GET, url).send().await.expect("a response");
    assert_eq!(download.status(), StatusCode::OK);
    let path = format!("/jobs/{job}/shares/{id}");
    assert_eq!(user.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(open(&process, &token).await, refused());
    let (_, signature) = url.split_once("signature=").expect("it is signed");
    let signature = signature.to_owned();
    let log = process.terminate();
    let events: Vec<&str> = log.iter().filter_map(|line| line["security_event"].as_str()).collect();
    let expected = ["registered", "login", "share_created", "share_revoked", "share_refused"];
    assert_eq!(events, expected);
    let is_use = |line: &&Value| {
        line["event"] == "request completed" && line["path"] == "/shared" && line["status"] == 200
    };
    let used = log.iter().find(is_use).expect("the request is logged");
    assert_eq!(used["share_id"], json!(id));
    for secret in [&token[4..], signature.as_str()] {
        let leak = log.iter().map(ToString::to_string).find(|line| line.contains(secret));
        assert_eq!(leak, None, "the log contains a secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_links_without_their_secrets() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = done(&user, ONE_FRAME).await;
    let (id, token) = share(&user, &job, 1).await;
    let proof = json!({ "password": PASSWORD });
    let export = user.request(Method::POST, "/auth/export").json(&proof).send().await;
    let archive = export.expect("the service responds").bytes().await.expect("an archive");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).expect("an archive");
    let file = archive.by_name("job_shares.json").expect("the file is in the archive");
    let shares: Value = serde_json::from_reader(file).expect("JSON");
    assert_eq!((&shares[0]["id"], &shares[0]["job_id"]), (&json!(id), &json!(job)));
    let text = shares.to_string();
    assert!(!text.contains("token_hash") && !text.contains(&token[4..]), "{text}");
}
