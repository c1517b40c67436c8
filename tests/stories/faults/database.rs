//! PostgreSQL stops in the middle of transactions.

use servers::postgres::ShutdownMode;
use tokio::task::block_in_place;

use crate::harness::audit::send_video;
use crate::harness::clips::TINY;
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
