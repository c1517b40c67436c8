//! Redis is down: each process counts requests on its own, and no user is locked out.

use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::allowed_downloads;
use crate::harness::clips::TINY;
use crate::harness::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_process_counts_on_its_own() {
    let mut cluster = Cluster::start(&[]).await;
    let (first, second, worker) = (cluster.api(), cluster.api(), cluster.worker());
    let user = first.user().await;
    let same = user.account().at(&second);
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    assert_eq!(allowed_downloads([&user, &same], &job, 6).await, 6);

    block_in_place(|| cluster.redis.stop());
    assert_eq!(allowed_downloads([&user, &same], &job, 24).await, 20, "ten at each process");
    // Other requests still work, including those that are counted.
    let newcomer = second.user().await;
    newcomer.wait_until_done(&newcomer.upload_clip(TINY).await).await;

    block_in_place(|| cluster.redis.start_again());
    eventually("both processes count together again", || async {
        let user = first.user().await;
        let job = user.upload_clip(TINY).await;
        user.wait_until_done(&job).await;
        let same = user.account().at(&second);
        (allowed_downloads([&user, &same], &job, 24).await == 10).then_some(())
    })
    .await;

    // A server that hangs delays requests only briefly.
    cluster.redis.pause();
    let started = Instant::now();
    let late = first.user().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    late.wait_until_done(&late.upload_clip(TINY).await).await;
    cluster.redis.resume();
    drop(worker);
}
