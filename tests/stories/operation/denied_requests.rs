//! Requests that the service denies are in the log, with the reason, the user and the client.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::client::fetch_json;
use crate::harness::clips::{TINY, scratch};
use crate::harness::process::Process;

/// Line about the request of a path that was answered with a status.
fn request_line<'a>(log: &'a [Value], path: &str, status: u16) -> &'a Value {
    let is_it = |line: &&Value| line["path"] == path && line["status"] == status;
    log.iter().find(is_it).unwrap_or_else(|| panic!("no line about {path} and {status}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_requests_are_logged_with_their_reason() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("TRUSTED_PROXIES", "1")]);
    let (owner, other) = (process.user().await, process.user().await);
    let job = owner.upload_clip(TINY).await;
    owner.wait_until_done(&job).await;
    let from = |request: reqwest::RequestBuilder| request.header("X-Forwarded-For", "203.0.113.9");
    let path = format!("/videos/{job}");
    fetch_json(from(other.request(Method::GET, &path))).await;
    fetch_json(from(process.request(Method::GET, &path))).await;
    let forged = process.request(Method::GET, "/auth/me").bearer_auth("forged");
    fetch_json(from(forged)).await;
    let recipe = json!({ "recipe": { "select": { "every": -1 } } });
    let invalid = owner.request(Method::POST, &format!("/videos/{job}/jobs")).json(&recipe);
    fetch_json(from(invalid)).await;
    let link = format!("/files/videos/{}/{job}/output-1.zip", owner.id);
    let query = "?expires=9999999999&filename=a.zip&signature=AAAA";
    fetch_json(from(process.request(Method::GET, &format!("{link}{query}")))).await;
    let (owner, other) = (owner.id.clone(), other.id.clone());
    let log = block_in_place(|| process.terminate());

    let another = format!("{path}/jobs");
    for (path, status, code, user) in [
        (path.as_str(), 403, "NOT_YOUR_JOB", Some(other.as_str())),
        (&path, 401, "NOT_LOGGED_IN", None),
        ("/auth/me", 401, "TOKEN_INVALID", None),
        (&another, 422, "INVALID_FIELDS", Some(&owner)),
        (&link, 403, "LINK_INVALID", None),
    ] {
        let line = request_line(&log, path, status);
        let fields = ["code", "user_id", "client"].map(|field| line[field].as_str());
        assert_eq!(fields, [Some(code), user, Some("203.0.113.9")], "{line}");
    }
    let denied: Vec<&Value> =
        log.iter().filter(|line| line["security_event"] == "access_denied").collect();
    let [denied] = denied.as_slice() else { panic!("{denied:?}") };
    let fields = ["level", "job_id", "user_id", "client"].map(|field| denied[field].as_str());
    assert_eq!(fields, [Some("WARN"), Some(&job), Some(&other), Some("203.0.113.9")], "{denied}");
}
