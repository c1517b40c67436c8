//! A worker that is killed while it stores the video of an address loses no job and leaves no file.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use jobs::Clock;
use rstest::rstest;
use serde_json::json;

use super::client::{accepted, permit_loopback};
use crate::harness::audit::LATER;
use crate::harness::clips::{SHORT, clip_bytes, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::Service;
use crate::harness::video_server::{Serving, VideoServer};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_video_is_known_or_swept(
    #[values(Embedded, Servers)] parts: Parts,
    #[values("source.before-record", "source.after-record")] point: &str,
) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Whole).await;
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let settings = [
        ("FIAPX_KILL_AT", point),
        ("VIDEOS_BY_URL", "true"),
        ("VIDEOS_BY_URL_ALLOW_PRIVATE", "true"),
    ];
    let environment: Vec<(&str, &str)> = settings.into_iter().chain(variables).collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
    let account = user.account();
    let (status, _) = process.wait_for_exit();
    assert_eq!(status.signal(), Some(9), "it was not killed");

    let clock = Clock::default();
    // What the killed process held is due again.
    clock.advance(LATER);
    let service = Service::at(directory, namespaces, clock, |settings| {
        permit_loopback(settings);
        settings.worker.lease_seconds = 5;
        settings.worker.retry_seconds = vec![0; 20];
    });
    let service = service.await;
    account.at(&service).wait_until_done(&job).await;
    let is_recorded = point == "source.after-record";
    assert_eq!(server.sent().len(), if is_recorded { 1 } else { 2 }, "it is stored once recorded");
    assert_eq!(service.sweep(Duration::ZERO).await, u64::from(!is_recorded));
    let names: Vec<String> = service
        .files()
        .await
        .into_keys()
        .map(|path| path.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    let video = if is_recorded { "input-1.mp4" } else { "input-2.mp4" };
    assert_eq!(names, [video, "output-2.zip"]);
}
