//! RabbitMQ stops, loses its data, or is down when the service starts.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::harness::audit::send_video;
use crate::harness::checks::eventually;
use crate::harness::client::{Client, fetch_json};
use crate::harness::clips::TINY;
use crate::harness::cluster::{Cluster, Survived, survive};
use crate::harness::metrics::{metrics, wait_for_metrics};
use crate::harness::process::free_address;
use crate::harness::programs::error_line;

/// Check that no upload was rejected and no job was lost.
fn expect_no_harm(Survived { audit, sent }: &Survived) {
    assert!(
        sent.iter().all(|sent| sent.accepted.is_some()),
        "an upload failed although the broker is not needed for it: {sent:?}"
    );
    assert_eq!((audit.jobs, audit.lost, audit.repeated), (sent.len(), 0, 0), "{audit:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_accepted_while_the_broker_is_down() {
    let story = survive(Cluster::for_faults().await, async |cluster, user| {
        block_in_place(|| cluster.rabbitmq.stop());
        let mut sent = Vec::new();
        for number in 0..3 {
            sent.push(send_video(user, number, TINY).await);
        }
        block_in_place(|| cluster.rabbitmq.start_again());
        sent
    });
    expect_no_harm(&story.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_messages_the_broker_lost_are_done() {
    let story = survive(Cluster::for_faults().await, async |cluster, _| {
        block_in_place(|| {
            cluster.rabbitmq.kill();
            cluster.rabbitmq.delete_data();
            cluster.rabbitmq.start_again();
        });
        Vec::new()
    });
    expect_no_harm(&story.await);
}

/// Alerts about a broker that is down depend on these metrics.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_report_waiting_messages_while_the_broker_is_down() {
    let mut cluster = Cluster::for_faults().await;
    let metrics_address = free_address();
    let (api, _worker) =
        (cluster.api(), cluster.start_role(&["worker"], &[("METRICS_LISTEN", &metrics_address)]));
    let (worker, user) = (Client::of(&metrics_address), api.user().await);
    block_in_place(|| cluster.rabbitmq.stop());
    user.upload_clip(TINY).await;
    for name in ["fiapx_outbox_age_seconds", "fiapx_oldest_waiting_job_seconds"] {
        let is_reported = async || (metrics(&worker).await.get(name)? > &1.0).then_some(());
        eventually(name, is_reported).await;
    }
}

/// Metric of whether a process reaches the broker.
const REACHED: &str = "fiapx_dependency_reached{dependency=\"broker\"}";

/// Wait until `/ready` reports the broker like this; return the status.
async fn wait_for_broker(process: &Client, reached: bool, required: bool) -> StatusCode {
    let expected = json!({ "name": "broker", "reached": reached, "required": required });
    let asked = eventually("the state of the broker", || async {
        let (status, answer) = fetch_json(process.request(Method::GET, "/ready")).await;
        let parts = answer["parts"].as_array().is_some_and(|parts| parts.contains(&expected));
        parts.then_some((status, answer))
    });
    let (status, answer) = asked.await;
    assert_eq!(answer["ready"], Value::Bool(status == StatusCode::OK), "{answer}");
    status
}

/// An API needs no broker to accept videos. Workers and notifiers do, but continue by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn apis_stay_ready_while_the_broker_is_down() {
    let mut cluster = Cluster::for_faults().await;
    let addresses = [free_address(), free_address()];
    let [worker, notifier] = ["worker", "notifier"].map(|role| {
        let address = &addresses[usize::from(role == "notifier")];
        cluster.start_role(&[role], &[("METRICS_LISTEN", address)])
    });
    let (api, others) = (cluster.api(), addresses.each_ref().map(|address| Client::of(address)));
    let user = api.user().await;
    for (round, up) in [true, false, true].into_iter().enumerate() {
        match round {
            1 => block_in_place(|| cluster.rabbitmq.stop()),
            2 => block_in_place(|| cluster.rabbitmq.start_again()),
            _ => {}
        }
        assert_eq!(wait_for_broker(&api, up, false).await, StatusCode::OK);
        let expected = if up { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let value = if up { 1.0 } else { 0.0 };
        for process in &others {
            assert_eq!(wait_for_broker(process, up, true).await, expected);
            wait_for_metrics(process, &[(REACHED, value)]).await;
        }
        wait_for_metrics(&api, &[(REACHED, value)]).await;
        let job = user.upload_clip(TINY).await;
        if up {
            user.wait_until_done(&job).await;
        }
    }
    let videos = user.get("/videos").await.1;
    for video in videos.as_array().expect("a list") {
        user.wait_until_done(video["id"].as_str().expect("an id")).await;
    }
    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("every outcome has a mail", || async { (mails() == 3).then_some(()) }).await;
    for process in [api, worker, notifier] {
        block_in_place(|| process.terminate());
    }
}

/// The broker may be the last server that starts.
#[tokio::test(flavor = "multi_thread")]
async fn processes_start_while_the_broker_is_down() {
    let mut cluster = Cluster::for_faults().await;
    block_in_place(|| cluster.rabbitmq.stop());
    let (api, worker, notifier) = (cluster.api(), cluster.worker(), cluster.notifier());
    let user = api.user().await;
    let job = user.upload_clip(TINY).await;
    assert_eq!(wait_for_broker(&api, false, false).await, StatusCode::OK);
    let checked = block_in_place(|| cluster.command(&["check"]));
    let line = error_line(&checked).expect("one line");
    assert!(line.starts_with("fiapx: broker: RABBITMQ_URL: "), "{line}");

    block_in_place(|| cluster.rabbitmq.start_again());
    user.wait_until_done(&job).await;
    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("the outcome has a mail", || async { (mails() == 1).then_some(()) }).await;
    for process in [api, worker, notifier] {
        block_in_place(|| process.terminate());
    }
}
