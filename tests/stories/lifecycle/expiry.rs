//! Expiry of archives and videos, and the sweep of files without a row.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;
use uuid::Uuid;

use super::failure::occupy_without_output;
use super::{cancel, days, files_of, long_sessions, remove, unfinished};
use crate::harness::checks::{TIMEOUT, eventually};
use crate::harness::clips::{SHORT, WRONG};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_expires_after_seven_days(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    let done = user.wait_until_done(&job).await;
    let files = files_of(&service, &user).await;

    service.advance(days(7).saturating_sub(TIMEOUT));
    service.run_maintenance().await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.1, done, "it has not expired yet");
    assert_eq!(files_of(&service, &user).await, files);
    user.archive(&job).await;

    service.advance(TIMEOUT);
    let (status, problem) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::GONE, &"ARCHIVE_EXPIRED".into()),
        "it expires without the maintenance"
    );
    service.run_maintenance().await;
    let view = user.wait_for(&job, &["EXPIRED"]).await;
    let mut expected = done.clone();
    (expected["status"], expected["download_available"]) = ("EXPIRED".into(), false.into());
    assert_eq!(view, expected, "all other fields are kept");
    let changes = [
        "->UPLOADED",
        "UPLOADED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>DONE 1",
        "DONE>EXPIRED",
    ];
    assert_eq!(user.history(&job).await, changes);
    // The maintenance of the service itself may remove the files at the same time.
    eventually("the files are removed", || async {
        files_of(&service, &user).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(user.get(&format!("/jobs/{job}/download")).await.0, StatusCode::GONE);
    service.run_maintenance().await;
    assert_eq!(user.history(&job).await, changes);

    remove(&user, &job).await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.0, StatusCode::NOT_FOUND);
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn videos_without_an_archive_are_removed_after_seven_days(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let cancelled = occupy_without_output(&user).await;
    cancel(&user, &cancelled).await;
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    eventually("the engine has stopped", || async {
        unfinished(&service).await.is_empty().then_some(())
    })
    .await;
    let descriptions = async || {
        let mut jobs = Vec::new();
        for job in [&cancelled, &failed] {
            jobs.push((user.get(&format!("/videos/{job}")).await.1, user.history(job).await));
        }
        jobs
    };
    let before = descriptions().await;
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(names, [format!("{cancelled}/input.avi"), format!("{failed}/input.mp4")]);

    service.advance(days(7));
    service.run_maintenance().await;
    eventually("the files are removed", || async {
        service.files().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(descriptions().await, before, "states and histories are kept");
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_never_expires(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            long_sessions(settings);
            settings.worker.concurrency = 1;
            // The running job keeps its lease while the clock is advanced.
            settings.worker.lease_seconds = days(30).as_secs();
        })
        .await;
    let (neighbor, user) = (service.user().await, service.user().await);
    let blocking = occupy_without_output(&neighbor).await;
    let job = user.upload_clip(SHORT).await;
    service.advance(days(8));
    service.run_maintenance().await;
    let view = user.get(&format!("/videos/{job}")).await.1;
    assert_eq!(view["status"], "QUEUED");
    assert_eq!(
        files_of(&service, &user).await.into_keys().collect::<Vec<_>>(),
        [format!("{job}/input.mp4")]
    );
    assert_eq!(user.history(&job).await, ["->UPLOADED", "UPLOADED>QUEUED"]);

    cancel(&neighbor, &blocking).await;
    let done = user.wait_until_done(&job).await;
    let time =
        |name: &str| done[name].as_str().expect("text").parse::<jobs::Time>().expect("a time");
    assert_eq!(
        time("completed_at") + days(7),
        time("expires_at"),
        "the days count from the completion"
    );
    service.run_maintenance().await;
    assert!(!user.archive(&job).await.is_empty());
}

/// Make a file two hours old.
fn age(path: &Path) {
    let file = File::options().write(true).open(path).expect("the file exists");
    file.set_modified(SystemTime::now() - Duration::from_hours(2)).expect("its time can be set");
}

/// Create a file that no row refers to.
fn create_orphan(path: &Path) {
    fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it can be created");
    fs::write(path, "orphan").expect("it can be written");
}

/// On embedded parts only, where the age of files can be changed. The conformance suite of
/// `storage` covers sweeps of other stores.
#[tokio::test(flavor = "multi_thread")]
async fn old_files_without_a_row_are_swept() {
    let service = Service::with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let done = user.upload_clip(SHORT).await;
    user.wait_until_done(&done).await;
    let running = occupy_without_output(&user).await;
    let waiting = user.upload_clip(SHORT).await;
    eventually("the archive is being written", || async {
        unfinished(&service).await.first().map(|_| ())
    })
    .await;

    let root = service.directory.path().join("files");
    let folder = format!("videos/{}", user.id);
    for used in [
        format!("{done}/input.mp4"),
        format!("{done}/output-1.zip"),
        format!("{running}/input.avi"),
        format!("{waiting}/input.mp4"),
    ] {
        age(&root.join(&folder).join(used));
    }
    let before = service.files().await.into_keys().collect::<Vec<_>>();
    // A video without a job, an archive of a superseded attempt, and an upload that a crash
    // interrupted.
    for old in [
        format!("{folder}/{}/input.mp4", Uuid::now_v7()),
        format!("{folder}/{done}/output-9.zip"),
        "unfinished/abandoned".to_owned(),
    ] {
        create_orphan(&root.join(&old));
        age(&root.join(&old));
    }
    // The row of a new video may be written soon.
    let new = format!("{folder}/{}/input.mp4", Uuid::now_v7());
    create_orphan(&root.join(&new));

    assert_eq!(service.sweep(Duration::from_hours(1)).await, 2);
    let mut after: Vec<String> = service.files().await.into_keys().collect();
    after.retain(|path| *path != new);
    assert_eq!(after, before, "a file in use was removed, or an old one was kept");

    cancel(&user, &running).await;
    user.wait_until_done(&waiting).await;
    assert_eq!(service.sweep(Duration::ZERO).await, 1);
    let files: BTreeSet<String> = files_of(&service, &user).await.into_keys().collect();
    let mut used = BTreeSet::from([format!("{running}/input.avi")]);
    for job in [&done, &waiting] {
        used.extend([format!("{job}/input.mp4"), format!("{job}/output-1.zip")]);
        assert!(!user.archive(job).await.is_empty());
    }
    assert_eq!(files, used);
    assert_eq!(user.get(&format!("/videos/{running}")).await.1["status"], Value::from("CANCELLED"));
}
