//! The log: one JSON object per line; a job's lines have its id and its trace, and none has a
//! secret.

use std::collections::BTreeSet;

use jobs::Time;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::block_in_place;

use super::wait_for_event;
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, fetch_json, form};
use crate::harness::clips::{SHORT, WRONG, clip_bytes, scratch};
use crate::harness::mails::read_mails;
use crate::harness::process::Process;

/// Events of a job that is done and then deleted.
const DONE: [&str; 6] = [
    "a video was accepted",
    "attempt started",
    "archive completed",
    "outcome recorded",
    "mail sent",
    "a job was deleted",
];

/// Events of a job that fails.
const FAILED: [&str; 5] =
    ["a video was accepted", "attempt started", "job failed", "outcome recorded", "mail sent"];

/// Events of a job that is cancelled while it is processed.
const CANCELLED: [&str; 5] = [
    "a video was accepted",
    "attempt started",
    "a job was cancelled",
    "outcome recorded",
    "job lost; the result of the attempt is discarded",
];

/// Check that a line has all fields of the log, and no secret.
fn check_line(line: &Value, secrets: &[String]) {
    let time = line["timestamp"].as_str().and_then(|time| time.parse::<Time>().ok());
    let [level, event, service] =
        ["level", "event", "service"].map(|field| line[field].as_str().unwrap_or_default());
    assert!(time.is_some() && !event.is_empty() && service == "fiapx", "{line}");
    assert!(["ERROR", "WARN", "INFO"].contains(&level), "{line}");
    let text = line.to_string();
    assert!(!secrets.iter().any(|secret| text.contains(secret)), "a secret in the log: {line}");
}

/// Check the events of a job, which have its owner and one trace; return the trace.
fn check_job<'a>(log: &'a [Value], job: &str, owner: &str, expected: &[&str]) -> &'a str {
    let lines: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    let mut events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    events.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(events, expected);
    let trace = lines[0]["trace_id"].as_str().expect("a trace");
    assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
    for line in lines {
        assert_eq!((&line["user_id"], &line["trace_id"]), (&owner.into(), &trace.into()), "{line}");
    }
    trace
}

#[tokio::test(flavor = "multi_thread")]
async fn all_events_of_a_job_have_its_id_and_its_trace() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let owner = user.id.clone();
    let (done, failed, cancelled) =
        (user.upload_clip(SHORT).await, user.upload_clip(WRONG).await, user.upload_endless().await);
    user.wait_until_done(&done).await;
    user.wait_for(&failed, &["FAILED"]).await;
    let mails = || read_mails(directory.path()).len();
    eventually("both mails", || async { (mails() == 2).then_some(()) }).await;
    user.wait_for(&cancelled, &["PROCESSING"]).await;
    user.delete(&format!("/videos/{cancelled}")).await;
    wait_for_event(&process, "job lost").await;
    eventually("all outcomes", || async {
        let log = process.log();
        let outcomes = log.iter().filter(|line| line["event"] == "outcome recorded");
        (outcomes.count() == 3).then_some(())
    })
    .await;
    user.delete(&format!("/videos/{done}")).await;
    let secrets =
        [PASSWORD.to_owned(), user.access.clone(), user.refresh.clone(), user.email.clone()];
    let log = block_in_place(|| process.terminate());

    for line in &log {
        check_line(line, &secrets);
    }
    let jobs = [(&done, &DONE[..]), (&failed, &FAILED), (&cancelled, &CANCELLED)];
    let mut traces = BTreeSet::new();
    for (job, events) in jobs {
        let trace = check_job(&log, job, &owner, events);
        assert!(traces.insert(trace), "two uploads have the same trace");
    }
    // No other line mentions a job, except in the path of a request.
    let others =
        log.iter().filter(|line| line["event"] != "request completed" && line["job_id"].is_null());
    for line in others {
        let text = line.to_string();
        assert!(
            ![&done, &failed, &cancelled].iter().any(|job| text.contains(job.as_str())),
            "{line}"
        );
    }
}

/// The log has the user, the job and the address of the client.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_are_audited() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("TRUSTED_PROXIES", "1")]);
    let user = process.user().await;
    let upload =
        user.request(Method::POST, "/videos/upload").header("X-Forwarded-For", "203.0.113.7");
    let (status, accepted) =
        fetch_json(upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))]))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id");
    user.wait_until_done(job).await;
    let link = user
        .request(Method::GET, &format!("/jobs/{job}/download"))
        .header("X-Forwarded-For", "2001:db8::1");
    assert_eq!(fetch_json(link).await.0, StatusCode::OK);
    for (event, client) in
        [("a video was accepted", "203.0.113.7"), ("a download link was created", "2001:db8::1")]
    {
        let line = wait_for_event(&process, event).await;
        let fields = ["job_id", "user_id", "client"].map(|field| line[field].as_str());
        assert_eq!(fields, [Some(job), Some(user.id.as_str()), Some(client)], "{line}");
        assert!(line["size_bytes"].as_u64() > Some(0), "{line}");
    }
}
