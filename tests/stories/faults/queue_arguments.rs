//! A release changes the arguments of the queues, which RabbitMQ keeps from their first
//! declaration. This is the rehearsal of such an upgrade.

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::Client;
use crate::harness::clips::{TINY, scratch};
use crate::harness::cluster::Cluster;
use crate::harness::metrics::wait_for_metrics;
use crate::harness::process::free_address;

/// Declare the exchanges and queues of release 0.1.0, but with other arguments than any release.
fn declare_earlier_queues(cluster: &Cluster) {
    let mut definitions = json!({ "exchanges": [], "queues": [], "bindings": [] });
    for (exchange, kind, key, queue) in [
        ("video.exchange", "direct", "process", "video.process"),
        ("notification.exchange", "fanout", "", "notification.send"),
    ] {
        let mut add = |list: &str, entry: Value| {
            definitions[list].as_array_mut().expect("a list").push(entry);
        };
        add(
            "exchanges",
            json!({
                "name": exchange, "vhost": "/", "type": kind, "durable": true,
                "auto_delete": false, "internal": false, "arguments": {},
            }),
        );
        for name in [queue, &format!("{queue}.dlq")] {
            add(
                "queues",
                json!({
                    "name": name, "vhost": "/", "durable": true, "auto_delete": false,
                    "arguments": { "x-queue-type": "quorum", "x-delivery-limit": 7 },
                }),
            );
        }
        add(
            "bindings",
            json!({
                "source": exchange, "vhost": "/", "destination": queue,
                "destination_type": "queue", "routing_key": key, "arguments": {},
            }),
        );
    }
    let directory = scratch();
    let file = directory.path().join("definitions.json");
    std::fs::write(&file, definitions.to_string()).expect("it can be written");
    cluster.rabbitmq.control(&["import_definitions", file.to_str().expect("a plain path")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_with_other_arguments_of_the_queues_loses_nothing() {
    const JOBS: u64 = 3;
    let cluster = Cluster::for_faults().await;
    block_in_place(|| declare_earlier_queues(&cluster));
    let checked = block_in_place(|| cluster.command(&["check"]));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let api = cluster.api();
    let user = api.user().await;
    let mut jobs = Vec::new();
    for _ in 0..JOBS {
        jobs.push(user.upload_clip(TINY).await);
    }
    eventually("processes of both releases would receive the messages", || async {
        let queues = block_in_place(|| cluster.queues());
        let counts = ["video.process", "video.process.v2"].map(|name| queues.get(name).copied());
        (counts == [Some(JOBS); 2]).then_some(())
    })
    .await;
    // As if the earlier release had published them before the upgrade.
    block_in_place(|| cluster.rabbitmq.control(&["delete_queue", "video.process.v2"]));

    let address = free_address();
    let worker = cluster.start_role(&["worker"], &[("METRICS_LISTEN", &address)]);
    for job in &jobs {
        user.wait_until_done(job).await;
    }
    // The messages were moved: no job waited until its message counted as lost.
    let announced_again = |line: &Value| {
        line["event"].as_str().is_some_and(|event| event.contains("are announced again"))
    };
    let log = worker.log();
    assert!(!log.iter().any(announced_again), "{log:?}");
    let notifier = cluster.notifier();
    let mails = || cluster.namespaces.mailbox.received().len() as u64;
    eventually("every outcome has a mail", || async { (mails() == JOBS).then_some(()) }).await;
    eventually("the earlier queues are gone", || async {
        let queues = block_in_place(|| cluster.queues());
        queues.keys().all(|name| name.contains(".v2")).then_some(())
    })
    .await;
    let earlier = "fiapx_earlier_queue_messages{queue=\"video.process\"}";
    wait_for_metrics(&Client::of(&address), &[(earlier, 0.0)]).await;
    for process in [api, worker, notifier] {
        block_in_place(|| process.terminate());
    }
    assert_eq!(mails(), JOBS, "each outcome has one mail");
}
