//! The figures of this process, as Prometheus reads them.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use metrics::{Unit, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use nix::sys::statvfs::statvfs;

use crate::version;

/// What a figure is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Values counted by their size, up to these bounds.
    Histogram(&'static [f64]),
}

/// A figure that processes of this service tell.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// What it says.
    pub help: &'static str,
}

const fn figure(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Figure {
    Figure { name, kind, unit, help }
}

/// Seconds of a request.
const REQUEST: Kind = Kind::Histogram(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
]);
/// Seconds of an attempt, which may take as long as WORKER_TIMEOUT_SECONDS.
const ATTEMPT: Kind = Kind::Histogram(&[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
]);
/// Seconds that a job waits.
const WAIT: Kind = Kind::Histogram(&[
    0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 86_400.0,
]);

/// All figures. What is said of the whole system is said by every process with workers alike.
pub const FIGURES: [Figure; 25] = [
    figure(
        "fiapx_requests_total",
        Kind::Counter,
        Unit::Count,
        "Requests answered, by method, route and status.",
    ),
    figure(
        "fiapx_request_seconds",
        REQUEST,
        Unit::Seconds,
        "Seconds from a request to the head of its answer.",
    ),
    figure(
        "fiapx_watched_jobs",
        Kind::Gauge,
        Unit::Count,
        "Jobs that somebody watches through this process.",
    ),
    figure("fiapx_videos_accepted_total", Kind::Counter, Unit::Count, "Videos that became jobs."),
    figure(
        "fiapx_messages_published_total",
        Kind::Counter,
        Unit::Count,
        "Messages brought from the outbox to the broker.",
    ),
    figure(
        "fiapx_wait_seconds",
        WAIT,
        Unit::Seconds,
        "Seconds from the acceptance of a video to its first attempt.",
    ),
    figure(
        "fiapx_worker_slots",
        Kind::Gauge,
        Unit::Count,
        "Attempts that this process runs at once at most.",
    ),
    figure(
        "fiapx_attempts_running",
        Kind::Gauge,
        Unit::Count,
        "Attempts that run in this process.",
    ),
    figure(
        "fiapx_attempts_total",
        Kind::Counter,
        Unit::Count,
        "Attempts that ended, by outcome: done, retried, failed, released, lost.",
    ),
    figure(
        "fiapx_failures_total",
        Kind::Counter,
        Unit::Count,
        "Attempts that failed, by the code of the failure.",
    ),
    figure(
        "fiapx_attempt_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Seconds of attempts that gave an archive.",
    ),
    figure(
        "fiapx_decode_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Seconds that threads spent in the decoder, for each archive.",
    ),
    figure(
        "fiapx_encode_seconds",
        ATTEMPT,
        Unit::Seconds,
        "Seconds that threads spent on making PNGs, for each archive.",
    ),
    figure(
        "fiapx_frames_total",
        Kind::Counter,
        Unit::Count,
        "Pictures in archives that were made.",
    ),
    figure(
        "fiapx_video_bytes_total",
        Kind::Counter,
        Unit::Bytes,
        "Bytes of the videos of archives that were made.",
    ),
    figure(
        "fiapx_archive_bytes_total",
        Kind::Counter,
        Unit::Bytes,
        "Bytes of archives that were made.",
    ),
    figure(
        "fiapx_leases_lost_total",
        Kind::Counter,
        Unit::Count,
        "Leases that ended before their attempt did.",
    ),
    figure("fiapx_jobs", Kind::Gauge, Unit::Count, "Jobs in the whole system, by state."),
    figure(
        "fiapx_oldest_waiting_job_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Seconds that the oldest job has been due without an attempt.",
    ),
    figure(
        "fiapx_queue_messages",
        Kind::Gauge,
        Unit::Count,
        "Messages in the broker's queues, .dlq being dead letters. RabbitMQ does not count those that a worker has.",
    ),
    figure(
        "fiapx_outbox_age_seconds",
        Kind::Gauge,
        Unit::Seconds,
        "Seconds that the oldest message has been due in the outbox.",
    ),
    figure("fiapx_mails_total", Kind::Counter, Unit::Count, "Mails, by what became of them."),
    figure(
        "fiapx_disk_free_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Bytes free where this process keeps files, if on its own disk.",
    ),
    figure(
        "fiapx_disk_size_bytes",
        Kind::Gauge,
        Unit::Bytes,
        "Bytes of the file system where this process keeps files.",
    ),
    figure(
        "fiapx_build_info",
        Kind::Gauge,
        Unit::Count,
        "1, with the version, the commit and libavcodec's version as labels.",
    ),
];

/// The figures of this process, of which there is one set.
pub fn install() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let installed = HANDLE.get_or_init(|| {
        let builder = FIGURES.iter().try_fold(PrometheusBuilder::new(), |builder, figure| {
            match figure.kind {
                Kind::Histogram(bounds) => {
                    builder.set_buckets_for_metric(Matcher::Full(figure.name.to_owned()), bounds)
                }
                Kind::Counter | Kind::Gauge => Ok(builder),
            }
        });
        let handle = builder.ok()?.install_recorder().ok()?;
        describe();
        Some(handle)
    });
    installed.clone().context("the figures of this process are collected by something else")
}

fn describe() {
    for Figure { name, kind, unit, help } in FIGURES {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, unit, help),
            Kind::Gauge => metrics::describe_gauge!(name, unit, help),
            Kind::Histogram(_) => metrics::describe_histogram!(name, unit, help),
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

/// Put what was measured since the last time into its histograms, for until then each value takes
/// memory; and look at the file system of `files`.
pub async fn keep(figures: PrometheusHandle, files: Option<PathBuf>) {
    /// As often as the exporter does where it serves the figures itself.
    const EVERY: Duration = Duration::from_secs(5);
    loop {
        figures.run_upkeep();
        if let Some(Ok(disk)) = files.as_deref().map(statvfs) {
            gauge!("fiapx_disk_free_bytes")
                .set((disk.blocks_available() * disk.fragment_size()) as f64);
            gauge!("fiapx_disk_size_bytes").set((disk.blocks() * disk.fragment_size()) as f64);
        }
        tokio::time::sleep(EVERY).await;
    }
}
