//! The load generator counts results correctly: done, failed, rejected, and lost jobs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::harness::checks::eventually;
use crate::harness::clips::{SHORT, TINY, WRONG, fixture, scratch};
use crate::harness::parts::Parts;
use crate::harness::process::Process;
use crate::harness::programs::{ProgramOutput, fiapx_path, run};
use crate::harness::service::stored;

/// Command of the load generator, for three seconds at eight uploads a second.
fn generator(url: &str, clips: &[&str], more: &[&str]) -> Command {
    let path = fiapx_path().with_file_name("load");
    assert!(
        path.is_file(),
        "{} is missing: build it with `cargo build --workspace --bins --tests`",
        path.display()
    );
    let clips = clips.iter().map(|clip| fixture(clip));
    let mut command = Command::new(path);
    command
        .args(["--url", url, "--rate", "8", "--seconds", "3", "--users", "2", "--json", "--clips"])
        .args(clips)
        .args(more);
    command
}

fn wrong_clip() -> String {
    fixture(WRONG).display().to_string()
}

fn result(run: &ProgramOutput) -> Value {
    serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("no result, {error}: {run:?}"))
}

fn number(result: &Value, name: &str) -> u64 {
    result[name].as_u64().unwrap_or_else(|| panic!("no {name} in {result}"))
}

/// Job ids in a list of the result.
fn ids(result: &Value, name: &str) -> Vec<String> {
    let jobs = result[name].as_array().expect("a list").iter();
    jobs.map(|job| {
        job.as_str().and_then(|job| job.split(' ').next()).expect("a job's id").to_owned()
    })
    .collect()
}

#[test]
fn every_video_is_counted() {
    let data = scratch();
    let service = Process::start(data.path(), &[("LIMIT_DOWNLOADS_PER_MINUTE", "1000")]);
    let run = run(&mut generator(service.base(), &[SHORT, TINY], &["--failing", &wrong_clip()]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let result = result(&run);
    let [planned, accepted, done, failed] =
        ["planned", "accepted", "done", "failed_as_expected"].map(|name| number(&result, name));
    assert!(planned > 10 && failed > 3, "{result}");
    assert_eq!((accepted, done + failed), (planned, planned), "{result}");
    assert_eq!(number(&result, "done_not_fetched"), 0, "{result}");
    let times = &result["times"];
    for (what, count) in
        [("upload", accepted), ("waiting", done), ("download", done), ("GET /videos", planned)]
    {
        assert_eq!(times[what]["count"], count, "{what}: {result}");
        let [p50, max] =
            ["p50_ms", "max_ms"].map(|name| times[what][name].as_f64().expect("a time"));
        assert!(p50 > 0.0 && p50 <= max, "{what}: {result}");
    }
    assert!(result["rates"]["MB/s out"].as_f64().is_some_and(|rate| rate > 0.0), "{result}");
}

#[test]
fn without_a_url_it_starts_its_own_service() {
    let mut command = Command::new(fiapx_path().with_file_name("load"));
    let arguments = ["--rate", "4", "--seconds", "1", "--arrivals", "fixed", "--clips"];
    let run = run(command.arg("--program").arg(fiapx_path()).args(arguments).arg(fixture(TINY)));
    let table = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        table.contains("4 accepted = 4 done + 0 failed as expected + 0 lost + 0 wrong"),
        "{table}"
    );
    assert!(run.stderr.contains("LIMIT_DOWNLOADS_PER_MINUTE"), "{run:?}");
}

/// Rejected uploads count as neither lost nor done.
#[test]
fn rejected_uploads_are_counted_separately() {
    let data = scratch();
    let service = Process::start(
        data.path(),
        &[("LIMIT_UNFINISHED_JOBS", "1"), ("LIMIT_DOWNLOADS_PER_MINUTE", "1")],
    );
    let run =
        run(&mut generator(service.base(), &["good/h264_endless_gop.mp4"], &["--drain", "20"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let result = result(&run);
    let rejected = result["refused"]["uploads"]["429"].as_u64().unwrap_or_default();
    assert!(rejected > 0, "{result}");
    assert_eq!(number(&result, "planned"), number(&result, "accepted") + rejected, "{result}");
}

/// With an API and no worker, accepted jobs do not finish.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_jobs_are_reported_as_lost() {
    let namespaces = Parts::Servers.namespaces().await.expect("they are on servers");
    let data = scratch();
    let environment = namespaces.variables();
    let directory = |name: &str| data.path().join(name);
    let migrated = run(Command::new(fiapx_path())
        .args(["migrate", "--data-dir"])
        .arg(directory("migrate"))
        .envs(environment.clone()));
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let api = Process::role(&["api", "--listen", "127.0.0.1:0"], &directory("api"), &environment);
    let base = api.base().to_owned();
    let run = spawn_blocking(move || run(&mut generator(&base, &[TINY], &["--drain", "2"])))
        .await
        .expect("the generator runs");
    assert_eq!(run.code, Some(1), "{run:?}");
    let result = result(&run);
    let lost = ids(&result, "lost");
    assert!(!lost.is_empty() && lost.len() as u64 == number(&result, "accepted"), "{result}");
    assert!(
        lost.iter().take(5).all(|job| run.stderr.contains(job)) && run.stderr.contains("QUEUED"),
        "{run:?}"
    );
}

/// Jobs of a service that is killed are lost.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_killed_service_are_reported_as_lost() {
    let data = scratch();
    let service = Process::start(data.path(), &[]);
    let base = service.base().to_owned();
    let run = spawn_blocking(move || {
        run(&mut generator(&base, &["good/h264_endless_gop.mp4"], &["--drain", "2"]))
    });
    wait_for_uploads(data.path()).await;
    service.kill();
    let run = run.await.expect("the generator runs");
    assert_eq!(run.code, Some(1), "{run:?}");
    let result = result(&run);
    assert!(!ids(&result, "lost").is_empty() && number(&result, "unanswered") > 0, "{result}");
}

/// Wait until a service has stored three videos.
async fn wait_for_uploads(data: &Path) {
    let videos = || stored(data).into_keys().filter(|path| path.contains("/input.")).count();
    eventually("three videos", || async { (videos() >= 3).then_some(()) }).await;
}

/// A job that should fail and is done is wrong, and so is the opposite.
#[test]
fn unexpected_outcomes_are_reported_as_wrong() {
    let data = scratch();
    let service = Process::start(data.path(), &[]);
    let good = fixture(TINY).display().to_string();
    let run = run(&mut generator(service.base(), &[WRONG], &["--failing", &good]));
    assert_eq!(run.code, Some(1), "{run:?}");
    let result = result(&run);
    assert_eq!(
        (number(&result, "done"), number(&result, "failed_as_expected")),
        (0, 0),
        "{result}"
    );
    assert_eq!(ids(&result, "wrong").len() as u64, number(&result, "accepted"), "{result}");
    assert!(run.stderr.contains("is DONE") && run.stderr.contains("is FAILED"), "{run:?}");
}
