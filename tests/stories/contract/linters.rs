//! The OpenAPI document passes the recommended rules of Redocly CLI and Spectral without findings.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::document_in;
use crate::harness::clips::scratch;
use crate::harness::programs::{npm_packages, run};

/// Directory of the programs of the packages in tests/contract/package.json.
fn npm_programs() -> PathBuf {
    npm_packages("tests/contract", "contract-linters").join(".bin")
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
