//! The figures, as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use app::metrics::{METRICS, Metric, MetricKind};
use reqwest::{Method, StatusCode, header};

use super::{LONG, SHORT, WRONG};
use crate::harness::{PATIENCE, scratch};
use crate::process::Process;
use crate::service::{Client, bytes_of};

/// All figures, by name and labels.
pub async fn figures(client: &Client) -> BTreeMap<String, f64> {
    let answer = client.request(Method::GET, "/metrics").send().await.expect("it answers");
    assert_eq!(answer.status(), StatusCode::OK);
    // Prometheus, "Exposition formats".
    assert!(
        answer.headers()[header::CONTENT_TYPE]
            .to_str()
            .expect("text")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = answer.text().await.expect("text");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let figure = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(figure).collect()
}

/// Wait until these figures have these values; gives all as they are then.
async fn become_so(client: &Client, expected: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = figures(client).await;
        let wrong: Vec<_> =
            expected.iter().filter(|(name, value)| all.get(*name) != Some(value)).collect();
        if wrong.is_empty() {
            return all;
        }
        assert!(Instant::now() < deadline, "{wrong:?} are not so: {all:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_counted() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let (done, failed) = (user.send(SHORT).await, user.send(WRONG).await);
    let archive = user.done(&done).await["zip_size_bytes"].as_f64().expect("a size");
    user.until(&failed, &["FAILED"]).await;
    let video = bytes_of(SHORT).len() as f64;
    let expected = [
        ("fiapx_videos_accepted_total", 2.0),
        ("fiapx_attempts_total{outcome=\"done\"}", 1.0),
        ("fiapx_attempts_total{outcome=\"failed\"}", 1.0),
        ("fiapx_attempt_seconds_count", 1.0),
        ("fiapx_attempt_seconds_bucket{le=\"+Inf\"}", 1.0),
        ("fiapx_decode_seconds_count", 1.0),
        ("fiapx_encode_seconds_count", 1.0),
        ("fiapx_wait_seconds_count", 2.0),
        ("fiapx_failures_total{code=\"NO_VIDEO_STREAM\"}", 1.0),
        ("fiapx_attempts_running", 0.0),
        ("fiapx_oldest_waiting_job_seconds", 0.0),
        ("fiapx_queue_messages{queue=\"video.process.dlq\"}", 1.0),
        ("fiapx_queue_messages{queue=\"notification.send.dlq\"}", 0.0),
        ("fiapx_frames_total", 6.0),
        ("fiapx_video_bytes_total", video),
        ("fiapx_archive_bytes_total", archive),
        ("fiapx_mails_total{outcome=\"sent\"}", 2.0),
        // To the workers, and from them.
        ("fiapx_messages_published_total", 4.0),
        ("fiapx_leases_lost_total", 0.0),
        ("fiapx_outbox_age_seconds", 0.0),
        ("fiapx_queue_messages{queue=\"video.process\"}", 0.0),
        ("fiapx_queue_messages{queue=\"notification.send\"}", 0.0),
        ("fiapx_jobs{state=\"QUEUED\"}", 0.0),
        ("fiapx_jobs{state=\"PROCESSING\"}", 0.0),
        ("fiapx_jobs{state=\"DONE\"}", 1.0),
        ("fiapx_jobs{state=\"FAILED\"}", 1.0),
        ("fiapx_requests_total{method=\"POST\",route=\"/videos/upload\",status=\"202\"}", 2.0),
        ("fiapx_request_seconds_count{method=\"POST\",route=\"/videos/upload\"}", 2.0),
    ];
    let all = become_so(&process, &expected).await;
    // Each id would be a series of its own.
    for id in [&done, &failed, &user.id] {
        assert!(!all.keys().any(|name| name.contains(id.as_str())), "{all:?}");
    }
    let sum = |name: &str| all[&format!("fiapx_{name}_seconds_sum")];
    let cores = std::thread::available_parallelism().expect("it is known").get() as f64;
    assert!(sum("decode") > 0.0 && sum("encode") > 0.0, "{all:?}");
    assert!(
        sum("decode") + sum("encode") < sum("attempt") * cores,
        "no thread has more time than there is: {all:?}"
    );
    assert!(all["fiapx_worker_slots"] >= 1.0, "{all:?}");
    assert!((0.0..all["fiapx_disk_size_bytes"]).contains(&all["fiapx_disk_free_bytes"]), "{all:?}");
}

/// What is written down of each is what stands before it, and nothing is told that is not written
/// down.
#[tokio::test(flavor = "multi_thread")]
async fn each_figure_is_explained() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let (done, failed) = (user.send(SHORT).await, user.send(WRONG).await);
    user.done(&done).await;
    user.until(&failed, &["FAILED"]).await;
    become_so(
        &process,
        &[("fiapx_mails_total{outcome=\"sent\"}", 2.0), ("fiapx_jobs{state=\"DONE\"}", 1.0)],
    )
    .await;
    let text = process
        .request(Method::GET, "/metrics")
        .send()
        .await
        .expect("it answers")
        .text()
        .await
        .expect("text");
    let told: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let line = |figure: &Metric| match figure.kind {
        MetricKind::Counter => format!("{} counter", figure.name),
        MetricKind::Gauge => format!("{} gauge", figure.name),
        MetricKind::Histogram(_) => format!("{} histogram", figure.name),
    };
    let explained: BTreeSet<String> = METRICS.iter().map(line).collect();
    assert_eq!(told, explained.iter().map(String::as_str).collect());
    for Metric { name, help, .. } in METRICS {
        assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_counted() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    let video = bytes_of(LONG);
    // So many that some wait still when the figures are next brought up to date, which they are
    // every five seconds.
    let videos: [(&str, Vec<u8>); 16] = std::array::from_fn(|_| ("long.mp4", video.clone()));
    let (status, accepted) = user.upload(&videos).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = |index: usize| accepted["jobs"][index]["job_id"].as_str().expect("an id").to_owned();
    // The last is cancelled while it waits, the others while they wait or run.
    let waiting =
        [("fiapx_jobs{state=\"PROCESSING\"}", 1.0), ("fiapx_jobs{state=\"CANCELLED\"}", 1.0)];
    user.delete(&format!("/videos/{}", job(15))).await;
    let all = become_so(&process, &waiting).await;
    let (queued, messages) =
        (all["fiapx_jobs{state=\"QUEUED\"}"], all["fiapx_queue_messages{queue=\"video.process\"}"]);
    assert!(queued > 0.0 && messages > queued, "{all:?}");
    assert!(
        all["fiapx_oldest_waiting_job_seconds"] > 0.0 && all["fiapx_attempts_running"] > 0.0,
        "{all:?}"
    );
    for index in 0..15 {
        user.delete(&format!("/videos/{}", job(index))).await;
    }
    become_so(
        &process,
        &[("fiapx_jobs{state=\"QUEUED\"}", 0.0), ("fiapx_jobs{state=\"PROCESSING\"}", 0.0)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_can_have_a_port_of_their_own() {
    let directory = scratch();
    let free = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("there are ports")
        .to_string();
    let process = Process::start(directory.path(), &[("METRICS_LISTEN", &free)]);
    let public = process.request(Method::GET, "/metrics").send().await.expect("it answers");
    assert_eq!(public.status(), StatusCode::NOT_FOUND);
    let own = Client::of(&free);
    become_so(
        &own,
        &[
            ("fiapx_requests_total{method=\"GET\",route=\"none\",status=\"404\"}", 1.0),
            ("fiapx_jobs{state=\"DONE\"}", 0.0),
        ],
    )
    .await;
    assert_eq!(
        own.request(Method::GET, "/videos").send().await.expect("it answers").status(),
        StatusCode::NOT_FOUND
    );
}
