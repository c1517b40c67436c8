//! Traces: one from an upload to the mail, through all processes, without private data. A collector
//! that fails affects no job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::wait_for_event;
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, fetch_json, form};
use crate::harness::clips::{SHORT, WRONG, clip_bytes, scratch, with_decoder_command};
use crate::harness::collector::{Behavior, Collector, Span};
use crate::harness::mails::read_mails;
use crate::harness::parts::{
    Namespaces,
    Parts::{self, Embedded, Servers},
};
use crate::harness::process::{Process, free_address};

/// Trace of a client.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
/// Span of that client.
const CLIENT: &str = "b7ad6b7169203331";

/// A service whose processes send traces to a collector.
struct TracedService {
    collector: Arc<Collector>,
    processes: Vec<Process>,
    directory: TempDir,
    namespaces: Option<Namespaces>,
}

impl TracedService {
    /// Start one process on embedded parts, or one for each role on servers.
    async fn start(parts: Parts, more: &[(&str, &str)]) -> Self {
        let (collector, directory, namespaces) = (
            Arc::new(Collector::start(Behavior::Accept).await),
            scratch(),
            parts.namespaces().await,
        );
        let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
        let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), SEND_SOON];
        let environment: Vec<(&str, &str)> =
            variables.chain(exporting).chain(more.iter().copied()).collect();
        let role = |arguments: &[&str]| {
            Process::role(arguments, &directory.path().join(arguments[0]), &environment)
        };
        let processes = if parts == Embedded {
            vec![Process::start(directory.path(), &environment)]
        } else {
            block_in_place(|| namespaces.as_ref().expect("on servers").migrate());
            vec![role(&["api", "--listen", "127.0.0.1:0"]), role(&["worker"]), role(&["notifier"])]
        };
        Self { collector, processes, directory, namespaces }
    }

    /// Wait until a trace has `count` spans, and return them.
    async fn trace(&self, trace: &str, count: usize) -> Vec<Span> {
        let of_trace = || {
            self.collector
                .spans()
                .into_iter()
                .filter(|span| span.trace == trace)
                .collect::<Vec<_>>()
        };
        let found =
            eventually("the spans", async || Some(of_trace()).filter(|spans| spans.len() >= count))
                .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// Wait for a number of mails.
    async fn wait_for_mails(&self, count: usize) {
        let mails = || {
            self.namespaces.as_ref().map_or_else(
                || read_mails(self.directory.path()).len(),
                |namespaces| namespaces.mailbox.received().len(),
            )
        };
        eventually("the mails", async || (mails() == count).then_some(())).await;
    }

    /// Stop all processes, and return their logs.
    fn stop(self) -> Vec<Value> {
        for process in &self.processes {
            process.signal("TERM");
        }
        let exited = self.processes.into_iter().map(|process| {
            let (status, log) = block_in_place(|| process.wait_for_exit());
            assert!(status.success(), "{status}: {log:?}");
            log
        });
        exited.flatten().collect()
    }
}

