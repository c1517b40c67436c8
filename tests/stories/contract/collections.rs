//! What API clients open: made of the document, and whoever sends all of it one after another gets
//! through.

use std::process::Command;

use serde_json::Value;

use super::http_file::HttpFile;
use super::promise::Document;
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, npm_package, output, root, run};
use crate::harness::service::Service;

/// Where the collections lie, and in which format the command prints each.
const COLLECTIONS: [(&str, &str); 2] =
    [("docs/api/fiapx.postman_collection.json", "postman"), ("docs/api/fiapx.http", "http")];

#[test]
fn the_collections_are_those_that_the_command_prints() {
    for (path, format) in COLLECTIONS {
        let printed =
            output(fiapx().args(["openapi", "--format", format])).expect("it needs no service");
        let kept = std::fs::read(root().join(path)).expect("it is there");
        assert!(
            printed == kept,
            "run `fiapx openapi --format {format} > {path}`: it prints something else now"
        );
    }
}

/// newman runs what Postman would.
#[test]
fn postman_gets_through_the_walk_and_every_operation() {
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
    let report: Value = serde_json::from_slice(&report).expect("it is JSON");
    let executions = report["run"]["executions"].as_array().expect("a list");
    let answers = executions.iter().map(|execution| {
        assert!(
            execution["assertions"].as_array().is_some_and(|checks| !checks.is_empty()),
            "nothing is checked of {execution}"
        );
        (
            execution["item"]["name"].as_str().expect("a name"),
            execution["response"]["code"].as_u64().expect("a status"),
        )
    });
    let answers: Vec<(&str, u64)> = answers.collect();
    // The status is asked for until the video is done; whoever registers twice is refused.
    let steps: Vec<&str> = answers
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| name.starts_with(|digit: char| digit.is_ascii_digit()))
        .collect();
    let walked = [
        "1 Register",
        "2 Log in",
        "3 Upload videos",
        "4 Follow a job's history",
        "5 Get a link to the archive",
        "6 Fetch an archive by its link",
    ];
    assert!(walked.iter().all(|step| steps.contains(step)), "{steps:?}");
    for (name, status) in &answers {
        assert!(
            (200..300).contains(status) || (*name, *status) == ("Register", 409),
            "{name} was answered with {status}: {answers:?}"
        );
    }
    let document = output(fiapx().arg("openapi")).expect("it needs no service");
    let document = Document(serde_json::from_slice(&document).expect("it is JSON"));
    assert_eq!(answers.len() - steps.len(), document.operations().len(), "{answers:?}");
}

/// A small reader of the same syntax walks, and then sends all the rest.
#[tokio::test(flavor = "multi_thread")]
async fn the_http_file_gets_through_the_walk_and_every_operation() {
    let service = Service::start().await;
    let document = Document::of(&service).await;
    let mut file = HttpFile::read(&root().join(COLLECTIONS[1].0), service.base());
    let names: Vec<String> =
        file.requests().iter().filter_map(|request| request.name.clone()).collect();
    assert_eq!(names, ["register", "login", "upload", "status", "link", "fetch"]);
    assert_eq!(file.requests().len() - names.len(), document.operations().len());
    for request in file.requests() {
        let mut answer = file.send(&request).await;
        while request.name.as_deref() == Some("status")
            && ["QUEUED", "PROCESSING"].contains(&answer.status_of_job())
        {
            answer = file.send(&request).await;
        }
        let operation = document.operation(&answer.method, &answer.path);
        assert!(
            answer.method != reqwest::Method::GET || !answer.sent_body,
            "{} has a body",
            request.title
        );
        let documented = document.keeps(&operation, answer.status, &answer.headers, &answer.body);
        assert_eq!(documented, Ok(()), "{}", request.title);
        let again = request.title == "Accounts: Register";
        assert!(
            answer.status.is_success() || again && answer.status == 409,
            "{}: {}",
            request.title,
            answer.status
        );
        match request.name.as_deref() {
            Some("status") => assert_eq!(answer.status_of_job(), "DONE"),
            Some("fetch") => assert!(
                crate::harness::archive::Archive::read(answer.body)
                    .expect("an archive")
                    .frames
                    .len()
                    == 10
            ),
            _ => {}
        }
    }
}
