//! A worker that hangs past its lease, and wakes when another has done its work.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::cluster::Cluster;
use crate::service::eventually;

/// A clip that takes seconds.
const LONG: &str = "long/240_pictures.mp4";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_its_lease_changes_nothing() {
    let cluster = Cluster::for_faults().await;
    let (api, notifier, sleeper) = (cluster.api(), cluster.notifier(), cluster.worker());
    let user = api.user().await;
    let job = user.send(LONG).await;
    eventually("the worker is at work", || async {
        user.get(&format!("/videos/{job}")).await.1["progress"]["done"]
            .as_u64()
            .filter(|done| *done > 0)
    })
    .await;
    sleeper.signal("STOP");
    let (slept, other) = (Instant::now(), cluster.worker());
    let done = user.done(&job).await;
    let way = [
        "->UPLOADED",
        "UPLOADED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 WORKER_LOST",
        "PROCESSING>PROCESSING 2",
        "PROCESSING>DONE 2",
    ];
    assert_eq!(user.history(&job).await, way);
    // Messages that were handed to the sleeper are others' after two of its heartbeats.
    assert!(slept.elapsed() < Duration::from_mins(1), "it took {:?}", slept.elapsed());
    let archive = user.archive(&job).await;

    sleeper.signal("CONT");
    eventually("it notices", || async {
        sleeper
            .log()
            .iter()
            .any(|line| line["event"].as_str().is_some_and(|event| event.starts_with("job lost")))
            .then_some(())
    })
    .await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.1, done);
    assert_eq!(user.history(&job).await, way);
    assert!(user.archive(&job).await == archive, "the archive is another");
    assert_eq!(done["retry_count"], json!(1), "{done}");
    // It is of use again.
    let next = user.send(LONG).await;
    user.done(&next).await;

    for process in [sleeper, other, notifier] {
        process.signal("TERM");
        let (status, log) = tokio::task::block_in_place(|| process.ended());
        assert!(status.success(), "{status}: {log:?}");
    }
    assert_eq!(cluster.places.mailbox.received().len(), 2, "each outcome is told once");
    assert_eq!(cluster.places.unfinished().await, 0);
}
