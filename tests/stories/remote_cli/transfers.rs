//! Transfers that are interrupted.

use std::path::PathBuf;

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::clip;
use super::command::{Terminal, interrupt};
use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::{LONG, SHORT, TINY};
use crate::harness::line::{Direction, Fault, Line};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// A clip whose archive is much larger than a piece of it.
const ARCHIVED: &str = "good/seventy_seconds.mp4";

/// Files in which an interrupted download keeps its bytes, and their version.
fn partial(terminal: &Terminal, job: &str) -> [PathBuf; 2] {
    ["partial", "etag"].map(|suffix| terminal.directory().join(format!(".fiapx-{job}.{suffix}")))
}

/// A finished job, and its archive.
async fn archived(user: &User<'_>) -> (String, Vec<u8>) {
    let job = user.upload_clip(ARCHIVED).await;
    user.wait_until_done(&job).await;
    let archive = user.archive(&job).await;
    (job, archive)
}

/// Content of a file in the working directory.
fn content(terminal: &Terminal, name: &str) -> Vec<u8> {
    std::fs::read(terminal.directory().join(name)).expect("the file exists")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_download_continues() {
    let service = Service::start().await;
    let user = service.user().await;
    let (job, archive) = archived(&user).await;
    let line = Line::to(service.base()).await;
    let terminal = Terminal::of(&user).await.via(line.url());
    line.fail(Direction::Down, archive.len() / 2, Fault::Stall);
    let download = terminal.start(&["download", &job]);
    let [part, _] = partial(&terminal, &job);
    eventually("some bytes are written", async || {
        let is_written = part.metadata().is_ok_and(|part| part.len() > archive.len() as u64 / 4);
        (line.has_failed() && is_written).then_some(())
    })
    .await;
    let (code, errors) = interrupt(download, "INT");
    assert_eq!((code, errors.as_str()), (Some(130), "fiapx: interrupted\n"));
    assert!(terminal.files().iter().all(|name| name.starts_with(".fiapx-")), "no archive");

    let [resumed] = &terminal.json(&["download", &job])[..] else { panic!("one archive") };
    let bytes = resumed["resumed_bytes"].as_u64().expect("a number");
    assert!(bytes > archive.len() as u64 / 4 && bytes < archive.len() as u64, "{resumed}");
    assert!(content(&terminal, "seventy_seconds.zip") == archive, "another archive");
    assert_eq!(terminal.files(), ["seventy_seconds.zip"]);
}

/// Within one command, nobody notices more than a delay.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_replaced() {
    let service = Service::start().await;
    let user = service.user().await;
    let (job, archive) = archived(&user).await;
    let line = Line::to(service.base()).await;
    let terminal = Terminal::of(&user).await.via(line.url());
    line.fail(Direction::Down, archive.len() / 2, Fault::Cut);
    let [downloaded] = &terminal.json(&["download", &job])[..] else { panic!("one archive") };
    assert!(line.has_failed());
    assert_eq!(downloaded["size_bytes"], json!(archive.len()));
    assert!(content(&terminal, "seventy_seconds.zip") == archive, "another archive");

    // An upload is repeated with the same key, so it creates one job.
    line.fail(Direction::Up, 100 << 10, Fault::Cut);
    let [accepted] = &terminal.json(&["upload", &clip(LONG)])[..] else { panic!("one job") };
    assert!(line.has_failed());
    let (_, jobs) = user.get("/videos").await;
    assert_eq!(jobs.as_array().map(Vec::len), Some(2), "{jobs}");
    assert_eq!(jobs[0]["id"], accepted["job_id"]);

    // A stream of events breaks, and another one follows.
    let id = accepted["job_id"].as_str().expect("an id");
    line.fail(Direction::Down, 1500, Fault::Cut);
    let events = terminal.json(&["watch", id]);
    assert!(line.has_failed());
    assert_eq!(events.last().expect("there are events")["status"], "DONE");
}

