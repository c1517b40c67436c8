//! schemathesis: thousands of requests that somebody else thought of, each answer held against the
//! document.

use std::process::Command;

use reqwest::Method;

use crate::harness::client::fetch_json;
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{output, root, run, tool};

/// schemathesis, in a virtual environment of its own that is made if it is missing.
fn schemathesis() -> Command {
    /// On PyPI.
    const VERSION: &str = "4.32.5";
    let environment = root().join(format!("target/schemathesis-{VERSION}"));
    let program = environment.join("bin/schemathesis");
    // The mark stands for all of it: what was interrupted has none.
    if !environment.join("complete").is_file() {
        output(tool("python3").args(["-m", "venv", "--clear"]).arg(&environment))
            .expect("needs the Debian package python3-venv");
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            &format!("schemathesis=={VERSION}"),
        ];
        output(Command::new(environment.join("bin/python3")).args(pip)).expect("needs PyPI once");
        std::fs::write(environment.join("complete"), VERSION).expect("there is room");
    }
    Command::new(program)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_gets_an_answer_that_is_not_in_the_document() {
    let (directory, elsewhere) = (scratch(), scratch());
    let process = Process::start(directory.path(), &[]);
    let user = process.user().await;
    let mut command = schemathesis();
    command.arg("--config-file").arg(root().join("tests/contract/schemathesis.toml"));
    command.arg("run").arg(format!("{}/openapi.json", process.base()));
    command.args(["--no-color", "--header", &format!("Authorization: Bearer {}", user.access)]);
    // It leaves files where it runs.
    command.current_dir(elsewhere.path());
    let found =
        tokio::task::spawn_blocking(move || run(&mut command)).await.expect("it does not panic");
    let report = String::from_utf8_lossy(&found.stdout).into_owned();
    assert_eq!(found.code, Some(0), "{report}{}", found.stderr);
    let operations = super::promise::Document::of(&process).await.operations().len();
    assert!(
        report.contains(&format!("Tested: {operations}\n")),
        "not every operation was tried: {report}"
    );
    let (status, ready) = fetch_json(process.request(Method::GET, "/ready")).await;
    assert!(status.is_success(), "{ready}");
}
