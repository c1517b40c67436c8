//! A service that is killed at any step of a delivery loses no event, and repeats it with the same
//! id and body only.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jobs::Clock;
use rstest::rstest;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::client::{EVENTS, Webhook, permit_loopback};
use crate::harness::audit::{LATER, send_video};
use crate::harness::checks::{check_all, eventually, panic_message};
use crate::harness::clips::{TINY, WRONG, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::receiver::Receiver;
use crate::harness::service::Service;

/// Fail points before and after each commit and each request, from the outcome of a job to the
/// recording of the delivery.
const POINTS: [&str; 8] = [
    "finish.before-commit",
    "finish.after-commit",
    "fail.before-commit",
    "fail.after-commit",
    "webhook.before-send",
    "webhook.after-send",
    "webhook.before-commit",
    "webhook.after-commit",
];

#[rstest]
fn a_kill_at_any_step_loses_no_event(#[values(Embedded, Servers)] parts: Parts) {
    check_all(&POINTS, |point| {
        let story =
            || Runtime::new().expect("the runtime starts").block_on(killed_at(parts, point));
        catch_unwind(AssertUnwindSafe(story)).map_err(panic_message)
    });
}

async fn killed_at(parts: Parts, point: &str) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let receiver = Receiver::accepting().await;
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let settings = [("FIAPX_KILL_AT", point), ("WEBHOOKS_ALLOW_PRIVATE", "true")];
    let environment: Vec<(&str, &str)> = settings.into_iter().chain(variables).collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let id = Webhook::of(&user, &receiver.url(), &EVENTS).await.id;
    // The first job may be over, and the process killed, before an upload is answered.
    let sent = [send_video(&user, 0, TINY).await, send_video(&user, 1, WRONG).await];
    let account = user.account();
    let (status, _) = process.wait_for_exit();
    assert_eq!(status.signal(), Some(9), "it was not killed");

    let clock = Clock::default();
    // What the killed process held is due again.
    clock.advance(LATER);
    let service = Service::at(directory, namespaces, clock, |settings| {
        permit_loopback(settings);
        // The other job may have been in processing. It is taken over when its lease has been seen
        // unchanged for so long, by the clock of the machine.
        settings.worker.lease_seconds = 5;
        settings.worker.retry_seconds = vec![0; 20];
    });
    let service = service.await;
    let user = account.at(&service);
    let listed = user.get("/videos").await.1;
    let jobs: BTreeSet<String> = listed.as_array().expect("a list").iter().map(id_of).collect();
    let accepted: BTreeSet<String> = sent.into_iter().filter_map(|video| video.accepted).collect();
    assert!(
        jobs.is_superset(&accepted) && !jobs.is_empty(),
        "{accepted:?} are not all in {jobs:?}"
    );
    let webhook = Webhook { user: &user, id, secret: String::new() };
    let deliveries = eventually("all outcomes are delivered", || async {
        let deliveries = webhook.deliveries().await;
        let is_delivered = deliveries.iter().all(|delivery| delivery["status"] == "DELIVERED");
        (deliveries.len() == jobs.len() && is_delivered).then_some(deliveries)
    })
    .await;
    let of_jobs: BTreeSet<_> = deliveries.iter().filter_map(|it| it["job_id"].as_str()).collect();
    assert_eq!(of_jobs, jobs.iter().map(String::as_str).collect());
    let known: BTreeSet<_> = deliveries.iter().filter_map(|it| it["id"].as_str()).collect();
    let received = receiver.received();
    let sent: BTreeSet<(&str, &str)> =
        received.iter().map(|request| (request.id(), request.body.as_str())).collect();
    assert_eq!(sent.len(), jobs.len(), "each event has one id and one body: {received:?}");
    assert_eq!(sent.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>(), known);
    // Both may have been on their way.
    let most = known.iter().map(|id| received.iter().filter(|it| it.id() == *id).count()).max();
    assert!(most <= Some(2), "an event may be repeated once: {received:?}");
}

/// Id of a job in a list.
fn id_of(job: &Value) -> String {
    job["id"].as_str().expect("an id").to_owned()
}
