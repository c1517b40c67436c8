//! Cancelling jobs that wait or run, and deleting finished ones.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;

use super::{cancel, files_of, id, occupy, remove, unfinished};
use crate::harness::checks::eventually;
use crate::harness::client::{User, job_id};
use crate::harness::clips::{LONG, SHORT, WRONG, with_decoder_command_from};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Longest time until a cancelled job stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Check that a job, its history and its files are gone.
async fn expect_gone(service: &Service, user: &User<'_>, job: &str) {
    for path in [
        format!("/videos/{job}"),
        format!("/jobs/{job}/status"),
        format!("/jobs/{job}/events"),
        format!("/jobs/{job}/download"),
    ] {
        let (status, problem) = user.get(&path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {problem}");
    }
    assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(service.database().job(id(job)).await.expect("the database responds"), None);
    assert_eq!(service.database().history(id(job)).await.expect("the database responds"), []);
    // A worker that has not noticed yet may still store a file, which it removes then.
    eventually("no file of the job is left", || async {
        (!service.files_and_previews().await.keys().any(|path| path.contains(job))).then_some(())
    })
    .await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_waiting_job_is_never_processed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let (neighbor, user) = (service.user().await, service.user().await);
    let blocking = occupy(&neighbor).await;
    let job = user.upload_clip(SHORT).await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.1["status"], "QUEUED");
    cancel(&user, &job).await;
    cancel(&neighbor, &blocking).await;
    // When the next job is done, the message of the cancelled one has been handled.
    let next = user.upload_clip(SHORT).await;
    user.wait_until_done(&next).await;
    assert_eq!(user.history(&job).await, ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>CANCELLED"]);
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(
        names,
        [format!("{job}/input.mp4"), format!("{next}/input.mp4"), format!("{next}/output-1.zip")]
    );
    let (status, problem) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"NOT_DONE".into()));
    remove(&user, &job).await;
    expect_gone(&service, &user, &job).await;
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_within_seconds(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    // Some of its frames are extracted, and then it is processed until it is cancelled.
    let clip = with_decoder_command_from(60, "waits");
    let job = job_id(&user.upload(&[("endless.avi", clip)]).await.1);
    user.wait_for_first_frames(&job).await;
    let next = user.upload_clip(SHORT).await;
    let cancelled = Instant::now();
    cancel(&user, &job).await;
    user.wait_for(&next, &["PROCESSING", "DONE"]).await;
    let elapsed = cancelled.elapsed();
    println!("the worker slot was free after {elapsed:?}");
    assert!(elapsed < STOP_TIME, "the worker slot was free after {elapsed:?}");
    eventually("the archive is discarded", || async {
        unfinished(&service).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(user.history(&job).await[2..], ["QUEUED>PROCESSING 1", "PROCESSING>CANCELLED"]);
    user.wait_until_done(&next).await;
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(
        names,
        [format!("{job}/input.avi"), format!("{next}/input.mp4"), format!("{next}/output-1.zip")]
    );
    // There is no mail about the cancellation.
    assert_eq!(service.expect_mails(1).await[0].subject, "Your video is ready: h264_aac.mp4");
}

/// Covers every stage of the work, also before the worker has noticed the cancellation.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_deleted_at_any_moment(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut cancelled = 0;
    for moment in 0..12 {
        let job = user.upload_clip(SHORT).await;
        // The cancellation happens at different stages; nothing depends on the pause.
        tokio::time::sleep(Duration::from_millis(40 * moment)).await;
        let (status, view) = user.delete(&format!("/videos/{job}")).await;
        match status {
            StatusCode::OK => {
                cancelled += 1;
                assert_eq!(view["status"], "CANCELLED");
                remove(&user, &job).await;
            }
            StatusCode::NO_CONTENT => {}
            // It was claimed or finished between the check and the change.
            StatusCode::CONFLICT => {
                assert_eq!(view["code"], "JOB_CHANGED");
                user.wait_until_done(&job).await;
                remove(&user, &job).await;
            }
            other => panic!("{other}: {view}"),
        }
        wait_until_gone(&service, &user, &job).await;
    }
    assert!(cancelled > 0, "each job was done before it could be cancelled");
    eventually("no file is left", || async { service.files().await.is_empty().then_some(()) })
        .await;
    assert_eq!(user.get("/videos").await.1, Value::Array(Vec::new()));
}

/// Wait until the worker has noticed that a job is gone; check that nothing is left.
async fn wait_until_gone(service: &Service, user: &User<'_>, job: &str) {
    // An archive that is completed at this moment moves from the unfinished files to the others
    // before it is discarded.
    eventually("the engine has stopped, and no file is left", || async {
        (unfinished(service).await.is_empty() && files_of(service, user).await.is_empty())
            .then_some(())
    })
    .await;
    expect_gone(service, user, job).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_a_retry_can_be_cancelled(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.timeout_seconds = 0).await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    eventually("another attempt is due", || async {
        user.get(&format!("/videos/{job}")).await.1["next_attempt_at"].is_string().then_some(())
    })
    .await;
    let view = cancel(&user, &job).await;
    assert_eq!(view["next_attempt_at"], Value::Null);
    service.advance(Duration::from_mins(10));
    service.run_maintenance().await;
    // By then the message of the next attempt has been handled.
    service.wait_until_idle().await;
    let changes = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 PROCESSING_TIMEOUT",
        "PROCESSING>CANCELLED",
    ];
    assert_eq!(user.history(&job).await[2..], changes);
    service.expect_mails(0).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_can_be_deleted(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let cancelled = occupy(&user).await;
    cancel(&user, &cancelled).await;
    let (done, failed, kept) = (
        user.upload_clip(SHORT).await,
        user.upload_clip(WRONG).await,
        user.upload_clip(SHORT).await,
    );
    user.wait_until_done(&done).await;
    user.wait_for(&failed, &["FAILED"]).await;
    user.wait_until_done(&kept).await;
    let link = user.get(&format!("/jobs/{done}/download")).await.1["download_url"]
        .as_str()
        .expect("a link")
        .to_owned();
    for job in [&cancelled, &done, &failed] {
        remove(&user, job).await;
        expect_gone(&service, &user, job).await;
    }
    let fetched =
        service.request(reqwest::Method::GET, &link).send().await.expect("the service responds");
    assert_eq!(fetched.status(), StatusCode::NOT_FOUND, "the link still works");
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(names, [format!("{kept}/input.mp4"), format!("{kept}/output-1.zip")]);
    assert_eq!(unfinished(&service).await, [""; 0]);
    let listed = user.get("/videos").await.1;
    assert_eq!(
        listed.as_array().map(|jobs| jobs.iter().map(|job| job["id"].clone()).collect()),
        Some(vec![Value::from(kept)])
    );
    assert_eq!(service.files().await.len(), 2, "{:?}", BTreeMap::from_iter(service.files().await));
}

/// A client that shows a job in an earlier state must not delete what the user wants to keep.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_can_insist_on_cancelling_or_deleting(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let done = user.upload_clip(SHORT).await;
    user.wait_until_done(&done).await;
    let archive = user.archive(&done).await;
    let (status, problem) = user.delete(&format!("/videos/{done}?action=cancel")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &"JOB_FINISHED".into()));
    assert_eq!(user.archive(&done).await, archive);

    let running = occupy(&user).await;
    let (status, problem) = user.delete(&format!("/videos/{running}?action=delete")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &"JOB_NOT_FINISHED".into()));
    let (status, view) = user.delete(&format!("/videos/{running}?action=cancel")).await;
    assert_eq!((status, &view["status"]), (StatusCode::OK, &"CANCELLED".into()));
    for job in [&done, &running] {
        let (status, _) = user.delete(&format!("/videos/{job}?action=delete")).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
        expect_gone(&service, &user, job).await;
    }
    let (status, problem) = user.delete(&format!("/videos/{done}?action=keep")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &"INVALID_PARAMETER".into()));
}
