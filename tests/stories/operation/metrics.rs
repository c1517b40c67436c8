//! Metrics, as Prometheus reads them.

use std::collections::BTreeSet;

use app::metrics::{METRICS, Metric, MetricKind};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

use crate::harness::client::Client;
use crate::harness::clips::{LONG, SHORT, WRONG, clip_bytes, scratch};
use crate::harness::metrics::{wait_for_metrics, wait_until_metrics};
use crate::harness::process::{Process, free_address};

#[tokio::test(flavor = "multi_thread")]
async fn completed_work_is_counted() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let (done, failed) = (user.upload_clip(SHORT).await, user.upload_clip(WRONG).await);
    let archive = user.wait_until_done(&done).await["zip_size_bytes"].as_f64().expect("a size");
    user.wait_for(&failed, &["FAILED"]).await;
    let video = clip_bytes(SHORT).len() as f64;
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
        // Two to the workers, and two with their outcomes.
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
    let all = wait_for_metrics(&process, &expected).await;
    // An id in a label would create a series for each job or user.
    for id in [&done, &failed, &user.id] {
        assert!(!all.keys().any(|name| name.contains(id.as_str())), "{all:?}");
    }
    assert!(all["fiapx_video_bytes_read_total"] >= video, "{all:?}");
    let sum = |name: &str| all[&format!("fiapx_{name}_seconds_sum")];
    let cores = std::thread::available_parallelism().expect("it is known").get() as f64;
    assert!(sum("decode") > 0.0 && sum("encode") > 0.0, "{all:?}");
    assert!(
        sum("decode") + sum("encode") < sum("attempt") * cores,
        "more time than all cores have: {all:?}"
    );
    assert!(all["fiapx_worker_slots"] >= 1.0, "{all:?}");
    assert!((0.0..all["fiapx_disk_size_bytes"]).contains(&all["fiapx_disk_free_bytes"]), "{all:?}");
}

/// Each metric has the type and help text of its description, and no other metric is exposed.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_described() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let (done, failed) = (user.upload_clip(SHORT).await, user.upload_clip(WRONG).await);
    user.wait_until_done(&done).await;
    user.wait_for(&failed, &["FAILED"]).await;
    wait_for_metrics(
        &process,
        &[("fiapx_mails_total{outcome=\"sent\"}", 2.0), ("fiapx_jobs{state=\"DONE\"}", 1.0)],
    )
    .await;
    let response = process.request(Method::GET, "/metrics").send().await.expect("it responds");
    let text = response.text().await.expect("text");
    let exposed: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let line = |metric: &Metric| match metric.kind {
        MetricKind::Counter => format!("{} counter", metric.name),
        MetricKind::Gauge => format!("{} gauge", metric.name),
        MetricKind::Histogram(_) => format!("{} histogram", metric.name),
    };
    let described: BTreeSet<String> = METRICS.iter().map(line).collect();
    assert_eq!(exposed, described.iter().map(String::as_str).collect());
    for Metric { name, help, .. } in METRICS {
        assert!(text.contains(&format!("# HELP {name} {help}\n")), "{name}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_jobs_are_counted() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    let video = clip_bytes(LONG);
    // Enough that some still wait when the metrics are next updated, which happens every five
    // seconds.
    let videos: [(&str, Vec<u8>); 16] = std::array::from_fn(|_| ("long.mp4", video.clone()));
    let (status, accepted) = user.upload(&videos).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = |index: usize| accepted["jobs"][index]["job_id"].as_str().expect("an id").to_owned();
    // The last job is cancelled while it waits, the others while they wait or run.
    user.delete(&format!("/videos/{}", job(15))).await;
    wait_until_metrics(&process, |all| {
        let value = |name: &str| all.get(name).copied().unwrap_or_default();
        let is_one = |name: &str| all.get(name) == Some(&1.0);
        let queued = value("fiapx_jobs{state=\"QUEUED\"}");
        let reached = [
            ("running", is_one("fiapx_jobs{state=\"PROCESSING\"}")),
            ("cancelled", is_one("fiapx_jobs{state=\"CANCELLED\"}")),
            ("queued", queued > 0.0),
            ("messages", value("fiapx_queue_messages{queue=\"video.process\"}") > queued),
            ("oldest", value("fiapx_oldest_waiting_job_seconds") > 0.0),
            ("attempts", value("fiapx_attempts_running") > 0.0),
        ];
        match reached.iter().find(|(_, reached)| !reached) {
            None => Ok(()),
            Some((name, _)) => Err(format!("unexpected number: {name}")),
        }
    })
    .await;
    for index in 0..15 {
        user.delete(&format!("/videos/{}", job(index))).await;
    }
    wait_for_metrics(
        &process,
        &[("fiapx_jobs{state=\"QUEUED\"}", 0.0), ("fiapx_jobs{state=\"PROCESSING\"}", 0.0)],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_can_have_their_own_port() {
    let (directory, address) = (scratch(), free_address());
    let process = Process::start(directory.path(), &[("METRICS_LISTEN", &address)]);
    let public = process.request(Method::GET, "/metrics").send().await.expect("it responds");
    assert_eq!(public.status(), StatusCode::NOT_FOUND);
    let own = Client::of(&address);
    wait_for_metrics(
        &own,
        &[
            ("fiapx_requests_total{method=\"GET\",route=\"none\",status=\"404\"}", 1.0),
            ("fiapx_jobs{state=\"DONE\"}", 0.0),
        ],
    )
    .await;
    for (path, status) in [("/metrics", StatusCode::OK), ("/videos", StatusCode::NOT_FOUND)] {
        let response = own.request(Method::GET, path).send().await.expect("it responds");
        assert_eq!(response.status(), status);
        let header = |name: &str| response.headers().get(name).map(HeaderValue::as_bytes);
        assert_eq!(header("x-content-type-options"), Some(b"nosniff".as_slice()), "{path}");
        assert_eq!(header("cache-control"), Some(b"no-store".as_slice()), "{path}");
    }
}
