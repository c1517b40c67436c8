//! Live events of a job.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::client::{Client, User};
use crate::harness::clips::{LONG, ONE_FRAME, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;

/// An open stream of a job's events.
struct EventStream {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    text: String,
}

impl EventStream {
    async fn of(user: &User<'_>, job: &str) -> Self {
        let response = user
            .request(Method::GET, &format!("/jobs/{job}/events"))
            .send()
            .await
            .expect("the service responds");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// Next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        let next = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    // Comments, which begin with a colon, keep the connection alive (HTML, 9.2.6).
                    if event.starts_with(':') {
                        continue;
                    }
                    let data = event
                        .lines()
                        .find_map(|line| line.strip_prefix("data:"))
                        .expect("an event has data");
                    assert!(
                        event.lines().any(|line| line.replace(": ", ":") == "event:job"),
                        "{event}"
                    );
                    return Some(serde_json::from_str(data).expect("data is JSON"));
                }
                let Some(bytes) = self.bytes.next().await else {
                    assert_eq!(self.text, "", "the stream ends in the middle of an event");
                    return None;
                };
                self.text += &String::from_utf8_lossy(&bytes.expect("the stream has no error"));
            }
        };
        tokio::time::timeout(TIMEOUT, next).await.expect("an event or the end in time")
    }

    /// All events up to the end of the stream.
    async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn states(events: &[Value]) -> Vec<&str> {
    let mut states: Vec<&str> =
        events.iter().map(|event| event["status"].as_str().expect("a state")).collect();
    states.dedup();
    states
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn events_report_a_job_from_its_current_state_to_its_end(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    let events = EventStream::of(&user, &job).await.rest().await;

    let seen = states(&events);
    assert!(
        ["QUEUED PROCESSING DONE", "PROCESSING DONE"].contains(&seen.join(" ").as_str()),
        "{seen:?}"
    );
    let counts: Vec<u64> =
        events.iter().map(|event| event["progress"]["done"].as_u64().expect("a count")).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    let between = counts.iter().filter(|count| (1..240).contains(*count)).count();
    assert!(between >= 1, "no progress is reported: {counts:?}");
    assert!(
        events.windows(2).all(|pair| pair[0] != pair[1]),
        "an event repeats the previous one: {events:?}"
    );
    let expected: Vec<&Value> = events
        .iter()
        .map(|event| &event["progress"]["expected"])
        .filter(|value| !value.is_null())
        .collect();
    assert!(expected.len() >= 2 && expected.iter().all(|value| **value == 240), "{expected:?}");
    let last = json!({
        "job_id": job,
        "status": "DONE",
        "progress": { "done": 240, "expected": 240 },
        "recipe": { "select": { "every": 1 }, "image": { "format": "png" } },
        "retry_count": 0,
        "error_code": null,
    });
    assert_eq!(events.last(), Some(&last));
    let (_, view) = user.get(&format!("/videos/{job}")).await;
    assert_eq!(
        (&view["status"], &view["progress"], &view["frame_count"]),
        (&last["status"], &last["progress"], &json!(240))
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_finished_job_ends_at_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let (done, failed) =
        (user.upload_clip(ONE_FRAME).await, user.upload_clip("broken/noise_in_mp4.mp4").await);
    let cancelled = user.upload_clip(LONG).await;
    user.wait_until_done(&done).await;
    user.wait_for(&failed, &["FAILED"]).await;
    assert_eq!(user.delete(&format!("/videos/{cancelled}")).await.0, StatusCode::OK);
    for (job, state) in [(&done, "DONE"), (&failed, "FAILED"), (&cancelled, "CANCELLED")] {
        let (_, view) = user.get(&format!("/videos/{job}")).await;
        let event = json!({
            "job_id": job,
            "status": state,
            "progress": view["progress"],
            "recipe": view["recipe"],
            "retry_count": 0,
            "error_code": view["error_code"],
        });
        assert_eq!(EventStream::of(&user, job).await.rest().await, [event]);
    }
    service.advance(Duration::from_hours(7 * 24));
    service.run_maintenance().await;
    user.log_in_again().await;
    assert_eq!(states(&EventStream::of(&user, &done).await.rest().await), ["EXPIRED"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_deleting_end_the_stream(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    for delete in [false, true] {
        let job = user.upload_clip(LONG).await;
        let mut stream = EventStream::of(&user, &job).await;
        assert!(stream.next().await.is_some(), "an event");
        assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
        if delete {
            assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::NO_CONTENT);
        }
        let rest = stream.rest().await;
        let last = states(&rest).last().copied();
        // A job that is deleted right away may be gone before its cancellation is reported.
        assert!(last == Some("CANCELLED") || delete && last != Some("DONE"), "{rest:?}");
    }
}

/// Number of jobs that a service polls for open streams.
async fn watched(client: &Client) -> Option<String> {
    let response =
        client.request(Method::GET, "/metrics").send().await.expect("the service responds");
    let metrics = response.text().await.expect("text");
    metrics.lines().find_map(|line| line.strip_prefix("fiapx_watched_jobs ")).map(str::to_owned)
}

/// Wait until the service polls this number of jobs.
async fn wait_until_watched(client: &Client, jobs: &str) {
    let seen = async {
        while watched(client).await.as_deref() != Some(jobs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, seen)
        .await
        .unwrap_or_else(|_| panic!("the service does not poll {jobs} jobs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_streams_of_a_job_share_one_poll() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let job = user.upload_clip(LONG).await;
    let mut streams = join_all((0..100).map(|_| EventStream::of(&user, &job))).await;
    for stream in &mut streams {
        assert!(stream.next().await.is_some(), "an event");
    }
    assert_eq!(watched(&process).await.as_deref(), Some("1"), "all streams are of one job");
    let streams = join_all(streams.into_iter().map(EventStream::rest)).await;
    let last = streams[0].last().expect("an end");
    assert_eq!(last["status"], "DONE");
    assert!(streams.iter().all(|events| events.last() == Some(last)), "the last events differ");
    wait_until_watched(&process, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_stream_ends_its_poll() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    // These occupy the worker, so that the others wait.
    for _ in 0..3 {
        user.upload_clip(LONG).await;
    }
    let jobs = [user.upload_clip(LONG).await, user.upload_clip(LONG).await];
    let mut streams = Vec::new();
    for job in &jobs {
        let mut stream = EventStream::of(&user, job).await;
        assert!(stream.next().await.is_some(), "an event");
        streams.push(stream);
    }
    wait_until_watched(&process, "2").await;
    streams.pop();
    wait_until_watched(&process, "1").await;
    streams.clear();
    wait_until_watched(&process, "0").await;
    for job in &jobs {
        let (_, view) = user.get(&format!("/videos/{job}")).await;
        assert_eq!(view["status"], "QUEUED", "the stream was closed before the job began: {view}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_open_streams(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.grace_seconds = 1).await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    let mut stream = EventStream::of(&user, &job).await;
    assert!(stream.next().await.is_some(), "an event");
    service.running.stop_token().cancel();
    let rest = stream.rest().await;
    assert!(!states(&rest).contains(&"DONE"), "the stream waited for the job: {rest:?}");
    tokio::time::timeout(TIMEOUT, service.stop()).await.expect("the service stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_of_each_user_are_limited() {
    let service = Embedded.with(|settings| settings.limits.event_streams_at_once = 2).await;
    let (user, other) = (service.user().await, service.user().await);
    let (job, others) = (user.upload_clip(LONG).await, other.upload_clip(LONG).await);
    let path = format!("/jobs/{job}/events");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = EventStream::of(&user, &job).await;
        assert!(stream.next().await.is_some(), "an event");
        streams.push(stream);
    }
    let rejected = user.request(Method::GET, &path).send().await.expect("the service responds");
    assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.headers()["retry-after"], "1");
    let problem: Value = rejected.json().await.expect("responses are JSON");
    assert_eq!(problem["code"], "TOO_MANY_AT_ONCE");
    drop(EventStream::of(&other, &others).await);
    streams.pop();
    eventually("a stream may be opened again", || async {
        let response = user.request(Method::GET, &path).send().await.expect("it responds");
        response.status().is_success().then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_watch(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let job = user.upload_clip(ONE_FRAME).await;
    let path = format!("/jobs/{job}/events");
    let (status, problem) =
        crate::harness::client::fetch_json(service.request(Method::GET, &path)).await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("NOT_LOGGED_IN")));
    let cases = [
        (&other, path.as_str(), 403, "NOT_YOUR_JOB"),
        (&user, "/jobs/0190a000-0000-7000-8000-0000000000aa/events", 404, "JOB_NOT_FOUND"),
        (&user, "/jobs/1/events", 400, "INVALID_PARAMETER"),
    ];
    for (user, path, status, code) in cases {
        let (actual, problem) = user.get(path).await;
        assert_eq!((actual.as_u16(), &problem["code"]), (status, &json!(code)), "{path}");
    }
}
