//! Redis is away: each process counts for itself, and nobody is kept out.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::task::block_in_place;

use crate::accounting::TINY;
use crate::cluster::Cluster;
use crate::service::{User, eventually};

/// How many of so many downloads are allowed, asked for by turns.
async fn allowed(users: [&User<'_>; 2], job: &str, times: usize) -> usize {
    let mut allowed = 0;
    for turn in 0..times {
        let (status, body) = users[turn % 2].get(&format!("/jobs/{job}/download")).await;
        assert!(
            matches!(status, StatusCode::OK | StatusCode::TOO_MANY_REQUESTS),
            "{status}: {body}"
        );
        allowed += usize::from(status == StatusCode::OK);
    }
    allowed
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_each_process_counts_for_itself() {
    let mut cluster = Cluster::start(&[]).await;
    let (first, second, worker) = (cluster.api(), cluster.api(), cluster.worker());
    let user = first.user().await;
    let same = user.account().at(&second);
    let job = user.send(TINY).await;
    user.done(&job).await;
    assert_eq!(allowed([&user, &same], &job, 6).await, 6);

    block_in_place(|| cluster.redis.stop());
    assert_eq!(allowed([&user, &same], &job, 24).await, 20, "ten from each");
    // Everything else goes on, also that which is counted.
    let newcomer = second.user().await;
    newcomer.done(&newcomer.send(TINY).await).await;

    // It comes back, and after a while both APIs have noticed.
    block_in_place(|| cluster.redis.start_again());
    eventually("both count together again", || async {
        let user = first.user().await;
        let job = user.send(TINY).await;
        user.done(&job).await;
        let same = user.account().at(&second);
        (allowed([&user, &same], &job, 24).await == 10).then_some(())
    })
    .await;

    // One that hangs holds nobody up for long.
    cluster.redis.pause();
    let started = Instant::now();
    let late = first.user().await;
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    late.done(&late.send(TINY).await).await;
    cluster.redis.resume();
    drop(worker);
}
