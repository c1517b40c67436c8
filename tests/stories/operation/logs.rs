//! The log: one object a line, a job's lines found by its id, its whole way by its trace, and
//! nothing in it that is nobody's business.

use std::collections::BTreeSet;

use jobs::Time;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::{LONG, SHORT, WRONG, logged};
use crate::harness::scratch;
use crate::letters::letters;
use crate::process::Process;
use crate::service::{PASSWORD, answer, bytes_of, eventually, form};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_by_its_id_and_its_trace() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let (account, owner) = (user.account(), user.id.clone());
    let (done, failed, cancelled) =
        (user.send(SHORT).await, user.send(WRONG).await, user.send(LONG).await);
    user.done(&done).await;
    user.until(&failed, &["FAILED"]).await;
    eventually("both mails", || async { (letters(directory.path()).len() == 2).then_some(()) })
        .await;
    user.until(&cancelled, &["PROCESSING"]).await;
    user.delete(&format!("/videos/{cancelled}")).await;
    logged(&process, "the job is lost to this worker").await;
    user.delete(&format!("/videos/{done}")).await;
    let secrets =
        [PASSWORD.to_owned(), user.access.clone(), user.refresh.clone(), user.email.clone()];
    drop(account);
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{status}");

    for line in &log {
        let time = line["timestamp"].as_str().and_then(|time| time.parse::<Time>().ok());
        let words =
            ["level", "event", "service"].map(|field| line[field].as_str().unwrap_or_default());
        assert!(time.is_some() && !words[1].is_empty() && words[2] == "fiapx", "{line}");
        assert!(["ERROR", "WARN", "INFO"].contains(&words[0]), "{line}");
        let text = line.to_string();
        assert!(
            !secrets.iter().any(|secret| text.contains(secret)),
            "a secret is in the log: {line}"
        );
    }
    let mut traces = BTreeSet::new();
    let ways: [(&str, &[&str]); 3] = [
        (
            &done,
            &[
                "a video was accepted",
                "the attempt begins",
                "the archive is done",
                "a user is to be told",
                "mail sent",
                "a job was deleted",
            ],
        ),
        (
            &failed,
            &[
                "a video was accepted",
                "the attempt begins",
                "the job failed",
                "a user is to be told",
                "mail sent",
            ],
        ),
        (
            &cancelled,
            &[
                "a video was accepted",
                "the attempt begins",
                "a job was cancelled",
                "the job is lost to this worker; its work is thrown away",
            ],
        ),
    ];
    for (job, way) in ways {
        let lines: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
        let mut events: Vec<&str> =
            lines.iter().filter_map(|line| line["event"].as_str()).collect();
        events.sort_unstable();
        let mut expected = way.to_vec();
        expected.sort_unstable();
        assert_eq!(events, expected);
        let trace = lines[0]["trace_id"].as_str().expect("a trace");
        assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
        for line in lines {
            assert_eq!(
                (&line["user_id"], &line["trace_id"]),
                (&owner.as_str().into(), &trace.into()),
                "{line}"
            );
        }
        assert!(traces.insert(trace), "each upload begins a trace of its own");
    }
    // Whatever names the job in some other field names it in this one, too; the path of a request
    // is the client's.
    let others =
        log.iter().filter(|line| line["event"] != "request completed" && line["job_id"].is_null());
    for line in others {
        assert!(
            ![&done, &failed, &cancelled].iter().any(|job| line.to_string().contains(job.as_str())),
            "{line}"
        );
    }
}

/// Who brought or took which video, when, and from where.
#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_are_audited() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("TRUSTED_PROXIES", "1")]);
    let user = process.user().await;
    let upload =
        user.request(Method::POST, "/videos/upload").header("X-Forwarded-For", "203.0.113.7");
    let (status, accepted) = answer(upload.multipart(form(&[("clip.mp4", bytes_of(SHORT))]))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id");
    user.done(job).await;
    let link = user
        .request(Method::GET, &format!("/jobs/{job}/download"))
        .header("X-Forwarded-For", "2001:db8::1");
    assert_eq!(answer(link).await.0, StatusCode::OK);
    for (event, client) in
        [("a video was accepted", "203.0.113.7"), ("a download link was created", "2001:db8::1")]
    {
        let line = logged(&process, event).await;
        let told = ["job_id", "user_id", "client"].map(|field| line[field].as_str());
        assert_eq!(told, [Some(job), Some(user.id.as_str()), Some(client)], "{line}");
        assert!(line["size_bytes"].as_u64() > Some(0), "{line}");
    }
}
