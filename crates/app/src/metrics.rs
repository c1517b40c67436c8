//! Metrics of this process, in the exposition format of Prometheus.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics::{Unit, counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use nix::sys::statvfs::statvfs;

use crate::version;

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// A distribution, with these upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A metric that processes of this service export.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name in Prometheus.
    pub name: &'static str,
    /// Type.
    pub kind: MetricKind,
    /// Unit.
    pub unit: Unit,
    /// Description.
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: MetricKind, unit: Unit, help: &'static str) -> Metric {
    Metric { name, kind, unit, help }
}

/// Buckets for the duration of a request, in seconds.
const REQUEST: MetricKind = MetricKind::Histogram(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
]);
/// Buckets for the duration of an attempt, in seconds. The default limit is 1,800 seconds.
const ATTEMPT: MetricKind = MetricKind::Histogram(&[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
]);
/// Buckets for the waiting time of a job, in seconds.
const WAIT: MetricKind = MetricKind::Histogram(&[
    0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 86_400.0,
]);

/// All metrics. Metrics of the whole system are exported with the same value by every worker
/// process.
pub const METRICS: [Metric; 42] = [
    metric(
        "fiapx_requests_total",
        MetricKind::Counter,
        Unit::Count,
        "Requests, by method, route and status.",
    ),
    metric(
        "fiapx_request_seconds",
        REQUEST,
        Unit::Seconds,
        "Time from the request to the head of its response, in seconds.",
    ),
    metric(
        "fiapx_connections",
        MetricKind::Gauge,
        Unit::Count,
        "Open connections, by port: `api` or `operators`.",
    ),
    metric(
        "fiapx_connections_refused_total",
        MetricKind::Counter,
        Unit::Count,
        "Connections closed because of a limit, by reason: `total`, `address` or `slow`.",
    ),
    metric(
        "fiapx_watched_jobs",
        MetricKind::Gauge,
        Unit::Count,
        "Jobs watched through event streams of this process.",
    ),
    metric(
        "fiapx_videos_accepted_total",
        MetricKind::Counter,
        Unit::Count,
        "Videos accepted for processing.",
    ),
    metric(
        "fiapx_uploads_refused_total",
        MetricKind::Counter,
        Unit::Count,
        "Uploads refused after they had begun, by problem code.",
    ),
    metric(
        "fiapx_upload_memory_bytes",
        MetricKind::Gauge,
        Unit::Bytes,
        "Memory reserved for sending videos or archives to an S3 store, in bytes.",
    ),
    metric(
        "fiapx_uploads_waiting_for_memory",
        MetricKind::Gauge,
        Unit::Count,
        "Videos or archives that wait for this memory.",
    ),
    metric(
        "fiapx_store_responses_lost_total",
        MetricKind::Counter,
        Unit::Count,
        "Objects that the S3 store has completed although the request failed.",
    ),
    metric(
        "fiapx_messages_published_total",
        MetricKind::Counter,
        Unit::Count,
        "Messages published from the outbox to the broker.",
    ),
    metric(
        "fiapx_wait_seconds",
        WAIT,
        Unit::Seconds,
        "Time from the acceptance of a video to its first attempt, in seconds.",
    ),
    metric(
        "fiapx_worker_slots",
        MetricKind::Gauge,
        Unit::Count,
        "Maximum number of concurrent attempts in this process.",
    ),
    metric(
        "fiapx_attempts_running",
        MetricKind::Gauge,
        Unit::Count,
        "Attempts running in this process.",
    ),
    metric(
        "fiapx_attempts_total",
        MetricKind::Counter,
        Unit::Count,
        "Finished attempts, by outcome: done, retried, failed, released, lost.",
    ),
    metric(
        "fiapx_failures_total",
        MetricKind::Counter,
        Unit::Count,
        "Failed attempts, by failure code.",
    ),
    metric(
        "fiapx_attempt_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Duration of attempts that produced an archive, in seconds.",
    ),
    metric(
        "fiapx_decode_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Thread time spent in the decoder per archive, in seconds.",
    ),
    metric(
        "fiapx_encode_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Thread time spent in the encoder per archive, in seconds.",
    ),
    metric("fiapx_frames_total", MetricKind::Counter, Unit::Count, "Frames in finished archives."),
    metric(
        "fiapx_video_bytes_total",
        MetricKind::Counter,
        Unit::Bytes,
        "Size of the videos of finished archives, in bytes.",
    ),
    metric(
        "fiapx_video_bytes_read_total",
        MetricKind::Counter,
        Unit::Bytes,
        "Bytes of videos that the engine read for finished archives.",
    ),
    metric(
        "fiapx_archive_bytes_total",
        MetricKind::Counter,
        Unit::Bytes,
        "Size of finished archives, in bytes.",
    ),
    metric(
        "fiapx_leases_lost_total",
        MetricKind::Counter,
        Unit::Count,
        "Leases that expired before their attempt finished.",
    ),
    metric(
        "fiapx_jobs_moved_to_history_total",
        MetricKind::Counter,
        Unit::Count,
        "Jobs moved to the history, some time after their retention.",
    ),
    metric(
        "fiapx_jobs",
        MetricKind::Gauge,
        Unit::Count,
        "Jobs in the whole system, by state, without those in the history.",
    ),
    metric(
        "fiapx_oldest_waiting_job_seconds",
        MetricKind::Gauge,
        Unit::Seconds,
        "Time for which the oldest due job has been waiting for an attempt, in seconds.",
    ),
    metric(
        "fiapx_queue_messages",
        MetricKind::Gauge,
        Unit::Count,
        "Messages in the queues of the broker; *.dlq holds dead letters. RabbitMQ does not count \
         unacknowledged messages.",
    ),
    metric(
        "fiapx_earlier_queue_messages",
        MetricKind::Gauge,
        Unit::Count,
        "Messages in queues of earlier releases at the broker, which are moved to their successors \
         once no process of such a release consumes them.",
    ),
    metric(
        "fiapx_dependency_reached",
        MetricKind::Gauge,
        Unit::Count,
        "Whether this process reached a dependency at its latest check: 1, or 0 if it did not.",
    ),
    metric(
        "fiapx_outbox_age_seconds",
        MetricKind::Gauge,
        Unit::Seconds,
        "Time for which the oldest due message has been waiting in the outbox, in seconds.",
    ),
    metric(
        "fiapx_mails_total",
        MetricKind::Counter,
        Unit::Count,
        "Attempts to send a mail, by outcome.",
    ),
    metric(
        "fiapx_webhook_tries_total",
        MetricKind::Counter,
        Unit::Count,
        "Attempts to deliver an event to a webhook, by outcome: delivered, retried, failed.",
    ),
    metric(
        "fiapx_webhooks_disabled_total",
        MetricKind::Counter,
        Unit::Count,
        "Webhooks that were disabled because of their receivers, by reason: GONE, FAILING.",
    ),
    metric(
        "fiapx_circuit_open",
        MetricKind::Gauge,
        Unit::Count,
        "Whether this worker takes no jobs because a part fails its check: 1, by part (storage, \
         cells), else 0.",
    ),
    metric(
        "fiapx_quarantined_jobs",
        MetricKind::Gauge,
        Unit::Count,
        "Jobs in the whole system whose rows maintenance cannot read and leaves alone.",
    ),
    metric(
        "fiapx_unknown_files",
        MetricKind::Gauge,
        Unit::Count,
        "Old files without a job that the last sweep of this process found.",
    ),
    metric(
        "fiapx_sweep_refused",
        MetricKind::Gauge,
        Unit::Count,
        "Whether the last sweep of this process deleted nothing for safety: 1, by reason \
         (other_installation, unmarked, many_unknown), else 0.",
    ),
    metric(
        "fiapx_disk_free_bytes",
        MetricKind::Gauge,
        Unit::Bytes,
        "Free space of the file system that holds the data directory, in bytes.",
    ),
    metric(
        "fiapx_disk_size_bytes",
        MetricKind::Gauge,
        Unit::Bytes,
        "Size of the file system that holds the data directory, in bytes.",
    ),
    metric(
        "fiapx_disk_reserve_bytes",
        MetricKind::Gauge,
        Unit::Bytes,
        "Disk space reserved for the expiry of files, in bytes; 0 while the disk is full. Only \
         with a database in the data directory.",
    ),
    metric(
        "fiapx_build_info",
        MetricKind::Gauge,
        Unit::Count,
        "Always 1; labels are the version, the commit, and the version of libavcodec.",
    ),
];

