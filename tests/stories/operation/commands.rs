//! The commands around the service.

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Run, fiapx, listing, run, scratch, single_line};
use crate::process::Process;
use crate::service::{Service, answer};

/// The command has to succeed without a complaint; gives what it prints.
fn printed(run: Run) -> String {
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    String::from_utf8(run.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_brought_up_to_date_twice() {
    let directory = scratch();
    let migrate = || run(fiapx().args(["migrate", "--data-dir"]).arg(directory.path()));
    let said = printed(migrate());
    assert_eq!(said, "the database is up to date\n");
    assert!(listing(directory.path()).contains(&"fiapx.db".to_owned()));
    assert_eq!(printed(migrate()), said);
    // Also while the service runs, whose rows stay.
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    assert_eq!(printed(migrate()), said);
    let (status, account) = user.get("/auth/me").await;
    assert!(status.is_success() && account["email"] == user.email.as_str(), "{account}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_printed_document_is_that_of_the_service() {
    let printed: Value = serde_json::from_str(&printed(run(fiapx().arg("openapi")))).expect("JSON");
    let service = Service::start().await;
    let (status, served) = answer(service.request(Method::GET, "/openapi.json")).await;
    assert!(status.is_success());
    assert_eq!(printed, served);
    assert!(printed["openapi"].as_str().is_some_and(|version| version.starts_with("3.")), "{}", printed["openapi"]);
}

#[test]
fn a_check_says_whether_all_parts_answer() {
    let directory = scratch();
    let data = directory.path().join("data");
    let with = |command: &str| run(fiapx().args([command, "--data-dir"]).arg(&data));
    printed(with("migrate"));
    assert!(printed(with("check")).contains("all parts answer"));
    let process = Process::start(&data, &[]);
    assert!(printed(with("check")).contains("all parts answer"), "also while the service runs");
    process.kill();

    let files = data.join("files/unfinished");
    std::fs::remove_dir(&files).expect("it is empty");
    std::fs::write(&files, "in the way").expect("there is room");
    let failed = with("check");
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    let line = single_line(&failed).expect("one line says what is wrong");
    assert!(line.contains("files"), "{line}");
}

#[test]
fn the_printed_defaults_are_a_configuration() {
    let directory = scratch();
    let config = directory.path().join("fiapx.toml");
    std::fs::write(&config, printed(run(fiapx().args(["check", "--defaults"])))).expect("there is room");
    for command in ["migrate", "check"] {
        let data = directory.path().join("data");
        printed(run(fiapx().args([command, "--config"]).arg(&config).arg("--data-dir").arg(data)));
    }
}
