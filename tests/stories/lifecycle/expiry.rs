//! What goes when its time is over, and what stays.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;
use uuid::Uuid;

use super::{cancel, days, files_of, long_sessions, occupy, remove, unfinished};
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
    assert_eq!(user.get(&format!("/videos/{job}")).await.1, done, "its time is not over");
    assert_eq!(files_of(&service, &user).await, files);
    user.archive(&job).await;

    service.advance(TIMEOUT);
    let (status, problem) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::GONE, &"ARCHIVE_EXPIRED".into()),
        "nobody has to look for that"
    );
    service.run_maintenance().await;
    let view = user.wait_for(&job, &["EXPIRED"]).await;
    let mut expected = done.clone();
    (expected["status"], expected["download_available"]) = ("EXPIRED".into(), false.into());
    assert_eq!(view, expected, "all else is kept");
    let way = [
        "->UPLOADED",
        "UPLOADED>QUEUED",
        "QUEUED>PROCESSING 1",
        "PROCESSING>DONE 1",
        "DONE>EXPIRED",
    ];
    assert_eq!(user.history(&job).await, way);
    // Whoever looks at the same time removes the same files.
    eventually("the files are gone", || async {
        files_of(&service, &user).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(user.get(&format!("/jobs/{job}/download")).await.0, StatusCode::GONE);
    service.run_maintenance().await;
    assert_eq!(user.history(&job).await, way);

    remove(&user, &job).await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.0, StatusCode::NOT_FOUND);
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn videos_without_archive_go_after_seven_days_too(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let cancelled = occupy(&user).await;
    cancel(&user, &cancelled).await;
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    eventually("the engine has stopped", || async {
        unfinished(&service).await.is_empty().then_some(())
    })
    .await;
    let looks = async || {
        let mut jobs = Vec::new();
        for job in [&cancelled, &failed] {
            jobs.push((user.get(&format!("/videos/{job}")).await.1, user.history(job).await));
        }
        jobs
    };
    let before = looks().await;
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(names, [format!("{cancelled}/input.mp4"), format!("{failed}/input.mp4")]);

    service.advance(days(7));
    service.run_maintenance().await;
    eventually("the files are gone", || async { service.files().await.is_empty().then_some(()) })
        .await;
    assert_eq!(looks().await, before, "states and histories are kept");
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_never_expires(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            long_sessions(settings);
            settings.worker.concurrency = 1;
            // The one that runs keeps its job while days pass.
            settings.worker.lease_seconds = days(30).as_secs();
        })
        .await;
    let (neighbour, user) = (service.user().await, service.user().await);
    let blocking = occupy(&neighbour).await;
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

    cancel(&neighbour, &blocking).await;
    let done = user.wait_until_done(&job).await;
    let time =
        |name: &str| done[name].as_str().expect("text").parse::<jobs::Time>().expect("a time");
    assert_eq!(time("completed_at") + days(7), time("expires_at"), "the days count from the end");
    service.run_maintenance().await;
    assert!(!user.archive(&job).await.is_empty());
}

/// On embedded parts alone: files there can be given another age. That stores sweep alike is a
/// matter of their conformance.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_nobody_are_swept_and_those_in_use_are_not() {
    const HOUR: Duration = Duration::from_hours(1);
    let service = Service::with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let done = user.upload_clip(SHORT).await;
    user.wait_until_done(&done).await;
    let running = occupy(&user).await;
    let waiting = user.upload_clip(SHORT).await;
    eventually("the archive is being written", || async {
        unfinished(&service).await.first().map(|_| ())
    })
    .await;

    let root = service.directory.path().join("files");
    let folder = format!("videos/{}", user.id);
    let age = |path: &Path| {
        let file = File::options().write(true).open(path).expect("it is there");
        file.set_modified(SystemTime::now() - 2 * HOUR).expect("its time can be set");
    };
    for used in [
        format!("{done}/input.mp4"),
        format!("{done}/output-1.zip"),
        format!("{running}/input.mp4"),
        format!("{waiting}/input.mp4"),
    ] {
        age(&root.join(&folder).join(used));
    }
    let before = service.files().await.into_keys().collect::<Vec<_>>();
    let plant = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("there is room");
        fs::write(&path, "nobody's").expect("there is room");
        path
    };
    // A video whose job was never written, an archive of an attempt that does not count, and what a
    // crash left unfinished.
    let old = [
        format!("{folder}/{}/input.mp4", Uuid::now_v7()),
        format!("{folder}/{done}/output-9.zip"),
        "unfinished/abandoned".to_owned(),
    ];
    for path in &old {
        age(&plant(path));
    }
    // A video may be stored whose job is about to be written.
    let young = format!("{folder}/{}/input.mp4", Uuid::now_v7());
    plant(&young);

    assert_eq!(service.sweep(HOUR).await, 2);
    let mut after: Vec<String> = service.files().await.into_keys().collect();
    after.retain(|path| *path != young);
    assert_eq!(after, before, "what is used or young stays");

    cancel(&user, &running).await;
    user.wait_until_done(&waiting).await;
    assert_eq!(service.sweep(Duration::ZERO).await, 1);
    let mut files: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    files.sort();
    let mut used = vec![format!("{running}/input.mp4")];
    used.extend(
        [&done, &waiting]
            .iter()
            .flat_map(|job| [format!("{job}/input.mp4"), format!("{job}/output-1.zip")]),
    );
    used.sort();
    assert_eq!(files, used);
    for job in [&done, &waiting] {
        assert!(!user.archive(job).await.is_empty());
    }
    assert_eq!(user.get(&format!("/videos/{running}")).await.1["status"], Value::from("CANCELLED"));
}
