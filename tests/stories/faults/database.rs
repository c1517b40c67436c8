//! PostgreSQL stops in the middle of transactions, stalls, hangs, and cannot be reached.

use std::time::{Duration, Instant};

use servers::Proxy;
use servers::postgres::ShutdownMode;
use tokio::task::block_in_place;

use crate::harness::audit::send_video;
use crate::harness::checks::eventually;
use crate::harness::clips::{LONG, SHORT, TINY};
use crate::harness::cluster::{Cluster, Survived, survive};

#[tokio::test(flavor = "multi_thread")]
async fn accepted_videos_survive_restarts_of_the_database() {
    let Survived { audit, sent } = survive(Cluster::for_faults().await, async |cluster, user| {
        let mut sent = Vec::new();
        for number in 0..3 {
            block_in_place(|| cluster.postgres.stop(ShutdownMode::Immediate));
            sent.push(send_video(user, number, TINY).await);
            assert_eq!(sent[number].accepted, None, "accepted without a database");
            block_in_place(|| cluster.postgres.start_again());
        }
        sent
    })
    .await;
    assert!(sent.iter().any(|sent| sent.accepted.is_some()));
    assert_eq!((audit.lost, audit.repeated), (0, 0), "{audit:?}");
}

/// A commit whose response does not arrive may become visible at any time: its disk or its
/// synchronous standby is away. Nobody may conclude from the row as it was before.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_commit_loses_no_archive() {
    let story = survive(Cluster::for_faults().await, async |cluster, user| {
        let mut sent = Vec::new();
        for round in 0..3 {
            let mut jobs = Vec::new();
            for number in 0..3 {
                jobs.push(send_video(user, format_args!("stalled-{round}-{number}"), SHORT).await);
            }
            set_standby(cluster, "nobody");
            // Longer than a lease; attempts finish meanwhile.
            tokio::time::sleep(Duration::from_secs(8)).await;
            set_standby(cluster, "");
            sent.extend(jobs);
        }
        sent
    });
    // The audit fetches each archive.
    let Survived { audit, sent } = story.await;
    assert!(sent.iter().any(|sent| sent.accepted.is_some()));
    assert_eq!(audit.lost, 0, "{audit:?}");
}

/// Make commits wait for a standby, or for none.
fn set_standby(cluster: &Cluster, name: &str) {
    let url = cluster.postgres.url("postgres");
    block_in_place(|| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        cluster.postgres.execute(&url, &set);
        cluster.postgres.execute(&url, "SELECT pg_reload_conf()");
    });
}

/// A database that hangs longer than a lease: no worker could renew, so no lease may be reaped.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_hangs_costs_no_attempt() {
    let cluster = Cluster::for_faults().await;
    let (api, worker, other) = (cluster.api(), cluster.worker(), cluster.worker());
    let user = api.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for_first_frames(&job).await;
    block_in_place(|| cluster.postgres.pause());
    // Three leases.
    tokio::time::sleep(Duration::from_secs(15)).await;
    block_in_place(|| cluster.postgres.resume());
    user.wait_until_done(&job).await;
    let changes = ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>PROCESSING 1", "PROCESSING>DONE 1"];
    assert_eq!(user.history(&job).await, changes);
    drop((worker, other));
}

/// A worker that is frozen between an update and its commit holds the lock of its row, until the
/// server ends the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_within_a_transaction_stops_nobody() {
    let cluster = Cluster::for_faults().await;
    let (api, notifier) = (cluster.api(), cluster.notifier());
    let frozen = cluster.start_role(
        &["worker"],
        &[("FIAPX_FREEZE_AT", "finish.before-commit"), ("WORKER_CONCURRENCY", "1")],
    );
    let user = api.user().await;
    let job = user.upload_clip(TINY).await;
    let database = cluster.namespaces.setting("DATABASE_URL").expect("it is set");
    let in_transaction =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
    eventually("the worker is frozen within its transaction", || async {
        let count = block_in_place(|| cluster.postgres.execute(&database, in_transaction));
        (count.trim() == "1").then_some(())
    })
    .await;
    let (frozen_at, other) = (Instant::now(), cluster.worker());
    let next = user.upload_clip(TINY).await;
    user.wait_until_done(&next).await;
    user.wait_until_done(&job).await;
    assert!(frozen_at.elapsed() < Duration::from_secs(40), "{:?}", frozen_at.elapsed());
    assert!(!user.archive(&job).await.is_empty());
    frozen.signal("CONT");
    let lost = |event: &str| event.starts_with("job lost");
    eventually("the worker notices that it lost the job", || async {
        frozen.log().iter().any(|line| line["event"].as_str().is_some_and(lost)).then_some(())
    })
    .await;
    assert!(!user.archive(&job).await.is_empty(), "it deletes its own archive only");
    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("each outcome has a mail", || async { (mails() >= 2).then_some(()) }).await;
    for process in [frozen, other, notifier] {
        block_in_place(|| process.terminate());
    }
    assert_eq!(mails(), 2, "each outcome has one mail");
}

/// A network that drops every packet: no call waits until TCP gives up.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_drops_every_packet_is_given_up() {
    let cluster = Cluster::for_faults().await;
    let proxy = Proxy::start(cluster.postgres.port());
    let database = cluster.namespaces.setting("DATABASE_URL").expect("it is set");
    let through_proxy =
        database.replace(&cluster.postgres.port().to_string(), &proxy.port().to_string());
    let api = cluster.api();
    let cut_off = cluster.start_role(&["worker"], &[("DATABASE_URL", &through_proxy)]);
    let user = api.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for_first_frames(&job).await;
    proxy.freeze();
    let (frozen_at, other) = (Instant::now(), cluster.worker());
    user.wait_until_done(&job).await;
    assert!(frozen_at.elapsed() < Duration::from_mins(1), "{:?}", frozen_at.elapsed());
    block_in_place(|| other.terminate());
    proxy.thaw();
    // The worker that was cut off works again, without a restart.
    let next = user.upload_clip(TINY).await;
    user.wait_until_done(&next).await;
    assert!(frozen_at.elapsed() < Duration::from_mins(2), "{:?}", frozen_at.elapsed());
    drop(cut_off);
}
