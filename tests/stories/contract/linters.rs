//! The OpenAPI document passes the recommended rules of Redocly CLI and Spectral without findings.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::harness::clips::scratch;
use crate::harness::programs::{fiapx, output, root, run, tool};

/// Directory of the programs of the packages in tests/contract/package.json. They are installed if
/// they are missing or the lock file has changed.
fn npm_programs() -> PathBuf {
    let source = root().join("tests/contract");
    let directory = root().join("target/contract-linters");
    std::fs::create_dir_all(&directory).expect("the directory is writable");
    // Tests in this and other processes may need the programs at the same time.
    let guard = File::create(directory.join("lock")).expect("the directory is writable");
    guard.lock().expect("the file can be locked");
    let wanted = std::fs::read(source.join("package-lock.json")).expect("the lock file exists");
    let installed = directory.join("installed.json");
    if std::fs::read(&installed).ok().as_deref() != Some(&wanted) {
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(source.join(file), directory.join(file)).expect("the files are readable");
        }
        let mut install = tool("npm");
        install.args([
            "ci",
            "--omit=dev",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
            "--prefix",
        ]);
        output(install.arg(&directory)).expect("the installation needs the registry of npm");
        std::fs::write(installed, wanted).expect("the directory is writable");
    }
    directory.join("node_modules/.bin")
}

/// Write the OpenAPI document into a directory.
fn document_in(directory: &Path) -> PathBuf {
    let path = directory.join("openapi.json");
    let document = output(fiapx().arg("openapi")).expect("the command needs no service");
    std::fs::write(&path, document).expect("the directory is writable");
    path
}

#[test]
fn redocly_has_no_findings() {
    let directory = scratch();
    let document = document_in(directory.path());
    let mut command = Command::new(npm_programs().join("redocly"));
    command.arg("lint").arg(document).args(["--extends", "recommended", "--format", "json"]);
    command
        .current_dir(directory.path())
        .env("REDOCLY_TELEMETRY", "off")
        .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
    let run = run(&mut command);
    let report = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.code, Some(0), "{report}{}", run.stderr);
    let report: Value = serde_json::from_str(&report).expect("the report is JSON");
    let totals = &report["totals"];
    assert_eq!((&totals["errors"], &totals["warnings"]), (&0.into(), &0.into()), "{report:#}");
}

#[test]
fn spectral_has_no_findings() {
    let directory = scratch();
    let document = document_in(directory.path());
    let rules = directory.path().join("spectral.yaml");
    std::fs::write(&rules, "extends: spectral:oas\n").expect("the directory is writable");
    let mut command = Command::new(npm_programs().join("spectral"));
    command.arg("lint").arg(document).arg("--ruleset").arg(rules);
    command.args(["--format", "json", "--quiet", "--fail-severity", "hint"]);
    let run = run(command.current_dir(directory.path()));
    let report = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.code, Some(0), "{report}{}", run.stderr);
    let findings: Value = serde_json::from_str(&report).expect("the report is JSON");
    assert_eq!(findings, Value::Array(Vec::new()));
}
