//! Request collections for API clients: up to date, and all of their requests succeed.

use std::process::Command;

use serde_json::Value;

use super::http_file::HttpFile;
use super::specification::Document;
use crate::harness::archive::Archive;
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, npm_package, output, root, run};
use crate::harness::service::Service;

/// Path of each collection, and its format in `fiapx openapi --format`.
const COLLECTIONS: [(&str, &str); 2] =
    [("docs/api/fiapx.postman_collection.json", "postman"), ("docs/api/fiapx.http", "http")];

#[test]
fn collections_are_up_to_date() {
    for (path, format) in COLLECTIONS {
        let printed = output(fiapx().args(["openapi", "--format", format]))
            .expect("the command needs no service");
        let stored = std::fs::read(root().join(path)).expect("the file exists");
        assert!(
            printed == stored,
            "{path} is outdated: run `fiapx openapi --format {format} > {path}`"
        );
    }
}

/// Requests that need a value which no other response has, and the status that they get without it.
const REFUSED: [(&str, u64); 34] = [
    // The job has ended.
    ("List previews", 404),
    ("Get a preview", 404),
    // The job has no contact sheet.
    ("Get a contact sheet", 404),
    ("Download selected frames by a link", 403),
    ("Add a video by its URL", 403),
    ("Delete an API key", 404),
    ("Get the offset of a resumable upload", 404),
    ("Continue a resumable upload", 404),
    ("End a resumable upload", 404),
    ("Create a direct upload", 403),
    ("Complete a direct upload", 404),
    ("Revoke a link to a job", 404),
    ("Get a shared job", 401),
    ("List the frames of a shared job", 401),
    ("Get a frame of a shared job", 401),
    ("Get a download link of a shared job", 401),
    ("Download the archive of a shared job", 400),
    ("Register", 409),
    ("End a session", 404),
    ("Get a webhook", 404),
    ("Change a webhook", 404),
    ("Delete a webhook", 404),
    ("Replace the secret of a webhook", 404),
    ("List deliveries", 404),
    ("Test a webhook", 404),
    ("Repeat a delivery", 404),
    ("Confirm the second factor", 422),
    ("Remove the second factor", 409),
    ("Confirm an e-mail address", 410),
    ("Send the confirmation again", 409),
    ("Set a new password", 410),
    ("Request another e-mail address", 422),
    ("Confirm another e-mail address", 410),
    // The change of the password has closed the session.
    ("Delete the account", 401),
];

/// newman runs collections as Postman does.
#[test]
fn postman_collection_succeeds() {
    let newman = npm_package("newman", "6.2.2").join(".bin/newman");
    let (data, work) = (scratch(), scratch());
    let service = Process::start(data.path(), &[]);
    let report = work.path().join("report.json");
    let mut command = Command::new(newman);
    command
        .arg("run")
        .arg(root().join(COLLECTIONS[0].0))
        .args(["--env-var", &format!("base_url={}", service.base())]);
    command.arg("--working-dir").arg(root()).args([
        "--color",
        "off",
        "--reporters",
        "cli,json",
        "--reporter-json-export",
    ]);
    let run = run(command.arg(&report));
    assert_eq!(run.code, Some(0), "{}\n{}", String::from_utf8_lossy(&run.stdout), run.stderr);

    let report = std::fs::read(report).expect("newman wrote a report");
    let report: Value = serde_json::from_slice(&report).expect("the output is JSON");
    let executions = report["run"]["executions"].as_array().expect("a list");
    let responses = executions.iter().map(|execution| {
        assert!(
            execution["assertions"].as_array().is_some_and(|checks| !checks.is_empty()),
            "no test of {execution}"
        );
        (
            execution["item"]["name"].as_str().expect("a name"),
            execution["response"]["code"].as_u64().expect("a status"),
        )
    });
    let responses: Vec<(&str, u64)> = responses.collect();
    // The status is requested until the job is done.
    let steps: Vec<&str> = responses
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.starts_with(|digit: char| digit.is_ascii_digit()))
        .collect();
    let quick_start = [
        "1 Register",
        "2 Log in",
        "3 Upload videos",
        "4 Get a job's status and history",
        "5 Get a download link",
        "6 Download an archive",
    ];
    assert!(quick_start.iter().all(|step| steps.contains(step)), "{steps:?}");
    for (name, status) in &responses {
        assert!(
            (200..300).contains(status) || REFUSED.contains(&(*name, *status)),
            "{name} returned {status}: {responses:?}"
        );
    }
    let document = output(fiapx().arg("openapi")).expect("the command needs no service");
    let document = Document(serde_json::from_slice(&document).expect("the output is JSON"));
    assert_eq!(responses.len() - steps.len(), document.operations().len(), "{responses:?}");
}

/// The requests of the .http file, sent by a minimal interpreter of its format.
#[tokio::test(flavor = "multi_thread")]
async fn http_file_succeeds() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut file = HttpFile::read(&root().join(COLLECTIONS[1].0), service.base());
    let names: Vec<String> =
        file.requests().iter().filter_map(|request| request.name.clone()).collect();
    assert_eq!(names, ["register", "login", "upload", "status", "link", "fetch"]);
    assert_eq!(file.requests().len() - names.len(), document.operations().len());
    for request in file.requests() {
        let mut response = file.send(&request).await;
        while request.name.as_deref() == Some("status")
            && ["QUEUED", "PROCESSING"].contains(&response.job_status())
        {
            response = file.send(&request).await;
        }
        let operation = document.operation(&response.method, &response.path);
        assert!(
            response.method != reqwest::Method::GET || !response.sent_body,
            "{} has a body",
            request.title
        );
        let valid =
            document.validate(&operation, response.status, &response.headers, &response.body);
        assert_eq!(valid, Ok(()), "{}", request.title);
        let is_refused = REFUSED.iter().any(|(name, status)| {
            let is_named = request.title.split_once(": ").is_some_and(|(_, title)| title == *name);
            is_named && response.status == *status as u16
        });
        assert!(
            response.status.is_success() || is_refused,
            "{}: {}",
            request.title,
            response.status
        );
        match request.name.as_deref() {
            Some("status") => assert_eq!(response.job_status(), "DONE"),
            Some("fetch") => {
                assert!(Archive::read(response.body).expect("an archive").frames.len() == 10);
            }
            _ => {}
        }
    }
}
