//! A service that is killed at any step of a completion, and another instance that repeats it.

use std::os::unix::process::ExitStatusExt;

use jobs::Clock;
use reqwest::Method;
use rstest::rstest;
use serde_json::json;

use super::super::{expect_only, video};
use super::{PART, completed, create, send_parts};
use crate::harness::checks::eventually;
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::Servers;
use crate::harness::process::Process;
use crate::harness::service::Service;

/// The first record is that of the creation, and the second one that of the parts.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_is_repeated_after_a_kill(
    #[values(
        "resumable.before-record:2",
        "resumable.after-record:2",
        "accept.before-commit:1",
        "accept.after-commit:1"
    )]
    step: &str,
) {
    let (directory, namespaces) = (scratch(), Servers.namespaces().await);
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let environment: Vec<(&str, &str)> =
        [("FIAPX_KILL_AT", step)].into_iter().chain(variables).collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let video = video(PART + 5, 1);
    let upload = create(&user, video.len()).await;
    let tags = send_parts(&user, &upload, &video).await;
    let path = format!("/uploads/{}/complete", upload["id"].as_str().expect("an id"));
    let request = user.request(Method::POST, &path).json(&json!({ "etags": tags }));
    assert!(request.send().await.is_err(), "it responds although it is killed");
    let account = user.account();
    let (status, _) = process.wait_for_exit();
    assert_eq!(status.signal(), Some(9), "it was not killed");

    let service = Service::at(directory, namespaces, Clock::default(), |_| {}).await;
    let user = account.at(&service);
    // The killed request may hold the upload for some seconds.
    let job = eventually("the upload is completed", || async {
        let response = super::complete(&user, &upload, &tags).await;
        (response.1["code"] != "UPLOAD_BUSY").then_some(())?;
        Some(completed(&user, &upload, &tags).await)
    })
    .await;
    expect_only(&service, &user, &job, &video).await;
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
}
