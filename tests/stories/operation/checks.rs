//! `fiapx check` says of each part in words what is wrong with it.

use servers::mailbox::{Behavior, Mailbox};
use servers::{Postgres, RabbitMq};
use tokio::task::block_in_place;

use crate::cluster::free_address;
use crate::collector::{self, Collector};
use crate::harness::{Run, fiapx, run, scratch, single_line};
use crate::parts::Parts;

/// Check the parts of an environment.
fn check(environment: &[(&'static str, String)]) -> Run {
    let directory = scratch();
    run(fiapx()
        .arg("check")
        .arg("--data-dir")
        .arg(directory.path())
        .envs(environment.iter().cloned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_that_is_wrong_is_named_with_what_is_wrong() {
    let places = Parts::Servers.places().await.expect("they are servers");
    let told = |name: &str| places.told_of(name).expect("it is there");
    let with =
        |changes: &[(&'static str, String)]| [places.environment.as_slice(), changes].concat();
    let early = block_in_place(|| check(&places.environment));
    let line = single_line(&early).expect("one line");
    assert!(line.starts_with("fiapx: database: ") && line.contains("fiapx migrate"), "{line}");
    let data = scratch();
    let migrated = run(fiapx()
        .arg("migrate")
        .arg("--data-dir")
        .arg(data.path())
        .envs(places.environment.iter().cloned()));
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let good = block_in_place(|| check(&places.environment));
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""));

    let nobody = free_address();
    let (_, port) = nobody.split_once(':').expect("it has a port");
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    let virtual_host = RabbitMq::shared().create_virtual_host();
    otherwise(&virtual_host.name, data.path());
    let refusing = Mailbox::start([Behavior::Reply("AUTH", "535 5.7.8 wrong password")]).await;
    let cases = [
        (
            vec![("DATABASE_URL", format!("postgres://fiapx:{secret}@{nobody}/fiapx"))],
            "database",
            vec!["DATABASE_URL"],
        ),
        (
            vec![("DATABASE_URL", Postgres::shared().url("nowhere"))],
            "database",
            vec!["DATABASE_URL", "nowhere"],
        ),
        (
            vec![("RABBITMQ_URL", format!("amqp://guest:{secret}@{nobody}"))],
            "broker",
            vec!["RABBITMQ_URL"],
        ),
        (
            vec![(
                "RABBITMQ_URL",
                told("RABBITMQ_URL").replace("guest:guest", &format!("guest:{secret}")),
            )],
            "broker",
            vec!["RABBITMQ_URL"],
        ),
        (vec![("RABBITMQ_URL", told("RABBITMQ_URL") + "-not")], "broker", vec!["RABBITMQ_URL"]),
        (vec![("RABBITMQ_URL", virtual_host.url)], "broker", vec!["video.process", "delete it"]),
        (vec![("S3_ENDPOINT", format!("http://{nobody}"))], "file store", vec![nobody.as_str()]),
        (vec![("S3_SECRET_KEY", secret.to_owned())], "file store", vec!["S3_SECRET_KEY"]),
        (vec![("S3_BUCKET", "nowhere".to_owned())], "file store", vec!["nowhere"]),
        (vec![("REDIS_URL", format!("redis://:{secret}@{nobody}"))], "limits", vec!["REDIS_URL"]),
        (vec![("SMTP_PORT", port.to_owned())], "mail", vec![port]),
        (
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{nobody}"))],
            "collector",
            vec!["OTEL_EXPORTER_OTLP_ENDPOINT", nobody.as_str(), "refused"],
        ),
        (
            vec![
                ("SMTP_PORT", refusing.port().to_string()),
                ("SMTP_USER", "fiapx".to_owned()),
                ("SMTP_PASSWORD", secret.to_owned()),
            ],
            "mail",
            vec!["wrong password"],
        ),
    ];
    for (changes, part, words) in cases {
        let failed = block_in_place(|| check(&with(&changes)));
        assert_eq!(failed.code, Some(1), "{part}: {failed:?}");
        let line = single_line(&failed).expect("one line");
        assert!(line.starts_with(&format!("fiapx: {part}: ")), "{part}: {line}");
        assert!(words.iter().all(|word| line.contains(word)), "{part}: {line}");
        assert!(!line.contains(secret), "{line}");
        let mut said: Vec<&str> = line.split(": ").collect();
        let words = said.len();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), words, "it repeats itself: {line}");
        // The others are well, and said to be so.
        let others = if part == "collector" { 6 } else { 5 };
        assert_eq!(
            String::from_utf8_lossy(&failed.stdout).lines().count(),
            others,
            "{part}: {failed:?}"
        );
    }
    let collector = Collector::start(collector::Manner::Kind).await;
    let told = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint().to_owned())];
    let good = block_in_place(|| check(&with(&told)));
    let said = String::from_utf8_lossy(&good.stdout);
    assert!(good.code == Some(0) && said.contains("collector: answers"), "{good:?}");
    assert_eq!((collector.requests(), collector.spans().len()), (1, 0));
}

/// Make a queue with other arguments than ours.
fn otherwise(virtual_host: &str, directory: &std::path::Path) {
    let queue = serde_json::json!({
        "name": "video.process", "vhost": virtual_host, "durable": true, "auto_delete": false, "arguments": {},
    });
    let file = directory.join("definitions.json");
    std::fs::write(&file, serde_json::json!({ "queues": [queue] }).to_string())
        .expect("there is room");
    RabbitMq::shared().control(&["import_definitions", file.to_str().expect("a plain path")]);
}