/// Sends spans after 100 ms instead of five seconds.
const SEND_SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// Names of the spans with those of their parents; the client's span is `client`.
fn parents(spans: &[Span]) -> Vec<(String, String)> {
    let names: BTreeMap<&str, &str> = spans
        .iter()
        .map(|span| (span.id.as_str(), span.name.as_str()))
        .chain([(CLIENT, "client")])
        .collect();
    let parent = |span: &Span| {
        names
            .get(span.parent.as_str())
            .map_or_else(|| span.parent.clone(), |name| (*name).to_owned())
    };
    let mut pairs: Vec<_> = spans.iter().map(|span| (span.name.clone(), parent(span))).collect();
    pairs.sort();
    pairs
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// Header `traceparent` of a request in the client's trace.
fn traceparent() -> String {
    format!("00-{TRACE}-{CLIENT}-01")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_upload_to_the_mail(#[values(Embedded, Servers)] parts: Parts) {
    // Traces do not depend on the level of the log.
    let level =
        if parts == Embedded { ("LOG_LEVEL", "info") } else { ("LOG_LEVEL", "off,app=info") };
    let service = TracedService::start(parts, &[level]).await;
    let user = service.processes[0].user().await;
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    let (status, accepted) =
        fetch_json(upload.multipart(form(&[("my holiday.mp4", clip_bytes(SHORT))]))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_until_done(&job).await;
    service.wait_for_mails(1).await;
    let (email, access) = (user.email.clone(), user.access.clone());
    let spans = service.trace(TRACE, 10).await;
    let expected = [
        ("POST /videos/upload", "client"),
        ("accept videos", "POST /videos/upload"),
        ("complete archive", "process video.process"),
        ("extract frames", "process video.process"),
        ("process notification.send", "send notification.send"),
        ("process video.process", "send video.process"),
        ("receive video", "POST /videos/upload"),
        ("send mail", "POST /videos/upload"),
        ("send notification.send", "POST /videos/upload"),
        ("send video.process", "POST /videos/upload"),
    ];
    assert_eq!(
        parents(&spans),
        expected.map(|(span, parent)| (span.to_owned(), parent.to_owned()))
    );

    check_attributes(&spans, &job, parts);
    check_resources(&spans, parts);
    // Includes the spans of requests in other traces.
    for span in service.collector.spans() {
        for private in [&*email, &*access, PASSWORD, "holiday", "eyJ"] {
            assert!(!span.text.contains(private), "{private} is in {}", span.text);
        }
    }
    let log = service.stop();
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert_eq!(of_job.is_empty(), parts == Servers, "{log:#?}");
    assert!(of_job.iter().all(|line| line["trace_id"] == TRACE), "{of_job:#?}");
}

/// Check the kinds and attributes of the spans of a job that is done.
fn check_attributes(spans: &[Span], job: &str, parts: Parts) {
    let check = |span: &str, kind: &str, attributes: &[(&str, Value)]| {
        let span = named(spans, span);
        assert_eq!(
            (span.kind.as_str_name(), span.failed),
            (format!("SPAN_KIND_{kind}").as_str(), false),
            "{span:#?}"
        );
        for (name, value) in attributes {
            assert_eq!(span.attributes.get(*name), Some(value), "{name} of {span:#?}");
        }
    };
    let of_job = ("fiapx.job.id", Value::from(job));
    let system = if parts == Embedded { "fiapx" } else { "rabbitmq" };
    let messaging = |queue: &str, operation: &str| {
        [
            of_job.clone(),
            ("messaging.system", system.into()),
            ("messaging.destination.name", queue.into()),
            ("messaging.operation.type", operation.into()),
        ]
    };
    let request = [
        ("http.request.method", "POST".into()),
        ("http.route", "/videos/upload".into()),
        ("http.response.status_code", 202.into()),
    ];
    check("POST /videos/upload", "SERVER", &request);
    check("send video.process", "PRODUCER", &messaging("video.process", "send"));
    check("process video.process", "CONSUMER", &messaging("video.process", "process"));
    let attempt = [("fiapx.attempt", 1.into()), ("fiapx.outcome", "done".into())];
    check("process video.process", "CONSUMER", &attempt);
    check("process notification.send", "CONSUMER", &messaging("notification.send", "process"));
    check("send mail", "CLIENT", &[of_job.clone(), ("fiapx.outcome", "sent".into())]);
    check("receive video", "INTERNAL", std::slice::from_ref(&of_job));
    let message = |span| &named(spans, span).attributes["messaging.message.id"];
    assert_eq!(message("send video.process"), message("process video.process"));
}

/// Check which process each span is from.
fn check_resources(spans: &[Span], parts: Parts) {
    for (span, role) in [
        ("POST /videos/upload", "api"),
        ("process video.process", "worker"),
        ("process notification.send", "notifier"),
        ("send mail", "notifier"),
    ] {
        let service = if parts == Embedded { "fiapx".to_owned() } else { format!("fiapx-{role}") };
        assert_eq!(named(spans, span).resource["service.name"], Value::from(service), "{span}");
    }
    for span in spans {
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
        assert!(span.resource.contains_key("service.instance.id"), "{span:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_retries_are_in_the_same_trace() {
    let service = TracedService::start(
        Embedded,
        &[("WORKER_RETRY_SECONDS", "0,0"), ("OTEL_SERVICE_NAME", "videos")],
    )
    .await;
    let user = service.processes[0].user().await;
    let (_, accepted) = user.upload(&[("crash.avi", with_decoder_command("crash"))]).await;
    let crashing = accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned();
    user.wait_for(&crashing, &["FAILED"]).await;
    let wrong = user.upload_clip(WRONG).await;
    user.wait_for(&wrong, &["FAILED"]).await;
    service.wait_for_mails(2).await;

    for (job, count, expected) in [
        (
            crashing,
            15,
            &[
                ("retried", "DECODER_CRASHED"),
                ("retried", "DECODER_CRASHED"),
                ("failed", "DECODER_CRASHED"),
            ][..],
        ),
        (wrong, 9, &[("failed", "NO_VIDEO_STREAM")]),
    ] {
        let accepted = wait_for_event(&service.processes[0], "a video was accepted").await;
        let accepted = service.processes[0]
            .log()
            .into_iter()
            .find(|line| line["event"] == accepted["event"] && line["job_id"] == job);
        let trace =
            accepted.expect("it is logged")["trace_id"].as_str().expect("a trace").to_owned();
        let spans = service.trace(&trace, count).await;
        // The client has no trace, so it begins with the request.
        assert_eq!(named(&spans, "POST /videos/upload").parent, "");
        let mut attempts: Vec<&Span> =
            spans.iter().filter(|span| span.name == "process video.process").collect();
        attempts.sort_by_key(|span| span.attributes["fiapx.attempt"].as_u64());
        let outcomes: Vec<_> = attempts
            .iter()
            .map(|span| {
                ["fiapx.outcome", "error.type"]
                    .map(|name| span.attributes[name].as_str().expect("a text"))
            })
            .map(|[outcome, error]| (outcome, error))
            .collect();
        assert_eq!(outcomes, expected);
        assert!(
            attempts.iter().all(|span| span.failed && span.resource["service.name"] == "videos"),
            "{attempts:#?}"
        );
        let lines = service.processes[0].log().into_iter().filter(|line| line["job_id"] == job);
        assert!(lines.into_iter().all(|line| line["trace_id"] == trace));
    }
    service.stop();
}

/// Spans that a killed process has not sent are lost; those of its successor are in the same trace.
#[tokio::test(flavor = "multi_thread")]
async fn a_successor_continues_the_trace_of_a_job() {
    let (collector, directory) = (Collector::start(Behavior::Accept).await, scratch());
    let exporting = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        SEND_SOON,
        ("WORKER_RETRY_SECONDS", "0"),
    ];
    let mut killed = Process::start(
        directory.path(),
        &[&exporting[..], &[("FIAPX_KILL_AT", "claim.after-commit")]].concat(),
    );
    let user = killed.user().await;
    let account = user.account();
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    // The process may be killed before it responds.
    let _ = upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))])).send().await;
    block_in_place(|| killed.wait());
    let service = Process::start(directory.path(), &exporting);
    let user = account.at(&service);
    let (_, videos) = user.get("/videos").await;
    user.wait_until_done(videos[0]["id"].as_str().unwrap_or_else(|| panic!("{videos}"))).await;
    let attempt = |span: &Span| span.trace == TRACE && span.name == "process video.process";
    let attempt =
        eventually("the second attempt", async || collector.spans().into_iter().find(attempt))
            .await;
    assert_eq!(
        (&attempt.attributes["fiapx.attempt"], &attempt.attributes["fiapx.outcome"]),
        (&2.into(), &"done".into())
    );
}

