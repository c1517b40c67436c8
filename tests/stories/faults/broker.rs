//! RabbitMQ stops, and loses its data.

use tokio::task::block_in_place;

use crate::harness::audit::send_video;
use crate::harness::checks::eventually;
use crate::harness::client::Client;
use crate::harness::clips::TINY;
use crate::harness::cluster::{Cluster, Survived, survive};
use crate::harness::metrics::metrics;
use crate::harness::process::free_address;

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
