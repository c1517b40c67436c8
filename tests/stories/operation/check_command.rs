//! `fiapx check` reports what is wrong with each part.

use serde_json::json;
use servers::mailbox::{self, Mailbox};
use servers::{Postgres, RabbitMq};
use tokio::task::block_in_place;

use crate::harness::clips::scratch;
use crate::harness::collector::{Behavior, Collector};
use crate::harness::parts::{Namespaces, Parts};
use crate::harness::process::free_address;
use crate::harness::programs::{ProgramOutput, error_line, fiapx, run};

/// Run `fiapx check` in an environment.
fn check(environment: &[(&'static str, String)]) -> ProgramOutput {
    let directory = scratch();
    run(fiapx()
        .arg("check")
        .arg("--data-dir")
        .arg(directory.path())
        .envs(environment.iter().cloned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failing_part_is_reported_with_its_cause() {
    let namespaces = Parts::Servers.namespaces().await.expect("they are on servers");
    let with =
        |changes: &[(&'static str, String)]| [namespaces.environment.as_slice(), changes].concat();
    let early = block_in_place(|| check(&namespaces.environment));
    let line = error_line(&early).expect("one line");
    assert!(line.starts_with("fiapx: database: ") && line.contains("fiapx migrate"), "{line}");
    block_in_place(|| namespaces.migrate());
    let good = block_in_place(|| check(&namespaces.environment));
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""));

    let rejecting =
        Mailbox::start([mailbox::Behavior::Reply("AUTH", "535 5.7.8 wrong password")]).await;
    for Failure { changes, part, expected } in failures(&namespaces, &rejecting) {
        let failed = block_in_place(|| check(&with(&changes)));
        assert_eq!(failed.code, Some(1), "{part}: {failed:?}");
        let line = error_line(&failed).expect("one line");
        assert!(line.starts_with(&format!("fiapx: {part}: ")), "{part}: {line}");
        assert!(expected.iter().all(|text| line.contains(text)), "{part}: {line}");
        assert!(!line.contains(SECRET), "{line}");
        let mut phrases: Vec<&str> = line.split(": ").collect();
        let count = phrases.len();
        phrases.sort_unstable();
        phrases.dedup();
        assert_eq!(phrases.len(), count, "a phrase is repeated: {line}");
        // The other parts are reported as well, and the version of libav.
        let others = if part == "collector" { 7 } else { 6 };
        assert_eq!(failed.lines().len(), others, "{part}: {failed:?}");
    }
    let collector = Collector::start(Behavior::Accept).await;
    let collecting = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint().to_owned())];
    let good = block_in_place(|| check(&with(&collecting)));
    let reported = good.lines().iter().any(|line| line.contains("collector: ok"));
    assert!(good.code == Some(0) && reported, "{good:?}");
    assert_eq!((collector.requests(), collector.spans().len()), (1, 0));
}

/// A secret in the settings, which no message may contain.
const SECRET: &str = "hunter2hunter2hunter2hunter2hunter2";

/// Settings with which a part fails.
struct Failure {
    changes: Vec<(&'static str, String)>,
    part: &'static str,
    /// Texts in the message.
    expected: Vec<String>,
}

impl Failure {
    /// A failure that one variable causes.
    fn of(name: &'static str, value: String, part: &'static str, expected: &[&str]) -> Self {
        let expected = expected.iter().map(|text| (*text).to_owned()).collect();
        Self { changes: vec![(name, value)], part, expected }
    }
}

/// Failures of each part: no server, wrong credentials, and missing or incompatible namespaces.
fn failures(namespaces: &Namespaces, rejecting: &Mailbox) -> Vec<Failure> {
    let setting = |name: &str| namespaces.setting(name).expect("the setting exists");
    let unused = free_address();
    let (_, port) = unused.split_once(':').expect("an address has a port");
    let broker = setting("RABBITMQ_URL");
    let incompatible = RabbitMq::shared().create_virtual_host();
    create_incompatible_queue(&incompatible.name);
    let no_database = format!("postgres://fiapx:{SECRET}@{unused}/fiapx");
    let no_broker = format!("amqp://guest:{SECRET}@{unused}");
    let wrong_password = broker.replace("guest:guest", &format!("guest:{SECRET}"));
    let other_queue = ["RABBITMQ_URL", "video.process.v2", "delete it"];
    let no_collector = ["OTEL_EXPORTER_OTLP_ENDPOINT", &unused, "refused"];
    let url = |scheme: &str| format!("{scheme}://{unused}");
    let nowhere = || Postgres::shared().url("nowhere");
    vec![
        Failure::of("DATABASE_URL", no_database, "database", &["DATABASE_URL"]),
        Failure::of("DATABASE_URL", nowhere(), "database", &["DATABASE_URL", "nowhere"]),
        Failure::of("RABBITMQ_URL", no_broker, "broker", &["RABBITMQ_URL"]),
        Failure::of("RABBITMQ_URL", wrong_password, "broker", &["RABBITMQ_URL"]),
        Failure::of("RABBITMQ_URL", broker + "-not", "broker", &["RABBITMQ_URL"]),
        Failure::of("RABBITMQ_URL", incompatible.url, "broker", &other_queue),
        Failure::of("S3_ENDPOINT", url("http"), "file store", &[&unused]),
        Failure::of("S3_SECRET_KEY", SECRET.to_owned(), "file store", &["S3_SECRET_KEY"]),
        Failure::of("S3_BUCKET", "nowhere".to_owned(), "file store", &["nowhere"]),
        Failure::of("REDIS_URL", format!("redis://:{SECRET}@{unused}"), "limits", &["REDIS_URL"]),
        Failure::of("SMTP_PORT", port.to_owned(), "mail", &[port]),
        Failure::of("OTEL_EXPORTER_OTLP_ENDPOINT", url("http"), "collector", &no_collector),
        Failure {
            changes: vec![
                ("SMTP_PORT", rejecting.port().to_string()),
                ("SMTP_USER", "fiapx".to_owned()),
                ("SMTP_PASSWORD", SECRET.to_owned()),
            ],
            part: "mail",
            expected: vec!["wrong password".to_owned()],
        },
    ]
}

/// Create a queue whose arguments differ from those of the service.
fn create_incompatible_queue(virtual_host: &str) {
    let queue = json!({
        "name": "video.process.v2",
        "vhost": virtual_host,
        "durable": true,
        "auto_delete": false,
        "arguments": {},
    });
    let directory = scratch();
    let file = directory.path().join("definitions.json");
    std::fs::write(&file, json!({ "queues": [queue] }).to_string()).expect("it can be written");
    RabbitMq::shared().control(&["import_definitions", file.to_str().expect("a plain path")]);
}
