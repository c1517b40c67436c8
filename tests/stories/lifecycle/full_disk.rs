//! A disk that other programs fill: uploads stop early, and files are still expired and deleted.

use jobs::Clock;
use reqwest::StatusCode;
use servers::disk::mount;
use tokio::task::block_in_place;

use super::{days, files_of, long_sessions};
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::{SHORT, clip_bytes, scratch};
use crate::harness::isolation::{Own, has_own};
use crate::harness::metrics::wait_for_metrics;
use crate::harness::service::Service;
use crate::harness::small_disk::{fill, free_space, occupied};

const MIB: u64 = 1 << 20;

/// Size of the reserve, and its metric.
const RESERVE: u64 = 32 * MIB;
const METRIC: &str = "fiapx_disk_reserve_bytes";

/// Upload a clip, which the service has no space for.
async fn expect_refusal(user: &User<'_>) {
    let (status, problem) = user.upload(&[("a.mp4", clip_bytes(SHORT))]).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::INSUFFICIENT_STORAGE, &"STORAGE_FULL".into()),
        "{problem}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_freed_by_expiry() {
    const NAME: &str = "lifecycle::full_disk::a_full_disk_is_freed_by_expiry";
    if !block_in_place(|| has_own(Own::Mounts, NAME)) {
        return;
    }
    let directory = scratch();
    mount(directory.path(), 192);
    let disk = directory.path().to_owned();
    let service = Service::at(directory, None, Clock::default(), long_sessions).await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    wait_for_metrics(&service, &[(METRIC, RESERVE as f64)]).await;
    assert_eq!(occupied(&disk.join("reserve")), RESERVE);

    // Uploads stop before the reserve is needed.
    fill(&disk, "half", 60 * MIB);
    expect_refusal(&user).await;
    assert_eq!(occupied(&disk.join("reserve")), RESERVE);
    assert_eq!(user.get(&format!("/videos/{job}")).await.1["status"], "DONE");

    // Nothing is left. The expiry uses the reserve.
    fill(&disk, "rest", 0);
    wait_for_metrics(&service, &[(METRIC, 0.0)]).await;
    service.advance(days(7));
    eventually("the archive expires", || async {
        (user.get(&format!("/videos/{job}")).await.1["status"] == "EXPIRED").then_some(())
    })
    .await;
    eventually("the files are removed", || async {
        files_of(&service, &user).await.is_empty().then_some(())
    })
    .await;
    expect_refusal(&user).await;
    assert!(free_space(&disk) > 0, "the reserve was used up by something else");

    // A new start needs no space either.
    let directory = service.stop().await;
    let service = Service::at(directory, None, Clock::default(), long_sessions).await;
    let user = service.user().await;
    expect_refusal(&user).await;

    // As soon as there is space, there is a reserve, and uploads are accepted again.
    for file in ["half", "rest"] {
        std::fs::remove_file(disk.join(file)).expect("the file exists");
    }
    wait_for_metrics(&service, &[(METRIC, RESERVE as f64)]).await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
}
