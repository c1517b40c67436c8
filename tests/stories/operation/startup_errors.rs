//! Settings and environments that the service cannot start with are reported in one line.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::client::fetch_json;
use crate::harness::clips::{file_names, scratch};
use crate::harness::process::Process;
use crate::harness::programs::{ProgramOutput, error_line, fiapx, run};

/// `fiapx ARGUMENTS` with these variables in its otherwise empty environment.
fn with(environment: &[(&str, &str)], arguments: &[&str]) -> ProgramOutput {
    let mut command = Command::new("env");
    command.arg("-i").args(environment.iter().map(|(name, value)| format!("{name}={value}")));
    run(command.arg(fiapx().get_program()).args(arguments))
}

/// Check that a command fails with one line; return it.
fn failure(run: &ProgramOutput) -> &str {
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    error_line(run).expect("one line")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_rejected() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    let process = Process::start(directory.path(), &[]);
    let rejected = with(&[], &["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    let line = failure(&rejected);
    assert!(line.contains("another fiapx process uses") && line.contains(path), "{line}");
    assert!(
        fetch_json(process.request(reqwest::Method::GET, "/ready")).await.0.is_success(),
        "the first process still works"
    );
    process.signal("TERM");
    assert!(process.wait_for_exit().0.success());
    // The data is free now.
    let process = Process::start(directory.path(), &[]);
    assert!(fetch_json(process.request(reqwest::Method::GET, "/ready")).await.0.is_success());
}

#[test]
fn an_address_in_use_is_reported() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let [free, address] = ["127.0.0.1:0", &address];
    for (listen, metrics) in [(address, ""), (free, address)] {
        let rejected = with(
            &[("METRICS_LISTEN", metrics)],
            &["serve", "--data-dir", path, "--listen", listen],
        );
        let line = failure(&rejected);
        assert!(line.contains(address) && line.contains("in use"), "{line}");
    }
}

#[test]
fn an_impossible_data_directory_is_reported() {
    let directory = scratch();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").expect("it can be written");
    let below = file.join("data");
    let path = below.to_str().expect("a plain path");
    for command in ["serve", "migrate", "check"] {
        let rejected = with(&[], &[command, "--data-dir", path]);
        let line = failure(&rejected);
        assert!(line.contains(path), "{command}: {line}");
    }
    assert_eq!(file_names(directory.path()), ["file"]);
}

/// Settings that only their part can check.
#[test]
fn invalid_secrets_and_senders_are_reported() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    for (name, value, reason) in [
        ("JWT_SECRET", "a-short-secret", "bytes"),
        ("EMAIL_FROM", "nobody", "is not a mail address"),
    ] {
        let rejected =
            with(&[(name, value)], &["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
        let line = failure(&rejected);
        assert!(line.contains(name) && line.contains(reason), "{name}: {line}");
        assert!(!line.contains("a-short-secret"), "{line}");
    }
}

/// Variables are checked before any file is created.
#[test]
fn invalid_variables_are_reported() {
    let directory = scratch();
    let in_environment = [
        ("WORKER_CONCURRENCY", "many", "`many` is not an integer"),
        ("WORKER_LEASE_SECONDS", "1", "1 is not from 5 to"),
        ("WORKER_RETRY_SECONDS", "30,-1", "-1 is not from 0 to"),
        ("MAX_VIDEO_SIZE_MB", "0", "0 is not from 1 to"),
        ("API_PORT", "80000", "is not a port"),
        ("API_HOST", "example", "is not an IP address"),
        ("LOG_LEVEL", "loud=?", "is not a log level"),
        ("PUBLIC_URL", "videos", "is not a URL"),
        ("DEBUG", "perhaps", "is not true or false"),
    ];
    for (name, value, reason) in in_environment {
        let data = directory.path().join("data");
        let rejected = with(
            &[(name, value)],
            &["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("plain")],
        );
        let line = failure(&rejected);
        assert!(line.contains(name) && line.contains(reason), "{name}: {line}");
        assert_eq!(file_names(directory.path()), [""; 0], "{name}");
    }
}

/// The configuration file is checked before any other file is created.
#[test]
fn invalid_configuration_files_are_reported() {
    let directory = scratch();
    let config = directory.path().join("fiapx.toml");
    let path = config.to_str().expect("a plain path");
    let in_file = [
        ("[worker]\nslots = 3", "worker.slots in", "is not a setting"),
        ("colour = 1", "colour in", "is not a setting"),
        ("[worker]\nconcurrency = \"two\"", "worker.concurrency in", "is invalid"),
        ("worker = 3", "worker in", "[worker]"),
        ("[worker]\nconcurrency = 2\nconcurrency = 3", "line 3", ""),
        ("[server]\nlisten = \"everywhere\"", "server.listen in", "is invalid"),
        ("[mail]\nuser = \"ana\"", "mail.password", "is missing"),
    ];
    for (text, name, reason) in in_file {
        std::fs::write(&config, text).expect("it can be written");
        for command in ["serve", "migrate", "check"] {
            // It sends no mails, so it does not read the password.
            if command == "migrate" && name == "mail.password" {
                continue;
            }
            let data = directory.path().join("data");
            let rejected = with(
                &[],
                &[command, "--config", path, "--data-dir", data.to_str().expect("plain")],
            );
            let line = failure(&rejected);
            assert!(line.contains(name) && line.contains(reason), "{command}, {text}: {line}");
            assert!(line.contains(path) || reason == "is missing", "{command}, {text}: {line}");
            assert_eq!(file_names(directory.path()), ["fiapx.toml"], "{command}, {text}");
        }
    }
    std::fs::remove_file(&config).expect("it exists");
    let rejected = with(&[], &["serve", "--config", path]);
    assert!(failure(&rejected).contains(path), "{}", rejected.stderr);
}