/// Jobs are done and the process stops, regardless of the collector's behavior.
#[rstest]
#[case::down(None)]
#[case::failing(Some(Behavior::Respond("500 Internal Server Error")))]
#[case::hanging(Some(Behavior::Hang))]
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_collector_delays_nothing(#[case] behavior: Option<Behavior>) {
    /// Longest time of a shutdown: the wait for the collector, and a margin for a busy machine.
    const SHUTDOWN: Duration = Duration::from_secs(8);
    let collector = match behavior {
        Some(behavior) => Some(Collector::start(behavior).await),
        None => None,
    };
    let endpoint = collector.as_ref().map_or_else(
        || format!("http://{}", free_address()),
        |collector| collector.endpoint().to_owned(),
    );
    let directory = scratch();
    let process =
        Process::start(directory.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), SEND_SOON]);
    let user = process.user().await;
    for _ in 0..3 {
        user.wait_until_done(&user.upload_clip(SHORT).await).await;
    }
    eventually("the mails", async || (read_mails(directory.path()).len() == 3).then_some(())).await;
    if let Some(collector) = &collector {
        eventually("a request to the collector", async || (collector.requests() > 0).then_some(()))
            .await;
    }
    let stopped = Instant::now();
    process.signal("TERM");
    let (status, log) = block_in_place(|| process.wait_for_exit());
    assert!(
        status.success() && stopped.elapsed() < SHUTDOWN,
        "{status} after {:?}",
        stopped.elapsed()
    );
    // The failure is logged once, not for each batch. A collector that hangs is noticed after ten
    // seconds, or at the end.
    let expected = if matches!(behavior, Some(Behavior::Hang)) {
        "the last traces could not be sent"
    } else {
        "the collector does not accept traces"
    };
    let reports = log
        .iter()
        .filter(|line| line["event"].as_str().is_some_and(|event| event.starts_with(expected)));
    assert_eq!(reports.count(), 1, "{log:#?}");
}

/// The sender of a request decides whether its trace is sampled; the log has its id in any case.
#[tokio::test(flavor = "multi_thread")]
async fn unsampled_traces_are_not_sent() {
    let service = TracedService::start(Embedded, &[]).await;
    let user = service.processes[0].user().await;
    let upload = user
        .request(Method::POST, "/videos/upload")
        .header("traceparent", format!("00-{TRACE}-{CLIENT}-00"));
    let (_, accepted) =
        fetch_json(upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))]))).await;
    let job = accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned();
    user.wait_until_done(&job).await;
    service.wait_for_mails(1).await;
    // All spans are sent at the end.
    let collector = Arc::clone(&service.collector);
    let log = service.stop();
    let spans = collector.spans();
    assert!(!spans.is_empty() && spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert!(
        of_job.len() == 5 && of_job.iter().all(|line| line["trace_id"] == TRACE),
        "{of_job:#?}"
    );
}

/// The log has the trace of the sender without a collector, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_trace_of_the_sender() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    let (_, accepted) =
        fetch_json(upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))]))).await;
    let job = accepted["job_id"].as_str().expect("an id");
    user.wait_until_done(job).await;
    eventually("the mail", async || (read_mails(directory.path()).len() == 1).then_some(())).await;
    wait_for_event(&process, "mail sent").await;
    let log = process.log();
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert!(
        of_job.len() == 5 && of_job.iter().all(|line| line["trace_id"] == TRACE),
        "{of_job:#?}"
    );
}
