//! schemathesis: thousands of generated requests, whose responses must match the document.

use std::process::Command;

use reqwest::Method;

use crate::harness::client::fetch_json;
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{python_package, root, run};

/// Version of schemathesis on PyPI.
const VERSION: &str = "4.32.5";

#[tokio::test(flavor = "multi_thread")]
async fn generated_requests_get_documented_responses() {
    let (directory, reports) = (scratch(), scratch());
    // All requests come from one address, and rate limits would hide other responses.
    let limits = [("LIMIT_ATTEMPTS_PER_ADDRESS", "1000000")];
    let process = Process::start(directory.path(), &limits);
    let user = process.user().await;
    let mut command = Command::new(python_package("schemathesis", VERSION).join("schemathesis"));
    command.arg("--config-file").arg(root().join("tests/contract/schemathesis.toml"));
    command.arg("run").arg(format!("{}/openapi.json", process.base()));
    command.args(["--no-color", "--header", &format!("Authorization: Bearer {}", user.access)]);
    command.env("SCHEMATHESIS_HOOKS", root().join("tests/contract/schemathesis_hooks.py"));
    // It writes files into the working directory.
    command.current_dir(reports.path());
    let found = tokio::task::spawn_blocking(move || run(&mut command))
        .await
        .expect("the task does not panic");
    let report = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.code, Some(0), "{report}{}", found.stderr);
    let operations = super::specification::Document::of(&process).await.operations().len();
    assert!(
        report.contains(&format!("Tested: {operations}\n")),
        "not every operation was tested: {report}"
    );
    let (status, ready) = fetch_json(process.request(Method::GET, "/ready")).await;
    assert!(status.is_success(), "{ready}");
}
