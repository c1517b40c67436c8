//! The store dies in the middle of an upload.

use tokio::task::block_in_place;

use crate::accounting::send;
use crate::cluster::{Cluster, through};
use crate::service::eventually;

/// A clip whose archive is sent in several parts.
const LONG: &str = "long/240_pictures.mp4";

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_cut_off_is_made_again_and_never_seen() {
    let (balance, _) = through(Cluster::for_faults().await, async |cluster, user| {
        let sent = send(user, "long", LONG).await;
        let job = sent.accepted.as_deref().expect("it is accepted");
        eventually("the archive is on its way", || async {
            (cluster.places.unfinished().await > 0).then_some(())
        })
        .await;
        block_in_place(|| cluster.garage.kill());
        eventually("the attempt fails", || async {
            user.history(job).await.iter().any(|line| line.ends_with("STORAGE_ERROR")).then_some(())
        })
        .await;
        assert_eq!(user.get(&format!("/jobs/{job}/download")).await.1["code"], "NOT_DONE");
        block_in_place(|| cluster.garage.start_again());
        let view = user.done(job).await;
        assert_eq!(
            (&view["frame_count"], &view["complete"]),
            (&240.into(), &true.into()),
            "{view}"
        );
        vec![sent]
    })
    .await;
    assert_eq!((balance.lost, balance.repeated), (0, 0), "{balance:?}");
}
