//! A service that is killed at any step of an upload, and another instance that continues it.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jobs::Clock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::RequestBuilder;
use rstest::rstest;
use tokio::runtime::Runtime;

use super::{
    MIB, creation, expect_only, number, offset, patch, send_and_cut, send_rest, text, video,
};
use crate::harness::checks::{check_all, eventually, panic_message, story_seed};
use crate::harness::client::User;
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::{Service, long_sessions};

/// Steps at which the service is killed: records of the creation, of the first bytes and of the
/// last ones, and the acceptance.
const STEPS: [&str; 8] = [
    "resumable.before-record:1",
    "resumable.after-record:1",
    "resumable.before-record:2",
    "resumable.after-record:2",
    "resumable.before-record:3",
    "resumable.after-record:3",
    "accept.before-commit:1",
    "accept.after-commit:1",
];

#[rstest]
fn a_kill_at_any_step_loses_nothing(#[values(Embedded, Servers)] parts: Parts) {
    check_all(&STEPS, |step| {
        let story = || Runtime::new().expect("a runtime").block_on(killed_at(parts, step));
        catch_unwind(AssertUnwindSafe(story)).map_err(panic_message)
    });
}

/// Response of a request; `None` if the service was killed before it.
async fn response(request: RequestBuilder) -> Option<reqwest::Response> {
    request.send().await.ok()
}

/// Upload in two requests until the service is killed, and return the path, if it is known, and
/// the offset that was confirmed.
async fn upload(user: &User<'_>, video: &[u8]) -> (Option<String>, usize) {
    let Some(created) = response(creation(user, video.len())).await else { return (None, 0) };
    let path = text(&created, "location").expect("a path");
    let mut confirmed = 0;
    for end in [7 * MIB, video.len()] {
        let bytes = &video[confirmed..end];
        let Some(stored) = response(patch(user, &path, confirmed, bytes)).await else { break };
        confirmed = number(&stored, "upload-offset");
        assert_eq!(confirmed, end);
    }
    (Some(path), confirmed)
}

async fn killed_at(parts: Parts, step: &str) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let environment: Vec<(&str, &str)> =
        [("FIAPX_KILL_AT", step)].into_iter().chain(variables).collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let video = video(12 * MIB + 3, 1);
    let (path, confirmed) = upload(&user, &video).await;
    let account = user.account();
    let (status, _) = process.wait_for_exit();
    assert_eq!(status.signal(), Some(9), "{step}: it was not killed");

    let service = Service::at(directory, namespaces, Clock::default(), long_sessions).await;
    let mut user = account.at(&service);
    user.log_in_again().await;
    let path = match path {
        Some(path) => path,
        None => super::create(&user, video.len()).await,
    };
    // The hold of the process that was killed ends.
    eventually("the upload is free", || async {
        let state = super::send(super::request(&user, reqwest::Method::HEAD, &path)).await;
        state.status().is_success().then_some(())
    })
    .await;
    assert!(offset(&user, &path).await >= confirmed, "{step}: confirmed bytes are lost");
    let job = send_rest(&user, &path, &video).await;
    assert_eq!(path, format!("/uploads/{job}"));
    user.wait_until_done(&job).await;
    let listed = user.get("/videos").await.1;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{step}: {listed}");
    // An upload whose path the client has never seen expires.
    service.advance(Duration::from_hours(48));
    service.run_maintenance().await;
    service.sweep(Duration::ZERO).await;
    expect_only(&service, &user, &job, &video).await;
}

/// A process that is killed while it receives bytes has recorded some of them.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_lose_little(#[values(Embedded, Servers)] parts: Parts) {
    const ROUNDS: usize = 5;
    let mut random = StdRng::seed_from_u64(story_seed());
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let video = video(60 * MIB, 2);
    let (mut account, mut path, mut last) = (None, String::new(), 0);
    for round in 0..ROUNDS {
        let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
        let process = Process::start(directory.path(), &variables.collect::<Vec<_>>());
        if account.is_none() {
            let user = process.user().await;
            path = super::create(&user, video.len()).await;
            account = Some(user.account());
        }
        let user = account.as_ref().expect("a user").at(&process);
        let from = offset(&user, &path).await;
        assert!(from >= last, "bytes that were recorded are lost");
        last = from;
        let rest = &video[from..];
        let sent = random.random_range(0..rest.len().min(20 * MIB));
        let moment = Duration::from_millis(random.random_range(0..600));
        let kill = async {
            // The kill happens at any moment; nothing depends on it.
            tokio::time::sleep(moment).await;
            process.signal("KILL");
        };
        tokio::join!(send_and_cut(&user, &path, from, rest, sent), kill);
        println!("round {round}: {from} bytes, {sent} sent, killed after {moment:?}");
    }
    let service = Service::at(directory, namespaces, Clock::default(), |_| {}).await;
    let user = account.expect("a user").at(&service);
    let job = send_rest(&user, &path, &video).await;
    expect_only(&service, &user, &job, &video).await;
}
