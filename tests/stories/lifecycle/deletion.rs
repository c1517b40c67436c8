//! Jobs that their users do not want any more: cancelled while they wait or run, deleted when they
//! are over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rstest::rstest;
use serde_json::Value;

use super::{begun, cancel, files_of, id, occupy, remove, unfinished};
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::{LONG, SHORT, WRONG};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// How soon a cancelled job stops.
const SOON: Duration = Duration::from_secs(5);

/// Nothing is left of a job but that there was one.
async fn gone(service: &Service, user: &User<'_>, job: &str) {
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
    assert_eq!(service.database().job(id(job)).await.expect("the database answers"), None);
    assert_eq!(service.database().history(id(job)).await.expect("the database answers"), []);
    assert!(
        !service.files().await.into_keys().any(|path| path.contains(job)),
        "{:?}",
        service.files().await
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_job_is_cancelled_before_anybody_works_on_it(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let (neighbour, user) = (service.user().await, service.user().await);
    let blocking = occupy(&neighbour).await;
    let job = user.upload_clip(SHORT).await;
    assert_eq!(user.get(&format!("/videos/{job}")).await.1["status"], "QUEUED");
    cancel(&user, &job).await;
    cancel(&neighbour, &blocking).await;
    // Its message came before that of the next.
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
    gone(&service, &user, &job).await;
    service.expect_mails(1).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_running_job_stops_within_seconds(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let job = occupy(&user).await;
    begun(&user, &job).await;
    let next = user.upload_clip(SHORT).await;
    let asked = Instant::now();
    cancel(&user, &job).await;
    user.wait_for(&next, &["PROCESSING", "DONE"]).await;
    assert!(asked.elapsed() < SOON, "the slot was free after {:?}", asked.elapsed());
    eventually("the archive is thrown away", || async {
        unfinished(&service).await.is_empty().then_some(())
    })
    .await;
    assert_eq!(user.history(&job).await[2..], ["QUEUED>PROCESSING 1", "PROCESSING>CANCELLED"]);
    user.wait_until_done(&next).await;
    let names: Vec<String> = files_of(&service, &user).await.into_keys().collect();
    assert_eq!(
        names,
        [format!("{job}/input.mp4"), format!("{next}/input.mp4"), format!("{next}/output-1.zip")]
    );
    // Nobody is told of what they did themselves.
    assert_eq!(service.expect_mails(1).await[0].subject, "Your video is ready: h264_aac.mp4");
}

/// Also when it is deleted before its worker has noticed, and in any stage of the work.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_at_any_moment_leaves_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut cancelled = 0;
    for moment in 0..12 {
        let job = user.upload_clip(SHORT).await;
        // Not to wait for something, but to come at different stages.
        tokio::time::sleep(Duration::from_millis(40 * moment)).await;
        let (status, view) = user.delete(&format!("/videos/{job}")).await;
        match status {
            StatusCode::OK => {
                cancelled += 1;
                assert_eq!(view["status"], "CANCELLED");
                remove(&user, &job).await;
            }
            StatusCode::NO_CONTENT => {}
            // It was claimed, or finished, between the look and the change.
            StatusCode::CONFLICT => {
                assert_eq!(view["code"], "JOB_CHANGED");
                user.wait_until_done(&job).await;
                remove(&user, &job).await;
            }
            other => panic!("{other}: {view}"),
        }
        gone_soon(&service, &user, &job).await;
    }
    assert!(cancelled > 0, "each was done before it could be cancelled");
    eventually("no file is left", || async { service.files().await.is_empty().then_some(()) })
        .await;
    assert_eq!(user.get("/videos").await.1, Value::Array(Vec::new()));
}

/// Nothing is left once the worker has noticed.
async fn gone_soon(service: &Service, user: &User<'_>, job: &str) {
    // An archive that is completed at this moment goes from the unfinished ones to the files before
    // it is thrown away.
    eventually("the engine has stopped, and no file is left", || async {
        (unfinished(service).await.is_empty() && files_of(service, user).await.is_empty())
            .then_some(())
    })
    .await;
    gone(service, user, job).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_another_attempt_can_be_cancelled(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.worker.timeout_seconds = 0).await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    eventually("another attempt is to follow", || async {
        user.get(&format!("/videos/{job}")).await.1["next_attempt_at"].is_string().then_some(())
    })
    .await;
    let view = cancel(&user, &job).await;
    assert_eq!(view["next_attempt_at"], Value::Null);
    service.advance(Duration::from_mins(10));
    service.run_maintenance().await;
    // The message of the attempt that was to follow is dealt with by then.
    service.wait_until_idle().await;
    let way = [
        "QUEUED>PROCESSING 1",
        "PROCESSING>PROCESSING 1 PROCESSING_TIMEOUT",
        "PROCESSING>CANCELLED",
    ];
    assert_eq!(user.history(&job).await[2..], way);
    service.expect_mails(0).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_can_be_deleted(#[values(Embedded, Servers)] parts: Parts) {
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
        gone(&service, &user, job).await;
    }
    let fetched =
        service.request(reqwest::Method::GET, &link).send().await.expect("the service answers");
    assert_eq!(fetched.status(), StatusCode::NOT_FOUND, "the link leads nowhere any more");
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
