//! A service that is killed at any moment loses no job, repeats no outcome, and leaves no files.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::future::join_all;
use jobs::Clock;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rstest::rstest;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::audit::{Audit, LATER, SentVideo, audit, send_video};
use crate::harness::checks::{check_all, panic_message, story_seed};
use crate::harness::client::Account;
use crate::harness::clips::{SHORT, TINY, WRONG, paths, scratch};
use crate::harness::parts::{
    Namespaces,
    Parts::{self, Embedded, Servers},
};
use crate::harness::process::Process;
use crate::harness::programs::root;
use crate::harness::service::Service;

/// Settings with enough attempts, without pauses, that the kills of a story do not exhaust them.
const PATIENT: [(&str, &str); 2] = [
    ("WORKER_RETRY_SECONDS", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"),
    ("LIMIT_DOWNLOADS_PER_MINUTE", "1000000"),
];

/// Start a service on the data of one that was killed, and audit it.
async fn restart_and_audit(
    directory: TempDir,
    namespaces: Option<Namespaces>,
    account: &Account,
    sent: &[SentVideo],
) -> Audit {
    let clock = Clock::default();
    clock.advance(LATER);
    let service = Service::at(directory, namespaces, clock, |settings| {
        settings.worker.retry_seconds = vec![0; 20];
        settings.limits.downloads_per_minute = 1_000_000;
    });
    audit(service.await, account, sent).await
}

/// Names of the fail points in the sources, at which tests can kill the process.
fn fail_points() -> Vec<String> {
    let mut points = Vec::new();
    let mut left = vec![root().join("crates")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(paths(&path));
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let source = std::fs::read_to_string(&path).expect("sources are text");
            let named =
                source.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            points.extend(named.map(str::to_owned));
        }
    }
    // The stories about webhooks, resumable uploads and videos by URL have theirs.
    let topics = ["webhook.", "resumable.", "source."];
    points.retain(|point| !topics.iter().any(|topic| point.starts_with(topic)));
    points.sort();
    points.dedup();
    points
}

/// The fail points are before and after every commit, publication and completion. Each kills the
/// process at its first use and, on embedded parts, in another run at its second.
#[rstest]
fn a_kill_at_any_fail_point_loses_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let points = fail_points();
    assert!(points.len() >= 10, "the sources name {points:?}");
    let times: &[u32] = if parts == Embedded { &[1, 2] } else { &[1] };
    let cases: Vec<String> = points
        .iter()
        .flat_map(|point| times.iter().map(move |time| format!("{point}:{time}")))
        .collect();
    check_all(&cases, |point| {
        let story =
            || Runtime::new().expect("the runtime starts").block_on(killed_at(parts, point));
        catch_unwind(AssertUnwindSafe(story)).map_err(panic_message)
    });
}

async fn killed_at(parts: Parts, point: &str) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let environment: Vec<(&str, &str)> =
        PATIENT.into_iter().chain([("FIAPX_KILL_AT", point)]).chain(variables).collect();
    let service = Process::start(directory.path(), &environment);
    let user = service.user().await;
    let mut sent = Vec::new();
    for (number, clip) in [TINY, WRONG, TINY, WRONG].into_iter().enumerate() {
        sent.push(send_video(&user, number, clip).await);
    }
    let account = user.account();
    let (status, _) = service.wait_for_exit();
    assert_eq!(
        status.signal(),
        Some(9),
        "it was not killed; fail points need the feature `failpoints` of `app`"
    );
    restart_and_audit(directory, namespaces, &account, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_lose_nothing() {
    const ROUNDS: u64 = 8;
    let mut random = StdRng::seed_from_u64(story_seed());
    let directory = scratch();
    let (mut account, mut sent) = (None, Vec::new());
    for round in 0..ROUNDS {
        let service = Process::start(directory.path(), &PATIENT);
        if account.is_none() {
            account = Some(service.user().await.account());
        }
        let user = account.as_ref().expect("a user").at(&service);
        let uploads = (0..3).map(|client| {
            let user = &user;
            async move {
                let mut sent = Vec::new();
                for (number, clip) in [SHORT, WRONG, TINY].into_iter().enumerate() {
                    sent.push(
                        send_video(user, format_args!("{round}-{client}-{number}"), clip).await,
                    );
                }
                sent
            }
        });
        // By turns during the uploads and during the jobs.
        let within = if round % 2 == 0 { 80 } else { 1500 };
        let moment = Duration::from_millis(random.random_range(0..within));
        let kill = async {
            // The kill happens at any moment; nothing depends on it.
            tokio::time::sleep(moment).await;
            service.signal("KILL");
        };
        let (uploaded, ()) = tokio::join!(join_all(uploads), kill);
        sent.extend(uploaded.into_iter().flatten());
    }
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    assert!(accepted > 0, "no upload was accepted before the kill");
    let audit = restart_and_audit(directory, None, &account.expect("a user"), &sent).await;
    println!("{} jobs of {accepted} accepted uploads, of {}: {audit:?}", audit.jobs, sent.len());
}
