//! The manual of keys: its commands work, and its example of the format is right.

use std::process::Command;

use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{root, run, tool};

/// Text of the manual.
fn manual() -> String {
    std::fs::read_to_string(root().join("docs/keys.md")).expect("the manual can be read")
}

#[test]
fn the_commands_of_the_manual_work_as_printed() {
    let (data, work) = (scratch(), scratch());
    let service = Process::start(data.path(), &[]);
    tool("curl");
    tool("python3");
    let manual = manual();
    let (_, commands) = manual.split_once("```sh\n").expect("it has shell commands");
    let (commands, _) = commands.split_once("```").expect("the block ends");
    let script = commands
        .replace("http://localhost:8000", service.base())
        .replace("fixtures/", &format!("{}/", root().join("fixtures").display()));
    let script = format!("set -euo pipefail\n{script}");
    let run = run(Command::new("bash").arg("-c").arg(&script).current_dir(work.path()));
    let output = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.code, Some(0), "{output}\n{}", run.stderr);
    for shown in [
        "\"status\":\"DONE\"",
        "manifest.json",
        "\"last_used_at\"",
        "KEY_NOT_ALLOWED",
        "KEY_INVALID",
    ] {
        assert!(output.contains(shown), "no {shown} in {output}");
    }
}

/// The crate `api` tests that this key is the one of these bytes.
#[test]
fn the_manual_and_the_policy_state_the_format() {
    let policy =
        std::fs::read_to_string(root().join("SECURITY.md")).expect("the policy can be read");
    for text in [manual(), policy] {
        assert!(text.contains(r"\bfx_[0-9A-Za-z]{49}\b"));
        assert!(text.contains("fx_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP"));
    }
}
