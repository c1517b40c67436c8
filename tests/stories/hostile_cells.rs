//! Cells that their video has taken over, and that speak the protocol of the worker maliciously:
//! what they send costs attempts of their own job only, and reaches rows, logs and memory within
//! bounds. `crates/worker/src/cell/hostile.rs` is the behavior.

use reqwest::StatusCode;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::harness::client::{User, job_id};
use crate::harness::clips::{MJPEG, scratch, with_decoder_command};
use crate::harness::metrics::metrics;
use crate::harness::process::Process;

/// Maximum number of characters of a text that a cell supplied, with a mark of what is left out.
const MAX_CHARACTERS: usize = 301;

/// Behaviors that violate the protocol: three attempts, with a code of the worker's own.
const VIOLATIONS: [(&str, &str); 19] = [
    ("@msgs", "the cell sent more than 60 messages"),
    ("@zero", "the cell sent too many short pieces of its archive"),
    ("@byte", "the cell sent too many short pieces of its archive"),
    ("@huge", "the cell sent invalid data: a length of 4294967295 bytes exceeds"),
    ("@kind", "the cell sent invalid data: unexpected record of kind 9"),
    ("@far ", "the cell requested 1048576 bytes at 18446744073709551610 of a video of"),
    ("@long", "the cell requested an invalid range: a length of 4294967295 bytes exceeds"),
    ("@many", "bytes and requests more"),
    ("@twic", "the cell sent its messages in a wrong order"),
    ("@code", "the cell reported STORAGE_ERROR, which it cannot know: the store is broken"),
    ("@self", "the cell reported INTERNAL_ERROR, which it cannot know: the service is broken"),
    ("@miss", "the cell reported VIDEO_MISSING, which it cannot know: upload it again"),
    ("@prog", "the cell reported 9223372036854775808 frames"),
    ("@view", "the cell sent an invalid preview, or too many"),
    ("@html", "the cell sent an invalid preview, or too many"),
    ("@page", "the cell sent an invalid preview, or too many"),
    ("@exit", "the cell ended with exit status: 3"),
    ("@thrd", "threads, and at most"),
    ("@numb", "the cell reported 9223372036854775808 frames"),
];

/// Settings under which a hostile cell is stopped soon, with as many slots as processors allow.
const SETTINGS: [(&str, &str); 5] = [
    ("WORKER_RETRY_SECONDS", "0,0,0"),
    ("WORKER_CONCURRENCY", "3"),
    ("WORKER_TIMEOUT_SECONDS", "60"),
    ("WORKER_REQUIRE_SANDBOX", "true"),
    ("LIMIT_FRAMES_PER_JOB", "44"),
];

async fn upload_hostile(user: &User<'_>, behavior: &str) -> String {
    let name = format!("{}.avi", behavior.trim().trim_start_matches('@'));
    let (_, accepted) = user.upload(&[(&name, with_decoder_command(behavior))]).await;
    job_id(&accepted)
}

/// Lines of a log about attempts of a job.
fn lines_of<'a>(log: &'a [Value], job: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line.to_string().contains(job)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_of_the_protocol_cost_three_attempts_of_their_own_job() {
    let data = scratch();
    let service = Process::start(data.path(), &SETTINGS);
    let (user, honest) = (service.user().await, service.user().await);
    let memory = service.peak_memory();
    let mut hostile = Vec::new();
    for (behavior, _) in VIOLATIONS {
        hostile.push(upload_hostile(&user, behavior).await);
    }
    let neighbor = honest.upload_clip(MJPEG).await;
    for (job, (behavior, _)) in hostile.iter().zip(VIOLATIONS) {
        let view = user.wait_for(job, &["FAILED"]).await;
        assert_eq!(
            (&view["error_code"], &view["retry_count"]),
            (&"DECODER_CRASHED".into(), &2.into()),
            "{behavior}: {view}"
        );
    }
    let view = honest.wait_until_done(&neighbor).await;
    assert_eq!((&view["retry_count"], &view["complete"]), (&0.into(), &true.into()), "{view}");
    // None of them made the worker suspect its store or its cells.
    let metrics = metrics(&service).await;
    for part in ["storage", "cells"] {
        let open = metrics.get(&format!("fiapx_circuit_open{{part=\"{part}\"}}"));
        assert!(open.is_none_or(|open| *open < 0.5), "{part}");
    }
    let grown = service.peak_memory().saturating_sub(memory);
    assert!(grown < 300 << 20, "the service grew by {grown} bytes");
    let log = block_in_place(|| service.terminate());
    for (job, (behavior, expected)) in hostile.iter().zip(VIOLATIONS) {
        let lines = lines_of(&log, job);
        assert!(lines.len() < 40, "{behavior}: {} lines", lines.len());
        let failed = lines.iter().find(|line| line["event"] == "job failed");
        let error = failed.and_then(|line| line["error"].as_str()).unwrap_or_default();
        assert!(error.contains(expected), "{behavior}: {error}");
        assert!(error.chars().count() <= MAX_CHARACTERS, "{behavior}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_cell_are_short_and_on_one_line() {
    let data = scratch();
    let service = Process::start(data.path(), &SETTINGS);
    let user = service.user().await;
    let failed = upload_hostile(&user, "@text").await;
    let done = upload_hostile(&user, "@warn").await;
    let view = user.wait_for(&failed, &["FAILED"]).await;
    assert_eq!(
        (&view["error_code"], &view["retry_count"]),
        (&"VIDEO_DAMAGED".into(), &0.into()),
        "{view}"
    );
    let view = user.wait_until_done(&done).await;
    let warnings = view["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 4, "{view}");
    let log = block_in_place(|| service.terminate());
    let lines = lines_of(&log, &failed);
    let line = lines.iter().find(|line| line["event"] == "job failed").expect("it is logged");
    for text in warnings.iter().chain([&line["error"]]) {
        let text = text.as_str().expect("a text");
        assert!(text.contains("job failed"), "{text}");
        assert!(text.chars().count() <= MAX_CHARACTERS, "{} characters", text.chars().count());
        let hidden = |character: char| character.is_control() || character == '\u{202e}';
        assert!(!text.contains(hidden), "{text:?}");
    }
}

/// What the interface makes of an archive of a hostile cell: an error, or nothing wrong.
#[tokio::test(flavor = "multi_thread")]
async fn archives_of_a_hostile_cell_cost_the_interface_little() {
    let data = scratch();
    let service = Process::start(data.path(), &SETTINGS);
    let user = service.user().await;
    let mut jobs = Vec::new();
    for behavior in ["@wide", "@tall", "@lies", "@none"] {
        let job = upload_hostile(&user, behavior).await;
        user.wait_until_done(&job).await;
        jobs.push((behavior, job));
    }
    let memory = service.peak_memory();
    for (behavior, job) in &jobs {
        let frames = format!("/jobs/{job}/frames");
        let (status, _) = user.get(&frames).await;
        let expected =
            if *behavior == "@none" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        assert_eq!(status, expected, "{behavior}");
        let thumbnail = user
            .request(reqwest::Method::GET, &format!("{frames}/1?width=320"))
            .send()
            .await
            .expect("an answer");
        assert!(!thumbnail.status().is_success(), "{behavior}: {}", thumbnail.status());
    }
    let grown = service.peak_memory().saturating_sub(memory);
    assert!(grown < 100 << 20, "the service grew by {grown} bytes");
    let view = user.upload_clip(MJPEG).await;
    user.wait_until_done(&view).await;
    block_in_place(|| service.terminate());
}
