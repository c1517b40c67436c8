//! Live events of a job.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{Stream, StreamExt};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{PATIENCE, scratch};
use crate::parts::Parts::{self, Embedded, Servers};
use crate::process::Process;
use crate::service::{Client, User};

/// A clip that takes no time.
const SHORT: &str = "good/shorter_than_half_a_second.mp4";
/// A clip that takes seconds.
const LONG: &str = "long/240_pictures.mp4";

/// An open stream of events.
struct Watcher {
    bytes: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    text: String,
}

impl Watcher {
    async fn of(user: &User<'_>, job: &str) -> Self {
        let response = user
            .request(Method::GET, &format!("/jobs/{job}/events"))
            .send()
            .await
            .expect("the service answers");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { bytes: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next event; none when the stream ends.
    async fn next(&mut self) -> Option<Value> {
        let next = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    // Lines that begin with a colon keep the connection alive (HTML, 9.2.6).
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
                    assert_eq!(self.text, "", "the stream ends within an event");
                    return None;
                };
                self.text +=
                    &String::from_utf8_lossy(&bytes.expect("the stream ends as it should"));
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("an event or the end")
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
async fn a_job_is_seen_from_where_it_stands_to_its_end(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.send(LONG).await;
    let events = Watcher::of(&user, &job).await.rest().await;

    let seen = states(&events);
    assert!(
        ["QUEUED PROCESSING DONE", "PROCESSING DONE"].contains(&seen.join(" ").as_str()),
        "{seen:?}"
    );
    let counts: Vec<u64> =
        events.iter().map(|event| event["progress"]["done"].as_u64().expect("a count")).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    let between = counts.iter().filter(|count| (1..240).contains(*count)).count();
    assert!(between >= 1, "the progress is not seen on its way: {counts:?}");
    assert!(
        events.windows(2).all(|pair| pair[0] != pair[1]),
        "an event tells nothing new: {events:?}"
    );
    let promised: Vec<&Value> = events
        .iter()
        .map(|event| &event["progress"]["expected"])
        .filter(|value| !value.is_null())
        .collect();
    assert!(promised.len() >= 2 && promised.iter().all(|value| **value == 240), "{promised:?}");
    let last = json!({
        "job_id": job, "status": "DONE", "progress": { "done": 240, "expected": 240 }, "retry_count": 0, "error_code": null,
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
async fn the_stream_of_a_job_that_is_over_ends_at_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let (done, failed) = (user.send(SHORT).await, user.send("broken/noise_in_mp4.mp4").await);
    let cancelled = user.send(LONG).await;
    user.done(&done).await;
    user.until(&failed, &["FAILED"]).await;
    assert_eq!(user.delete(&format!("/videos/{cancelled}")).await.0, StatusCode::OK);
    for (job, state) in [(&done, "DONE"), (&failed, "FAILED"), (&cancelled, "CANCELLED")] {
        let (_, view) = user.get(&format!("/videos/{job}")).await;
        let event = json!({
            "job_id": job, "status": state, "progress": view["progress"], "retry_count": 0, "error_code": view["error_code"],
        });
        assert_eq!(Watcher::of(&user, job).await.rest().await, [event]);
    }
    service.advance(Duration::from_hours(7 * 24));
    service.running.upkeep().look().await.expect("the upkeep works");
    user.log_in_again().await;
    assert_eq!(states(&Watcher::of(&user, &done).await.rest().await), ["EXPIRED"]);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn cancelling_and_deleting_end_the_stream(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    for delete in [false, true] {
        let job = user.send(LONG).await;
        let mut watcher = Watcher::of(&user, &job).await;
        assert!(watcher.next().await.is_some(), "the job is there");
        assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
        if delete {
            assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::NO_CONTENT);
        }
        let rest = watcher.rest().await;
        let last = states(&rest).last().copied();
        // A job that is deleted at once may be gone before anybody has seen that it was cancelled.
        assert!(last == Some("CANCELLED") || delete && last != Some("DONE"), "{rest:?}");
    }
}

/// How many jobs a service looks at for those who watch them.
async fn watched(client: &Client) -> Option<String> {
    let response =
        client.request(Method::GET, "/metrics").send().await.expect("the service answers");
    let figures = response.text().await.expect("they are text");
    figures.lines().find_map(|line| line.strip_prefix("fiapx_watched_jobs ")).map(str::to_owned)
}

/// Wait until the service looks at so many jobs.
async fn until_watched(client: &Client, jobs: &str) {
    let seen = async {
        while watched(client).await.as_deref() != Some(jobs) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen)
        .await
        .unwrap_or_else(|_| panic!("the service does not come to look at {jobs} jobs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_watchers_see_the_same_end_by_one_look() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let job = user.send(LONG).await;
    let mut watchers = join_all((0..100).map(|_| Watcher::of(&user, &job))).await;
    for watcher in &mut watchers {
        assert!(watcher.next().await.is_some(), "the job is there");
    }
    assert_eq!(watched(&process).await.as_deref(), Some("1"), "all of them watch one job");
    let streams = join_all(watchers.into_iter().map(Watcher::rest)).await;
    let last = streams[0].last().expect("an end");
    assert_eq!(last["status"], "DONE");
    assert!(streams.iter().all(|events| events.last() == Some(last)), "not all see the end");
    until_watched(&process, "0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_stream_leaves_nothing_running() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    // While these are being worked on, the others wait.
    for _ in 0..3 {
        user.send(LONG).await;
    }
    let jobs = [user.send(LONG).await, user.send(LONG).await];
    let mut watchers = Vec::new();
    for job in &jobs {
        let mut watcher = Watcher::of(&user, job).await;
        assert!(watcher.next().await.is_some(), "the job is there");
        watchers.push(watcher);
    }
    until_watched(&process, "2").await;
    watchers.pop();
    until_watched(&process, "1").await;
    watchers.clear();
    until_watched(&process, "0").await;
    for job in &jobs {
        let (_, view) = user.get(&format!("/videos/{job}")).await;
        assert_eq!(view["status"], "QUEUED", "nobody saw an end: {view}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_open_streams(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.grace_seconds = 1).await;
    let user = service.user().await;
    let job = user.send(LONG).await;
    let mut watcher = Watcher::of(&user, &job).await;
    assert!(watcher.next().await.is_some(), "the job is there");
    service.running.stop_token().cancel();
    let rest = watcher.rest().await;
    assert!(!states(&rest).contains(&"DONE"), "the stream did not wait for the job: {rest:?}");
    tokio::time::timeout(PATIENCE, service.stop()).await.expect("the service stops");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_may_watch(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let job = user.send(SHORT).await;
    let path = format!("/jobs/{job}/events");
    let (status, problem) = crate::service::answer(service.request(Method::GET, &path)).await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("NOT_LOGGED_IN")));
    let cases = [
        (&other, path.as_str(), 403, "NOT_YOUR_JOB"),
        (&user, "/jobs/0190a000-0000-7000-8000-0000000000aa/events", 404, "JOB_NOT_FOUND"),
        (&user, "/jobs/1/events", 400, "INVALID_PARAMETER"),
    ];
    for (user, path, status, code) in cases {
        let (answered, problem) = user.get(path).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(code)), "{path}");
    }
}