/// The bytes of another version are not continued.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn only_bytes_of_the_same_archive_are_continued(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (job, archive) = archived(&user).await;
    let (_, link) = user.get(&format!("/jobs/{job}/download")).await;
    let url = link["download_url"].as_str().expect("a link");
    let response = user.client.request(Method::GET, url).send().await.expect("it responds");
    let tag = response.headers()["etag"].to_str().expect("a text").to_owned();
    let half = archive.len() / 2;
    let (zeros, longer) = (vec![0; half], [archive.clone(), vec![0; 9]].concat());
    let cases: [(&str, &[u8], usize); 6] = [
        (&tag, &archive[..half], half),
        (&tag, &archive, archive.len() - 1),
        ("\"other\"", &zeros, 0),
        ("", &archive[..half], 0),
        ("no tag", &archive[..half], 0),
        (&tag, &longer, archive.len() - 1),
    ];
    for (tag, bytes, resumed) in cases {
        let terminal = Terminal::of(&user).await;
        let [part, tag_file] = partial(&terminal, &job);
        std::fs::write(part, bytes).expect("it can be written");
        std::fs::write(tag_file, tag).expect("it can be written");
        let [downloaded] = &terminal.json(&["download", &job])[..] else { panic!("one archive") };
        assert_eq!(downloaded["resumed_bytes"], json!(resumed), "{tag}");
        assert!(content(&terminal, "seventy_seconds.zip") == archive, "{tag}");
        assert_eq!(terminal.files(), ["seventy_seconds.zip"], "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_files_are_replaced_only_by_force() {
    let service = Service::start().await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let file = terminal.directory().join("mine.zip");
    std::fs::write(&file, "mine").expect("it can be written");
    let run = terminal.run(&["download", &job, "-o", "mine.zip"]);
    assert_eq!(run.code, Some(1));
    let expected =
        "fiapx: mine.zip: it exists: name another file with -o, or replace it with --force\n";
    assert_eq!(run.stderr, expected);
    assert_eq!(content(&terminal, "mine.zip"), b"mine");
    terminal.lines(&["download", &job, "-o", "mine.zip", "--force"]);
    assert!(content(&terminal, "mine.zip").starts_with(b"PK"));
    assert_eq!(terminal.files(), ["mine.zip"]);

    let run = terminal.run(&["download", &job, &job, "-o", "mine.zip"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("mine.zip is not a directory"), "{run:?}");
    let run = terminal.run(&["download", &job, "-o", "missing/mine.zip"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.starts_with("fiapx: missing: cannot write: "), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upload_is_no_job_and_can_be_continued() {
    let service = Service::start().await;
    let user = service.user().await;
    let line = Line::to(service.base()).await;
    let terminal = Terminal::of(&user).await.via(line.url());
    line.fail(Direction::Up, 100 << 10, Fault::Stall);
    let upload = terminal.start(&["upload", &clip(LONG)]);
    eventually("the upload stalls", async || line.has_failed().then_some(())).await;
    let (code, errors) = interrupt(upload, "TERM");
    assert_eq!((code, errors.as_str()), (Some(143), "fiapx: interrupted\n"));
    assert_eq!(user.get("/videos").await.1, json!([]));

    // A command that waits is interrupted, and its job goes on.
    let waiting = terminal.start(&["upload", "--wait", &clip(LONG)]);
    let job = eventually("the video is accepted", async || {
        let (_, jobs) = user.get("/videos").await;
        jobs[0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let (code, _) = interrupt(waiting, "INT");
    assert_eq!(code, Some(130));
    user.wait_until_done(&job).await;
    let files = service.files().await;
    assert_eq!(files.len(), 2, "a video and its archive, and no other upload: {files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_uploaded_are_named() {
    let service = Service::with(|settings| settings.upload.max_video_mb = 1).await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let write = |name: &str, bytes: usize| {
        std::fs::write(terminal.directory().join(name), vec![0; bytes]).expect("it is written");
    };
    write("notes.txt", 10);
    write("empty.mp4", 0);
    write("large.mp4", 1_000_001);
    write("false.mp4", 1000);
    for (file, message) in [
        ("missing.mp4", "fiapx: missing.mp4: No such file or directory"),
        (".", "fiapx: .: it is not a regular file"),
        ("notes.txt", "fiapx: notes.txt: the format is not supported. Supported: .mp4 "),
        ("empty.mp4", "fiapx: empty.mp4: it is empty"),
        ("large.mp4", "fiapx: large.mp4: it is larger than 1 MB, the limit of the service"),
        ("false.mp4", "fiapx: false.mp4: `false.mp4` is not a valid .mp4 file."),
    ] {
        let run = terminal.run(&["upload", file]);
        assert_eq!(run.code, Some(1), "{file}: {run:?}");
        assert!(run.stderr.starts_with(message), "{file}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{file}: {run:?}");
    }
    let run = terminal.run(&["upload", &clip(SHORT), "--every", "1", "--count", "2"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let run = terminal.run(&["upload", &clip(SHORT), "--download", "missing"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert_eq!(user.get("/videos").await.1, Value::Array(Vec::new()));
}
