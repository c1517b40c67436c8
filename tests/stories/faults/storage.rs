//! The store is killed in the middle of an upload.

use tokio::task::block_in_place;

use crate::harness::audit::send_video;
use crate::harness::checks::eventually;
use crate::harness::clips::LONG;
use crate::harness::cluster::{Cluster, Survived, survive};

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_archive_upload_is_repeated_and_never_visible() {
    let Survived { audit, .. } = survive(Cluster::for_faults().await, async |cluster, user| {
        // Its archive is sent in several parts.
        let sent = send_video(user, "long", LONG).await;
        let job = sent.accepted.as_deref().expect("it is accepted");
        eventually("the upload of the archive begins", || async {
            (cluster.namespaces.unfinished().await > 0).then_some(())
        })
        .await;
        block_in_place(|| cluster.garage.kill());
        eventually("the attempt fails", || async {
            user.history(job).await.iter().any(|line| line.ends_with("STORAGE_ERROR")).then_some(())
        })
        .await;
        assert_eq!(user.get(&format!("/jobs/{job}/download")).await.1["code"], "NOT_DONE");
        block_in_place(|| cluster.garage.start_again());
        let view = user.wait_until_done(job).await;
        assert_eq!(
            (&view["frame_count"], &view["complete"]),
            (&240.into(), &true.into()),
            "{view}"
        );
        vec![sent]
    })
    .await;
    assert_eq!((audit.lost, audit.repeated), (0, 0), "{audit:?}");
}
