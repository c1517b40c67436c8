//! A worker hangs longer than its lease, and continues after another one has done its job.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::clips::LONG;
use crate::harness::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_continues_after_its_lease_changes_nothing() {
    let cluster = Cluster::for_faults().await;
    let (api, notifier, paused) = (cluster.api(), cluster.notifier(), cluster.worker());
    let user = api.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for_first_frames(&job).await;
    paused.signal("STOP");
    let (paused_at, other) = (Instant::now(), cluster.worker());
    let done = user.wait_until_done(&job).await;
    let changes = [
        "->UPLOADED",
        "UPLOADED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 WORKER_LOST",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>DONE 2",
    ];
    assert_eq!(user.history(&job).await, changes);
    // The broker redelivers the messages of the paused worker after two missed heartbeats.
    assert!(paused_at.elapsed() < Duration::from_mins(1), "the job took {:?}", paused_at.elapsed());
    let archive = user.archive(&job).await;

    paused.signal("CONT");
    let lost = |event: &str| event.starts_with("job lost");
    eventually("the worker notices that it lost the job", || async {
        paused.log().iter().any(|line| line["event"].as_str().is_some_and(lost)).then_some(())
    })
    .await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.1, done);
    assert_eq!(user.history(&job).await, changes);
    assert!(user.archive(&job).await == archive, "the archive changed");
    assert_eq!(done["retry_count"], json!(1), "{done}");
    // The worker processes jobs again.
    let next = user.upload_clip(LONG).await;
    user.wait_until_done(&next).await;

    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("each outcome has a mail", || async { (mails() >= 2).then_some(()) }).await;
    for process in [paused, other, notifier] {
        block_in_place(|| process.terminate());
    }
    assert_eq!(mails(), 2, "each outcome has one mail");
    assert_eq!(cluster.namespaces.unfinished().await, 0);
}
