//! Traces: one from an upload to the mail, through all processes, and nothing in it that is
//! nobody's business; what they cost a job when the collector fails is nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::logged;
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
use crate::harness::programs::{fiapx, run};

/// Where a client of the stories is in a trace of its own.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// A service whose processes tell a collector what they do.
struct Traced {
    collector: Arc<Collector>,
    processes: Vec<Process>,
    directory: TempDir,
    namespaces: Option<Namespaces>,
}

impl Traced {
    /// One process on embedded parts, or one for each role on servers.
    async fn start(parts: Parts, more: &[(&str, &str)]) -> Self {
        let (collector, directory, namespaces) = (
            Arc::new(Collector::start(Behavior::Accept).await),
            scratch(),
            parts.namespaces().await,
        );
        let told = namespaces
            .iter()
            .flat_map(|namespaces| &namespaces.environment)
            .map(|(name, value)| (*name, value.as_str()));
        let exporting = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()), SOON];
        let environment: Vec<(&str, &str)> =
            told.chain(exporting).chain(more.iter().copied()).collect();
        let role =
            |words: &[&str]| Process::role(words, &directory.path().join(words[0]), &environment);
        let processes = if parts == Embedded {
            vec![Process::start(directory.path(), &environment)]
        } else {
            let mut migrate = fiapx();
            let migrated = run(migrate
                .args(["migrate", "--data-dir"])
                .arg(directory.path())
                .envs(environment.iter().copied()));
            assert_eq!(migrated.code, Some(0), "{migrated:?}");
            vec![role(&["api", "--listen", "127.0.0.1:0"]), role(&["worker"]), role(&["notifier"])]
        };
        Self { collector, processes, directory, namespaces }
    }

    /// The spans of a trace, once there are so many.
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

    /// Wait for the mails, so many.
    async fn mails(&self, count: usize) {
        let mails = || {
            self.namespaces.as_ref().map_or_else(
                || read_mails(self.directory.path()).len(),
                |namespaces| namespaces.mailbox.received().len(),
            )
        };
        eventually("the mails", async || (mails() == count).then_some(())).await;
    }

    /// End all processes, and give what they have logged.
    fn end(self) -> Vec<Value> {
        for process in &self.processes {
            process.signal("TERM");
        }
        let ended =
            self.processes.into_iter().map(|process| block_in_place(|| process.wait_for_exit()));
        ended
            .flat_map(
                |(status, log)| if status.success() { log } else { panic!("{status}: {log:?}") },
            )
            .collect()
    }
}

/// Spans are sent at once, not every five seconds.
const SOON: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "100");

