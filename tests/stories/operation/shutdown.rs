//! Stopping: what runs may end, what cannot end is given back, and nothing is lost.

use std::path::Path;

use futures_util::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

use super::logged;
use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{LONG, SHORT, clip_bytes, scratch};
use crate::harness::mails::read_mails;
use crate::harness::process::Process;
use crate::harness::service::stored;

/// Retries follow at once.
const AT_ONCE: [(&str, &str); 1] = [("WORKER_RETRY_SECONDS", "0,0,0")];

/// A service that works on a long clip, and somebody who waits for it.
async fn at_work(process: &Process) -> (User<'_>, String) {
    let user = process.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for(&job, &["PROCESSING"]).await;
    (user, job)
}

/// Whether a log tells of this event.
fn tells(log: &[Value], event: &str) -> bool {
    log.iter().any(|line| line["event"] == event)
}

/// The job is done with all pictures, by this way, and its user is told once.
async fn done_after_all(user: &User<'_>, job: &str, directory: &Path, way: &[&str]) -> Value {
    let view = user.wait_until_done(job).await;
    assert_eq!(user.history(job).await[2..], *way);
    assert_eq!(
        Archive::read(user.archive(job).await).expect("the archive is whole").frames.len(),
        240
    );
    eventually("the mail", || async { (read_mails(directory).len() == 1).then_some(()) }).await;
    assert_eq!(read_mails(directory)[0].subject, "Your video is ready: 240_frames.mp4");
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn running_jobs_end_before_the_process() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let (user, job) = at_work(&process).await;
    let account = user.account();
    assert_eq!(
        process.request(Method::GET, "/ready").send().await.expect("it answers").status(),
        StatusCode::OK
    );
    process.signal("TERM");
    logged(&process, "stopping").await;
    // Whoever shares out requests learns it, either way.
    let ready = process.request(Method::GET, "/ready").send().await;
    assert!(
        ready.as_ref().map_or(true, |answer| answer.status() == StatusCode::SERVICE_UNAVAILABLE),
        "{ready:?}"
    );
    assert!(
        !tells(&process.log(), "the archive is done"),
        "the story needs a clip that takes longer"
    );
    let (status, log) = process.wait_for_exit();
    assert!(status.success(), "{status}");
    assert!(
        tells(&log, "the archive is done") && tells(&log, "the service has stopped"),
        "{log:?}"
    );

    let process = Process::start(directory.path(), &[]);
    let user = account.at(&process);
    let view = done_after_all(
        &user,
        &job,
        directory.path(),
        &["QUEUED>PROCESSING 1", "PROCESSING>DONE 1"],
    )
    .await;
    assert_eq!(view["retry_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_given_back_and_costs_no_attempt() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("GRACE_PERIOD_SECONDS", "0")]);
    let (user, job) = at_work(&process).await;
    let (account, owner) = (user.account(), user.id.clone());
    process.signal("TERM");
    let (status, log) = process.wait_for_exit();
    assert!(status.success(), "{status}");
    assert!(
        tells(&log, "the worker stops; the job is given back")
            && !tells(&log, "the archive is done"),
        "{log:?}"
    );
    let files: Vec<String> = stored(directory.path()).into_keys().collect();
    assert_eq!(files, [format!("videos/{owner}/{job}/input.mp4")], "nothing unfinished is left");

    let process = Process::start(directory.path(), &[]);
    let user = account.at(&process);
    // Neither the attempt that was given back nor the next is charged twice.
    let way = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING",
        "PROCESSING>PROCESSING 1",
        "PROCESSING>DONE 1",
    ];
    let view = done_after_all(&user, &job, directory.path(), &way).await;
    assert_eq!(view["retry_count"], 0);
    assert_eq!(stored(directory.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_process_at_once() {
    let directory = scratch();
    let process = Process::start(directory.path(), &AT_ONCE);
    let (user, job) = at_work(&process).await;
    let account = user.account();
    process.signal("INT");
    logged(&process, "stopping").await;
    process.signal("TERM");
    let (status, log) = process.wait_for_exit();
    // As the shell tells of a process that a signal ended.
    assert_eq!(status.code(), Some(130));
    assert!(!tells(&log, "the archive is done"), "{log:?}");

    let process = Process::start(directory.path(), &AT_ONCE);
    let user = account.at(&process);
    let way = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 WORKER_LOST",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>DONE 2",
    ];
    done_after_all(&user, &job, directory.path(), &way).await;
    assert_eq!(stored(directory.path()).len(), 2, "what was unfinished is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_has_begun_is_accepted_before_the_process_ends() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let account = user.account();
    let mut begin = clip_bytes(SHORT);
    let end = begin.split_off(begin.len() / 2);
    let (go, gone) = oneshot::channel();
    let rest = stream::once(async move {
        gone.await.map_err(std::io::Error::other)?;
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
    logged(&process, "stopping").await;
    go.send(()).expect("the upload waits");
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
