//! PostgreSQL stops in the middle of transactions.

use servers::postgres::ShutdownMode;
use tokio::task::block_in_place;

use crate::accounting::{TINY, send};
use crate::cluster::{Cluster, through};

#[tokio::test(flavor = "multi_thread")]
async fn no_video_is_accepted_that_is_no_job_when_the_database_is_restarted() {
    let (balance, sent) = through(Cluster::for_faults().await, async |cluster, user| {
        let mut sent = Vec::new();
        for number in 0..3 {
            block_in_place(|| cluster.postgres.stop(ShutdownMode::Immediate));
            sent.push(send(user, number, TINY).await);
            assert_eq!(sent[number].accepted, None, "nobody has heard of it");
            block_in_place(|| cluster.postgres.start_again());
        }
        sent
    })
    .await;
    assert!(sent.iter().any(|sent| sent.accepted.is_some()));
    assert_eq!((balance.lost, balance.repeated), (0, 0), "{balance:?}");
}