/// Which span is in which, by their names; the client's own is `client`.
fn tree(spans: &[Span]) -> Vec<(String, String)> {
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
    let mut tree: Vec<_> = spans.iter().map(|span| (span.name.clone(), parent(span))).collect();
    tree.sort();
    tree
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

/// A request in the client's trace.
fn traceparent() -> String {
    format!("00-{TRACE}-{CLIENT}-01")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_upload_to_the_mail(#[values(Embedded, Servers)] parts: Parts) {
    // The log's level is the log's alone.
    let level =
        if parts == Embedded { ("LOG_LEVEL", "info") } else { ("LOG_LEVEL", "off,app=info") };
    let service = Traced::start(parts, &[level]).await;
    let user = service.processes[0].user().await;
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    let (status, accepted) =
        fetch_json(upload.multipart(form(&[("my holiday.mp4", clip_bytes(SHORT))]))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_until_done(&job).await;
    service.mails(1).await;
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
    assert_eq!(tree(&spans), expected.map(|(span, around)| (span.to_owned(), around.to_owned())));

    let system = if parts == Embedded { "fiapx" } else { "rabbitmq" };
    let says = |span: &str, kind: &str, attributes: &[(&str, Value)]| {
        let span = named(&spans, span);
        assert_eq!(
            (span.kind.as_str_name(), span.failed),
            (format!("SPAN_KIND_{kind}").as_str(), false),
            "{span:#?}"
        );
        for (name, value) in attributes {
            assert_eq!(span.attributes.get(*name), Some(value), "{name} of {span:#?}");
        }
    };
    let request = [("http.request.method", "POST".into()), ("http.route", "/videos/upload".into())];
    says("POST /videos/upload", "SERVER", &request);
    says("POST /videos/upload", "SERVER", &[("http.response.status_code", 202.into())]);
    let messaging = |queue: &str, operation: &str| {
        let job = ("fiapx.job.id", job.as_str().into());
        [
            job,
            ("messaging.system", system.into()),
            ("messaging.destination.name", queue.into()),
            ("messaging.operation.type", operation.into()),
        ]
    };
    says("send video.process", "PRODUCER", &messaging("video.process", "send"));
    says("process video.process", "CONSUMER", &messaging("video.process", "process"));
    says(
        "process video.process",
        "CONSUMER",
        &[("fiapx.attempt", 1.into()), ("fiapx.outcome", "done".into())],
    );
    says("process notification.send", "CONSUMER", &messaging("notification.send", "process"));
    says(
        "send mail",
        "CLIENT",
        &[("fiapx.job.id", job.as_str().into()), ("fiapx.outcome", "sent".into())],
    );
    says("receive video", "INTERNAL", &[("fiapx.job.id", job.as_str().into())]);
    let message = |span| &named(&spans, span).attributes["messaging.message.id"];
    assert_eq!(message("send video.process"), message("process video.process"));

    let service_of = |span: &str| {
        named(&spans, span).resource["service.name"].as_str().expect("a text").to_owned()
    };
    let of =
        |role: &str| if parts == Embedded { "fiapx".to_owned() } else { format!("fiapx-{role}") };
    for (span, role) in [
        ("POST /videos/upload", "api"),
        ("process video.process", "worker"),
        ("process notification.send", "notifier"),
        ("send mail", "notifier"),
    ] {
        assert_eq!(service_of(span), of(role));
    }
    let version = |span: &Span| span.resource["service.version"] == env!("CARGO_PKG_VERSION");
    assert!(
        spans.iter().all(|span| version(span) && span.resource.contains_key("service.instance.id"))
    );
    // Of everything that was told, requests of other traces included.
    for span in service.collector.spans() {
        for secret in [&*email, &*access, PASSWORD, "holiday", "eyJ"] {
            assert!(!span.text.contains(secret), "{secret} is in {}", span.text);
        }
    }
    let log = service.end();
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert_eq!(of_job.is_empty(), parts == Servers, "{log:#?}");
    assert!(of_job.iter().all(|line| line["trace_id"] == TRACE), "{of_job:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_further_attempts_stay_in_the_trace() {
    let service = Traced::start(
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
    service.mails(2).await;

    for (job, count, attempts) in [
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
        let accepted = logged(&service.processes[0], "a video was accepted").await;
        let accepted = service.processes[0]
            .log()
            .into_iter()
            .find(|line| line["event"] == accepted["event"] && line["job_id"] == job);
        let trace =
            accepted.expect("it is logged")["trace_id"].as_str().expect("a trace").to_owned();
        let spans = service.trace(&trace, count).await;
        // Nobody sent it in a trace, so it begins with the request.
        assert_eq!(named(&spans, "POST /videos/upload").parent, "");
        let mut tried: Vec<&Span> =
            spans.iter().filter(|span| span.name == "process video.process").collect();
        tried.sort_by_key(|span| span.attributes["fiapx.attempt"].as_u64());
        let told: Vec<_> = tried
            .iter()
            .map(|span| {
                ["fiapx.outcome", "error.type"]
                    .map(|name| span.attributes[name].as_str().expect("a text"))
            })
            .map(|[outcome, error]| (outcome, error))
            .collect();
        assert_eq!(told, attempts);
        assert!(
            tried.iter().all(|span| span.failed && span.resource["service.name"] == "videos"),
            "{tried:#?}"
        );
        let lines = service.processes[0].log().into_iter().filter(|line| line["job_id"] == job);
        assert!(lines.into_iter().all(|line| line["trace_id"] == trace));
    }
    service.end();
}

/// What a killed process has not told is lost; what follows goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_job_over_goes_on_with_its_trace() {
    let (collector, directory) = (Collector::start(Behavior::Accept).await, scratch());
    let exporting = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
        SOON,
        ("WORKER_RETRY_SECONDS", "0"),
    ];
    let mut killed = Process::start(
        directory.path(),
        &[&exporting[..], &[("FIAPX_KILL_AT", "claim.after-commit")]].concat(),
    );
    let user = killed.user().await;
    let account = user.account();
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    // The answer may come or not.
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

/// Jobs are done and the process stops, whatever the collector does.
#[rstest]
#[case::down(None)]
#[case::failing(Some(Behavior::Respond("500 Internal Server Error")))]
#[case::hanging(Some(Behavior::Hang))]
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_holds_nothing_up(#[case] manner: Option<Behavior>) {
    /// What stopping takes at most: the wait for the collector, and some time for a busy machine.
    const STOP: Duration = Duration::from_secs(8);
    let collector = match manner {
        Some(manner) => Some(Collector::start(manner).await),
        None => None,
    };
    let endpoint = collector.as_ref().map_or_else(
        || format!("http://{}", free_address()),
        |collector| collector.endpoint().to_owned(),
    );
    let directory = scratch();
    let process =
        Process::start(directory.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), SOON]);
    let user = process.user().await;
    for _ in 0..3 {
        user.wait_until_done(&user.upload_clip(SHORT).await).await;
    }
    eventually("the mails", async || (read_mails(directory.path()).len() == 3).then_some(())).await;
    if let Some(collector) = &collector {
        eventually("the collector is asked", async || (collector.requests() > 0).then_some(()))
            .await;
    }
    let asked = Instant::now();
    process.signal("TERM");
    let (status, log) = block_in_place(|| process.wait_for_exit());
    assert!(status.success() && asked.elapsed() < STOP, "{status} after {:?}", asked.elapsed());
    // Operators are told once, and not for each batch. One that hangs is noticed after ten seconds,
    // or at the end.
    let expected = if matches!(manner, Some(Behavior::Hang)) {
        "the last traces get lost"
    } else {
        "the collector does not take traces"
    };
    let told = log
        .iter()
        .filter(|line| line["event"].as_str().is_some_and(|event| event.starts_with(expected)));
    assert_eq!(told.count(), 1, "{log:#?}");
}

/// Whoever sends a request decides whether its trace is worth keeping; the log knows it either way.
#[tokio::test(flavor = "multi_thread")]
async fn what_its_sender_does_not_sample_is_not_told() {
    let service = Traced::start(Embedded, &[]).await;
    let user = service.processes[0].user().await;
    let upload = user
        .request(Method::POST, "/videos/upload")
        .header("traceparent", format!("00-{TRACE}-{CLIENT}-00"));
    let (_, accepted) =
        fetch_json(upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))]))).await;
    let job = accepted["job_id"].as_str().unwrap_or_else(|| panic!("{accepted}")).to_owned();
    user.wait_until_done(&job).await;
    service.mails(1).await;
    // All are told at the end.
    let collector = Arc::clone(&service.collector);
    let log = service.end();
    let spans = collector.spans();
    assert!(!spans.is_empty() && spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert!(
        of_job.len() == 5 && of_job.iter().all(|line| line["trace_id"] == TRACE),
        "{of_job:#?}"
    );
}

/// Without a collector of ours, the log still says to which trace of its sender a job belongs.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_knows_the_senders_trace() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let upload = user.request(Method::POST, "/videos/upload").header("traceparent", traceparent());
    let (_, accepted) =
        fetch_json(upload.multipart(form(&[("clip.mp4", clip_bytes(SHORT))]))).await;
    let job = accepted["job_id"].as_str().expect("an id");
    user.wait_until_done(job).await;
    eventually("the mail", async || (read_mails(directory.path()).len() == 1).then_some(())).await;
    logged(&process, "mail sent").await;
    let log = process.log();
    let of_job: Vec<&Value> = log.iter().filter(|line| line["job_id"] == job).collect();
    assert!(
        of_job.len() == 5 && of_job.iter().all(|line| line["trace_id"] == TRACE),
        "{of_job:#?}"
    );
}
