//! The manual of direct uploads: its commands work with curl.

use std::process::Command;

use super::super::{expect_only, video};
use super::PART;
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::Servers;
use crate::harness::programs::{root, run, tool};

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_manual_work_as_printed() {
    let service = Servers.start().await;
    let user = service.user().await;
    let key = user.create_key(&["videos:write"]).await.key;
    tool("curl");
    tool("python3");
    let (work, video) = (scratch(), video(2 * PART + 5, 4));
    std::fs::write(work.path().join("beach.mp4"), &video).expect("the directory is writable");
    let manual = root().join("docs/uploads.md");
    let manual = std::fs::read_to_string(manual).expect("the manual can be read");
    let (_, commands) = manual.split_once("```sh\n").expect("it has shell commands");
    let (commands, _) = commands.split_once("```").expect("the block ends");
    let script = commands.replace("http://localhost:8000", service.base()).replace("fx_...", &key);
    let script = format!("set -euo pipefail\n{script}");
    let directory = work.path().to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        run(Command::new("bash").arg("-c").arg(&script).current_dir(directory))
    });
    let ran = ran.await.expect("the task does not panic");
    let output = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.code, Some(0), "{output}\n{}", ran.stderr);
    let accepted: serde_json::Value = serde_json::from_str(&output).expect("the job as JSON");
    let job = accepted["job_id"].as_str().expect("an id");
    expect_only(&service, &user, job, &video).await;
}
