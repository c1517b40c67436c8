//! What the README prints works as it stands.

use std::process::Command;

use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{root, run, tool};

/// The block of shell commands in the README.
fn walk() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("there is a README");
    let (_, rest) = readme.split_once("```sh\n").expect("it has shell commands");
    rest.split_once("```").expect("they end").0.to_owned()
}

#[test]
fn the_walk_with_curl_works_as_printed() {
    let (data, work) = (scratch(), scratch());
    let service = Process::start(data.path(), &[]);
    tool("curl");
    tool("python3");
    let script = walk()
        .replace("http://localhost:8000", service.base())
        .replace("data/mails", &data.path().join("mails").to_string_lossy())
        .replace("fixtures/", &format!("{}/", root().join("fixtures").display()));
    // The mail is written a moment after the job is done.
    let waiting = format!(
        "until ls {}/*.eml >&2; do sleep 0.1; done\ncat ",
        data.path().join("mails").display()
    );
    let script = format!("set -euo pipefail\n{}", script.replace("cat ", &waiting));
    let walked = run(Command::new("bash").arg("-c").arg(&script).current_dir(work.path()));
    let output = String::from_utf8_lossy(&walked.stdout);
    assert_eq!(walked.code, Some(0), "{output}\n{}", walked.stderr);
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

/// Whoever is woken by an alert is told what to do.
#[test]
fn each_alert_has_its_page() {
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
            "docs/operations.md does not tell what {alert} means"
        );
        let link = format!("runbook_url: docs/operations.md#{}\n", alert.to_lowercase());
        assert!(alerts.contains(&link), "{alert} has no {link}");
    }
}
