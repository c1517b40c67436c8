//! The commands of the README work, and the manual covers every alert.

use std::process::Command;

use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{root, run, tool};

/// First block of shell commands in the README.
fn commands() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README can be read");
    let (_, rest) = readme.split_once("```sh\n").expect("it has shell commands");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

#[test]
fn the_curl_commands_work_as_printed() {
    let (data, work) = (scratch(), scratch());
    let service = Process::start(data.path(), &[]);
    tool("curl");
    tool("python3");
    let script = commands()
        .replace("http://localhost:8000", service.base())
        .replace("data/mails", &data.path().join("mails").to_string_lossy())
        .replace("fixtures/", &format!("{}/", root().join("fixtures").display()));
    // The mail is written a moment after the job is done, so wait for it.
    let waiting = format!(
        "until ls {}/*.eml >&2; do sleep 0.1; done\ncat ",
        data.path().join("mails").display()
    );
    let script = format!("set -euo pipefail\n{}", script.replace("cat ", &waiting));
    let run = run(Command::new("bash").arg("-c").arg(&script).current_dir(work.path()));
    let output = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.code, Some(0), "{output}\n{}", run.stderr);
    for shown in [
        "\"email\":\"ana@example.com\"",
        "\"status\":\"DONE\"",
        "frame_00010_",
        "manifest.json",
        "Subject:",
    ] {
        assert!(output.contains(shown), "no {shown} in {output}");
    }
}

/// Each alert has a section in the operator's manual, and links to it.
#[test]
fn every_alert_has_a_section_in_the_manual() {
    let text = |path: &str| {
        std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let (alerts, manual) = (text("docker/prometheus/alerts.yml"), text("docs/operations.md"));
    let named: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(named.len() >= 10, "{named:?}");
    for alert in named {
        assert!(
            manual.contains(&format!("\n### {alert}\n")),
            "docs/operations.md has no section {alert}"
        );
        let link = format!("runbook_url: docs/operations.md#{}\n", alert.to_lowercase());
        assert!(alerts.contains(&link), "{alert} has no {link}");
    }
}
