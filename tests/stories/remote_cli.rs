//! `fiapx remote`: the service from a terminal.

mod command;
mod login;
mod manual;
mod refusals;
mod resumable_uploads;
mod shells;
mod transfers;

use command::Terminal;
use reqwest::StatusCode;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::clips::{SHORT, TINY, WRONG, fixture};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Path of a clip as an argument.
fn clip(path: &str) -> String {
    fixture(path).display().to_string()
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_video_goes_from_upload_to_deletion(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let [accepted] = &terminal.json(&["upload", &clip(SHORT)])[..] else { panic!("one job") };
    assert_eq!([&accepted["filename"], &accepted["status"]], ["h264_aac.mp4", "QUEUED"]);
    let id = accepted["job_id"].as_str().expect("an id");

    let events = terminal.json(&["watch", id]);
    let last = events.last().expect("there are events");
    assert_eq!([&last["job_id"], &last["status"]], [id, "DONE"]);
    let watched = terminal.lines(&["watch", id]);
    assert!(watched.concat().starts_with(&format!("{id} h264_aac.mp4: ")), "{watched:?}");
    assert_eq!(terminal.lines(&["watch"]), [""; 0], "nothing is unfinished");

    let (_, job) = user.get(&format!("/videos/{id}")).await;
    assert_eq!(terminal.json(&["show", id]), std::slice::from_ref(&job));
    assert_eq!(terminal.json(&["list"]), std::slice::from_ref(&job));
    assert_eq!(terminal.json(&["list", "--status", "failed"]), [Value::Null; 0]);
    let [heading, row] = &terminal.lines(&["list"])[..] else { panic!("one job") };
    assert!(heading.starts_with("JOB") && heading.ends_with("VIDEO"), "{heading}");
    let columns = ["DONE", &job["frame_count"].to_string(), "h264_aac.mp4"];
    assert!(columns.iter().all(|column| row.contains(column)), "{row}");

    let [archive] = &terminal.json(&["download", id])[..] else { panic!("one archive") };
    let size = job["zip_size_bytes"].clone();
    let expected =
        json!({ "job_id": id, "file": "h264_aac.zip", "size_bytes": size, "resumed_bytes": 0 });
    assert_eq!(archive, &expected);
    let bytes = std::fs::read(terminal.directory().join("h264_aac.zip")).expect("it exists");
    assert!(bytes == user.archive(id).await, "another archive");
    assert_eq!(terminal.files(), ["h264_aac.zip"]);

    assert_eq!(terminal.json(&["delete", id]), [json!({ "job_id": id, "deleted": true })]);
    assert_eq!(user.get(&format!("/videos/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(terminal.lines(&["list"]).len(), 1, "only the heading");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn archives_arrive_by_one_command(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let recipe = ["--count", "2", "--format", "jpeg", "--max-width", "64"];
    let clips = [clip(SHORT), clip("good/hevc_pyramid.mkv")];
    let mut arguments = vec!["upload", &clips[0], &clips[1], "--download", "."];
    arguments.extend(recipe);
    let mut jobs = terminal.json(&arguments);
    jobs.sort_by_key(|job| job["file"].to_string());
    let files = jobs.iter().map(|job| job["file"].as_str().expect("a file"));
    assert_eq!(files.collect::<Vec<_>>(), ["./h264_aac.zip", "./hevc_pyramid.zip"]);
    for job in &jobs {
        assert_eq!((&job["status"], &job["frame_count"]), (&json!("DONE"), &json!(2)));
        let file = terminal.directory().join(job["file"].as_str().expect("a file"));
        let archive = Archive::read(std::fs::read(file).expect("it exists")).expect("an archive");
        assert!(archive.frames.iter().all(|(name, _)| name.contains(".jpg")));
    }

    let id = jobs[0]["id"].as_str().expect("an id");
    let again = terminal.json(&["again", id]);
    let same = user.wait_until_done(again[0]["job_id"].as_str().expect("an id")).await;
    assert_eq!((&same["recipe"], &same["frame_count"]), (&jobs[0]["recipe"], &json!(2)));
    let again = terminal.json(&["again", id, "--every", "1"]);
    let other = user.wait_until_done(again[0]["job_id"].as_str().expect("an id")).await;
    assert_ne!(other["recipe"], jobs[0]["recipe"], "an explicit default is another recipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_listed_over_pages_and_cancelled() {
    let service = Service::start().await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let names = (0..130).map(|number| format!("clip \u{1b}[31m{number}.mp4")).collect();
    let ids = service.insert_jobs(&user.id, names).await;
    for (limit, expected) in [("7", 7), ("100", 100), ("115", 115), ("1000", 130)] {
        let listed = terminal.json(&["list", "--limit", limit]);
        let listed: Vec<&str> = listed.iter().filter_map(|job| job["id"].as_str()).collect();
        let newest: Vec<&str> = ids.iter().rev().take(expected).map(String::as_str).collect();
        assert_eq!(listed, newest, "{limit}");
    }
    let table = terminal.lines(&["list"]).concat();
    assert!(!table.contains('\u{1b}') && table.contains("\u{fffd}[31m129.mp4"), "{table}");

    let cancelled = terminal.json(&["cancel", &ids[0], &ids[1]]);
    assert!(cancelled.iter().all(|job| job["status"] == "CANCELLED"), "{cancelled:?}");
    let run = terminal.run(&["cancel", &ids[0], &ids[2]]);
    assert_eq!(run.code, Some(1));
    assert!(run.lines().concat().contains("cancelled"), "{run:?}");
    let [refused, summary] = &run.stderr.lines().collect::<Vec<_>>()[..] else {
        panic!("two lines: {}", run.stderr)
    };
    assert!(refused.contains(&ids[0]) && refused.ends_with("(JOB_FINISHED)"), "{refused}");
    assert_eq!(*summary, "fiapx: 1 of 2 failed");
    let run = terminal.run(&["delete", &ids[3]]);
    assert!(run.code == Some(1) && run.stderr.contains("(JOB_NOT_FINISHED)"), "{run:?}");
    let run = terminal.run(&["watch", &ids[0]]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("it is CANCELLED"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_cannot_be_processed_fails_the_command() {
    let service = Service::start().await;
    let user = service.user().await;
    let terminal = Terminal::of(&user).await;
    let run = terminal.run(&["upload", "--wait", &clip(WRONG)]);
    assert_eq!((run.code, run.stdout.len()), (Some(1), 0), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(run.stderr.contains("processing failed: "), "{run:?}");
    assert!(run.stderr.ends_with("(NO_VIDEO_STREAM)\n"), "{run:?}");

    let run = terminal.run(&["upload", "--download", ".", "--json", &clip(WRONG), &clip(TINY)]);
    assert_eq!(run.code, Some(1));
    let lines = run.lines().into_iter();
    let jobs: Vec<Value> =
        lines.map(|line| serde_json::from_str(&line).expect("each line is JSON")).collect();
    let mut states: Vec<_> = jobs.iter().map(|job| job["status"].to_string()).collect();
    states.sort();
    assert_eq!(states, ["\"DONE\"", "\"FAILED\""]);
    assert!(run.stderr.ends_with("\nfiapx: 1 of 2 failed\n"), "{run:?}");
    assert_eq!(terminal.files(), ["short_all_intra.zip"]);
}
