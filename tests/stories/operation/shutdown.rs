//! Shutdown: running jobs finish or are returned to the queue, and nothing is lost.

use std::path::Path;

use futures_util::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

use super::wait_for_event;
use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{LONG, SHORT, clip_bytes, scratch};
use crate::harness::mails::read_mails;
use crate::harness::process::Process;
use crate::harness::service::stored;

/// Retries without pauses.
const NO_PAUSES: [(&str, &str); 1] = [("WORKER_RETRY_SECONDS", "0,0,0")];

/// Upload a long clip and wait until it is processed; return its user and job.
async fn start_long_job(process: &Process) -> (User<'_>, String) {
    let user = process.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for(&job, &["PROCESSING"]).await;
    (user, job)
}

/// Whether a log has an event.
fn has_event(log: &[Value], event: &str) -> bool {
    log.iter().any(|line| line["event"] == event)
}

/// Check that a job is done with all frames, these changes of state, and one mail.
async fn expect_done(user: &User<'_>, job: &str, directory: &Path, changes: &[&str]) -> Value {
    let view = user.wait_until_done(job).await;
    assert_eq!(user.history(job).await[2..], *changes);
    assert_eq!(
        Archive::read(user.archive(job).await).expect("the archive is complete").frames.len(),
        240
    );
    eventually("the mail", || async { (read_mails(directory).len() == 1).then_some(()) }).await;
    assert_eq!(read_mails(directory)[0].subject, "Your video is ready: 240_frames.mp4");
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_finish_before_the_process_exits() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let (user, job) = start_long_job(&process).await;
    let account = user.account();
    assert_eq!(
        process.request(Method::GET, "/ready").send().await.expect("it responds").status(),
        StatusCode::OK
    );
    process.signal("TERM");
    wait_for_event(&process, "stopping").await;
    // Load balancers see a status of 503 or a closed port.
    let ready = process.request(Method::GET, "/ready").send().await;
    assert!(
        ready
            .as_ref()
            .map_or(true, |response| response.status() == StatusCode::SERVICE_UNAVAILABLE),
        "{ready:?}"
    );
    assert!(
        !has_event(&process.log(), "archive completed"),
        "the clip is too short for this story"
    );
    let (status, log) = process.wait_for_exit();
    assert!(status.success(), "{status}");
    assert!(
        has_event(&log, "archive completed") && has_event(&log, "the service has stopped"),
        "{log:?}"
    );

    let process = Process::start(directory.path(), &[]);
    let user = account.at(&process);
    let view =
        expect_done(&user, &job, directory.path(), &["QUEUED>PROCESSING 1", "PROCESSING>DONE 1"])
            .await;
    assert_eq!(view["retry_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_does_not_finish_in_time_is_returned_without_costing_an_attempt() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("GRACE_PERIOD_SECONDS", "0")]);
    let (user, job) = start_long_job(&process).await;
    let (account, owner) = (user.account(), user.id.clone());
    process.signal("TERM");
    let (status, log) = process.wait_for_exit();
    assert!(status.success(), "{status}");
    assert!(
        has_event(&log, "job released because the worker is stopping")
            && !has_event(&log, "archive completed"),
        "{log:?}"
    );
    let files: Vec<String> = stored(directory.path()).into_keys().collect();
    assert_eq!(files, [format!("videos/{owner}/{job}/input.mp4")], "an unfinished file is left");

    let process = Process::start(directory.path(), &[]);
    let user = account.at(&process);
    // The returned attempt does not count.
    let changes = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING",
        "PROCESSING>PROCESSING 1",
        "PROCESSING>DONE 1",
    ];
    let view = expect_done(&user, &job, directory.path(), &changes).await;
    assert_eq!(view["retry_count"], 0);
    assert_eq!(stored(directory.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let directory = scratch();
    let process = Process::start(directory.path(), &NO_PAUSES);
    let (user, job) = start_long_job(&process).await;
    let account = user.account();
    process.signal("INT");
    wait_for_event(&process, "stopping").await;
    process.signal("TERM");
    let (status, log) = process.wait_for_exit();
    // The code that a shell reports for a process that SIGINT ended.
    assert_eq!(status.code(), Some(130));
    assert!(!has_event(&log, "archive completed"), "{log:?}");

    let process = Process::start(directory.path(), &NO_PAUSES);
    let user = account.at(&process);
    let changes = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 WORKER_LOST",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>DONE 2",
    ];
    expect_done(&user, &job, directory.path(), &changes).await;
    assert_eq!(stored(directory.path()).len(), 2, "an unfinished file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_progress_is_accepted_before_the_process_exits() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let account = user.account();
    let mut begin = clip_bytes(SHORT);
    let end = begin.split_off(begin.len() / 2);
    let (resume, resumed) = oneshot::channel();
    let rest = stream::once(async move {
        resumed.await.map_err(std::io::Error::other)?;
        Ok::<_, std::io::Error>(end)
    });
    let video = Body::wrap_stream(stream::iter([Ok(begin)]).chain(rest));
    let form = Form::new().part("file", Part::stream(video).file_name("h264_aac.mp4"));
    let upload =
        tokio::spawn(fetch_json(user.request(Method::POST, "/videos/upload").multipart(form)));
    eventually("the video is being written", || async {
        (!stored(directory.path()).is_empty()).then_some(())
    })
    .await;
    process.signal("TERM");
    wait_for_event(&process, "stopping").await;
    resume.send(()).expect("the upload waits");
    let (status, accepted) = upload.await.expect("nothing panics");
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let (status, log) = process.wait_for_exit();
    assert!(status.success(), "{status}: {log:?}");

    let process = Process::start(directory.path(), &[]);
    let user = account.at(&process);
    let job = accepted["job_id"].as_str().expect("an id");
    user.wait_until_done(job).await;
    let folder = format!("videos/{}/{job}", user.id);
    let files: Vec<String> = stored(directory.path()).into_keys().collect();
    assert_eq!(files, [format!("{folder}/input.mp4"), format!("{folder}/output-1.zip")]);
}
