//! The network between processes and servers is cut.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::harness::clips::{LONG, TINY};
use crate::harness::cluster::Cluster;
use crate::harness::isolation::{Own, has_own};
use crate::harness::remote_network::RemoteNetwork;

/// Every packet of a worker's machine is lost, as behind a pulled cable. TCP itself would wait for
/// a quarter of an hour.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_network_delays_its_job_by_less_than_a_minute() {
    const NAME: &str =
        "faults::network::a_worker_without_a_network_delays_its_job_by_less_than_a_minute";
    if !block_in_place(|| has_own(Own::Network, NAME)) {
        return;
    }
    let cluster = Cluster::for_faults().await;
    let network = block_in_place(|| RemoteNetwork::with_servers(&cluster.namespaces));
    let (api, remote) = (cluster.api(), cluster.worker_in(&network));
    let user = api.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_for_first_frames(&job).await;
    block_in_place(|| network.cut());
    let (cut_at, other) = (Instant::now(), cluster.worker());
    user.wait_until_done(&job).await;
    assert!(cut_at.elapsed() < Duration::from_mins(1), "{:?}", cut_at.elapsed());
    block_in_place(|| other.terminate());
    block_in_place(|| network.restore());
    // The remote worker works again, without a restart, and leaves the other's archive alone.
    let next = user.upload_clip(TINY).await;
    user.wait_until_done(&next).await;
    assert!(cut_at.elapsed() < Duration::from_mins(2), "{:?}", cut_at.elapsed());
    assert!(!user.archive(&job).await.is_empty());
    block_in_place(|| remote.terminate());
}
