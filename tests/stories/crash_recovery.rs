//! Killed at any moment, nothing is lost, nothing is there twice, and nothing is left behind.

use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use jobs::Clock;
use rstest::rstest;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::audit::{Audit, LATER, SentVideo, audit, send_video};
use crate::harness::checks::{check_all, panic_message};
use crate::harness::client::Account;
use crate::harness::clips::{SHORT, TINY, WRONG, scratch};
use crate::harness::parts::{
    Namespaces,
    Parts::{self, Embedded, Servers},
};
use crate::harness::process::Process;
use crate::harness::programs::root;
use crate::harness::service::Service;

/// Attempts follow each other at once, and so many that no number of kills in a story uses them up.
const PATIENT: [(&str, &str); 2] = [
    ("WORKER_RETRY_SECONDS", "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"),
    ("LIMIT_DOWNLOADS_PER_MINUTE", "1000000"),
];

/// Start a service again where another was killed, and hold it against what its clients were told.
async fn account_again(
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

/// The namespaces at which the sources let tests kill the process.
fn fail_points() -> Vec<String> {
    let (mut points, mut left) = (Vec::new(), vec![root().join("crates")]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                path.read_dir()
                    .expect("it can be read")
                    .map(|entry| entry.expect("it can be read").path()),
            );
        } else if path.extension().is_some_and(|suffix| suffix == "rs") {
            let source = std::fs::read_to_string(&path).expect("sources are text");
            let named =
                source.split("fail_point!(\"").skip(1).filter_map(|rest| rest.split('"').next());
            points.extend(named.map(str::to_owned));
        }
    }
    points.sort();
    points.dedup();
    points
}

/// Before and after every commit, publication and completion, at the first time and, on embedded
/// parts, the second.
#[rstest]
fn killed_at_every_fail_point_nothing_is_lost(#[values(Embedded, Servers)] parts: Parts) {
    let points = fail_points();
    assert!(points.len() >= 10, "the sources name {points:?}");
    let times: &[u32] = if parts == Embedded { &[1, 2] } else { &[1] };
    let cases: Vec<String> = points
        .iter()
        .flat_map(|point| times.iter().map(move |time| format!("{point}:{time}")))
        .collect();
    check_all(&cases, |point| {
        let story = || Runtime::new().expect("threads").block_on(killed_at(parts, point));
        catch_unwind(AssertUnwindSafe(story)).map_err(panic_message)
    });
}

async fn killed_at(parts: Parts, point: &str) {
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let told = namespaces
        .iter()
        .flat_map(|namespaces| &namespaces.environment)
        .map(|(name, value)| (*name, value.as_str()));
    let environment: Vec<(&str, &str)> =
        PATIENT.into_iter().chain([("FIAPX_KILL_AT", point)]).chain(told).collect();
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
        "it ends otherwise; only with the feature `failpoints` of `app` are there fail points"
    );
    account_again(directory, namespaces, &account, &sent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_under_load_nothing_is_lost() {
    const ROUNDS: u64 = 8;
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    let seed = std::env::var("STORY_SEED")
        .map_or(now.as_nanos() as u64, |seed| seed.parse().expect("STORY_SEED is a number"));
    println!("STORY_SEED={seed}");
    let directory = scratch();
    let (mut account, mut sent) = (None, Vec::new());
    for round in 0..ROUNDS {
        let service = Process::start(directory.path(), &PATIENT);
        if account.is_none() {
            account = Some(service.user().await.account());
        }
        let user = account.as_ref().expect("it is there").at(&service);
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
        // By turns among the uploads and among the jobs.
        let within = if round % 2 == 0 { 80 } else { 1500 };
        let moment = Duration::from_millis(scrambled(seed.wrapping_add(round)) % within);
        let kill = async {
            // Not to wait for something, but to come at any moment.
            tokio::time::sleep(moment).await;
            service.signal("KILL");
        };
        let (uploaded, ()) = tokio::join!(join_all(uploads), kill);
        sent.extend(uploaded.into_iter().flatten());
    }
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    assert!(accepted > 0, "no upload was accepted before the kill");
    let balance = account_again(directory, None, &account.expect("it is there"), &sent).await;
    println!(
        "{} jobs of {accepted} accepted uploads, of {}: {balance:?}",
        balance.jobs,
        sent.len()
    );
}

/// A number that looks random (SplitMix64).
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
