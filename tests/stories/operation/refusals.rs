//! What the service cannot start with, it says in one line.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::{Run, fiapx, listing, run, scratch, single_line};
use crate::process::Process;
use crate::service::answer;

/// `fiapx ARGUMENTS` with these variables in its otherwise empty environment.
fn with(environment: &[(&str, &str)], arguments: &[&str]) -> Run {
    let mut command = Command::new("env");
    command.arg("-i").args(environment.iter().map(|(name, value)| format!("{name}={value}")));
    run(command.arg(fiapx().get_program()).args(arguments))
}

/// The command has to fail in one line; gives it.
fn failure(run: &Run) -> &str {
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    single_line(run).expect("one line says what is wrong")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_data_is_refused() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    let process = Process::start(directory.path(), &[]);
    let refused = with(&[], &["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    let line = failure(&refused);
    assert!(line.contains("another fiapx process uses") && line.contains(path), "{line}");
    assert!(
        answer(process.request(reqwest::Method::GET, "/ready")).await.0.is_success(),
        "the first one works on"
    );
    process.signal("TERM");
    assert!(process.ended().0.success());
    // Its place is free now.
    let process = Process::start(directory.path(), &[]);
    assert!(answer(process.request(reqwest::Method::GET, "/ready")).await.0.is_success());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    let taken = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    let address = taken.local_addr().expect("it has one").to_string();
    let [free, address] = ["127.0.0.1:0", &address];
    for (listen, metrics) in [(address, ""), (free, address)] {
        let refused = with(
            &[("METRICS_LISTEN", metrics)],
            &["serve", "--data-dir", path, "--listen", listen],
        );
        let line = failure(&refused);
        assert!(line.contains(address) && line.contains("in use"), "{line}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let directory = scratch();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").expect("there is room");
    let below = file.join("data");
    let path = below.to_str().expect("a plain path");
    for command in ["serve", "migrate", "check"] {
        let refused = with(&[], &[command, "--data-dir", path]);
        let line = failure(&refused);
        assert!(line.contains(path), "{command}: {line}");
    }
    assert_eq!(listing(directory.path()), ["file"]);
}

/// What only its part understands.
#[test]
fn wrong_secrets_and_senders_are_named() {
    let directory = scratch();
    let path = directory.path().to_str().expect("a plain path");
    for (name, value, why) in
        [("JWT_SECRET", "a-short-secret", "bytes"), ("EMAIL_FROM", "nobody", "is no address")]
    {
        let refused =
            with(&[(name, value)], &["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
        let line = failure(&refused);
        assert!(line.contains(name) && line.contains(why), "{name}: {line}");
        assert!(!line.contains("a-short-secret"), "{line}");
    }
}

/// Before anything is made.
#[test]
fn wrong_settings_are_named() {
    let directory = scratch();
    let config = directory.path().join("fiapx.toml");
    let path = config.to_str().expect("a plain path");
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
    for (name, value, why) in in_environment {
        let data = directory.path().join("data");
        let refused = with(
            &[(name, value)],
            &["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().expect("plain")],
        );
        let line = failure(&refused);
        assert!(line.contains(name) && line.contains(why), "{name}: {line}");
        assert_eq!(listing(directory.path()), [""; 0], "{name}");
    }
    let in_file = [
        ("[worker]\nslots = 3", "worker.slots in", "is not a setting"),
        ("colour = 1", "colour in", "is not a setting"),
        ("[worker]\nconcurrency = \"two\"", "worker.concurrency in", "is invalid"),
        ("worker = 3", "worker in", "[worker]"),
        ("[worker]\nconcurrency = 2\nconcurrency = 3", "line 3", ""),
        ("[server]\nlisten = \"everywhere\"", "server.listen in", "is invalid"),
        ("[mail]\nuser = \"ana\"", "mail.password", "is missing"),
    ];
    for (text, name, why) in in_file {
        std::fs::write(&config, text).expect("there is room");
        for command in ["serve", "migrate", "check"] {
            let data = directory.path().join("data");
            let refused = with(
                &[],
                &[command, "--config", path, "--data-dir", data.to_str().expect("plain")],
            );
            let line = failure(&refused);
            assert!(line.contains(name) && line.contains(why), "{command}, {text}: {line}");
            assert!(line.contains(path) || why == "is missing", "{command}, {text}: {line}");
            assert_eq!(listing(directory.path()), ["fiapx.toml"], "{command}, {text}");
        }
    }
    std::fs::remove_file(&config).expect("it is there");
    let refused = with(&[], &["serve", "--config", path]);
    assert!(failure(&refused).contains(path), "{}", refused.stderr);
}