/// Install the recorder of this process. Further calls return the same handle.
pub fn install() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = HANDLE.get_or_init(|| {
        let builder = METRICS.iter().try_fold(PrometheusBuilder::new(), |builder, metric| {
            match metric.kind {
                MetricKind::Histogram(bounds) => {
                    builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
                }
                MetricKind::Counter | MetricKind::Gauge => Ok(builder),
            }
        });
        let handle = builder.ok()?.install_recorder().ok()?;
        describe();
        Some(handle)
    });
    installed.clone().context("another metrics recorder is installed in this process")
}

fn describe() {
    for Metric { name, kind, unit, help } in METRICS {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(name, unit, help),
            MetricKind::Gauge => metrics::describe_gauge!(name, unit, help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
        }
    }
    let libraries = frames::libav_versions();
    let libavcodec =
        libraries.into_iter().find(|(name, _)| *name == "libavcodec").map(|(_, version)| version);
    let labels = [
        ("version", version::VERSION.to_owned()),
        ("commit", version::COMMIT.to_owned()),
        ("libavcodec", libavcodec.unwrap_or_default()),
    ];
    gauge!("fiapx_build_info", &labels).set(1.0);
}

/// Start counters and gauges of uploads at 0: `increase()` in Prometheus misses a series whose
/// first sample is 1.
pub(crate) fn initialize_counters() {
    for code in ["UPLOAD_STALLED", "UPLOAD_TOO_SLOW", "UPLOAD_DISPLACED", "STORAGE_FULL"] {
        counter!("fiapx_uploads_refused_total", "code" => code).increment(0);
    }
    for reason in ["total", "address", "slow"] {
        counter!("fiapx_connections_refused_total", "reason" => reason).increment(0);
    }
    counter!("fiapx_store_responses_lost_total").increment(0);
    for purpose in ["videos", "archives"] {
        gauge!("fiapx_upload_memory_bytes", "of" => purpose).set(0.0);
        gauge!("fiapx_uploads_waiting_for_memory", "of" => purpose).set(0.0);
    }
}

/// Move recorded values into their histograms, which bounds their memory, and measure the file
/// system of `data_dir`. Runs until it is dropped.
pub async fn maintain(metrics: PrometheusHandle, data_dir: Option<PathBuf>) {
    /// Interval that the exporter's own server uses.
    const INTERVAL: Duration = Duration::from_secs(5);
    loop {
        metrics.run_upkeep();
        if let Some(Ok(disk)) = data_dir.as_deref().map(statvfs) {
            gauge!("fiapx_disk_free_bytes")
                .set((disk.blocks_available() * disk.fragment_size()) as f64);
            gauge!("fiapx_disk_size_bytes").set((disk.blocks() * disk.fragment_size()) as f64);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
