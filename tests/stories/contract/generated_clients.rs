//! Clients in Python and TypeScript that generators make from the document, each from an account to
//! an archive. The types of the TypeScript program are checked.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use super::document_in;
use crate::harness::client::{Client, PASSWORD};
use crate::harness::clips::{SHORT, fixture, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{npm_packages, output, python_package, root, run, tool};

use rstest::rstest;

/// Version of openapi-python-client on PyPI.
const PYTHON_GENERATOR: &str = "0.29.1";

/// Directory of the programs that use the clients, and of the configuration of the generators.
const SOURCES: &str = "tests/contract/clients";

/// Run a program with the arguments that both have.
fn assert_succeeds(mut program: Command, service: &Client, email: &str) {
    program.args([service.base(), email, PASSWORD]).arg(fixture(SHORT));
    let run = run(&mut program);
    let printed = run.lines().join("\n");
    assert_eq!((run.code, printed.as_str()), (Some(0), "done"), "{}", run.stderr);
}

/// Generate the Python client in a directory.
fn generate_python(directory: &Path) {
    let programs = python_package("openapi-python-client", PYTHON_GENERATOR);
    let mut generator = Command::new(programs.join("openapi-python-client"));
    generator.args(["generate", "--meta", "none", "--fail-on-warning", "--path"]);
    generator.arg(document_in(directory)).arg("--config");
    generator.arg(root().join(SOURCES).join("python.yaml"));
    generator.arg("--output-path").arg(directory.join("fiapx_client"));
    let printed = output(&mut generator).expect("the client is generated without warnings");
    let printed = String::from_utf8_lossy(&printed);
    assert!(!printed.to_lowercase().contains("warning"), "{printed}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_works(#[values(Embedded, Servers)] parts: Parts) {
    let (service, directory) = (parts.start().await, scratch());
    generate_python(directory.path());
    let programs = python_package("openapi-python-client", PYTHON_GENERATOR);
    let mut program = Command::new(programs.join("python3"));
    program.env("PYTHONPATH", directory.path()).arg(root().join(SOURCES).join("story.py"));
    assert_succeeds(program, &service, "python@example.com");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_generated_typescript_client_works(#[values(Embedded, Servers)] parts: Parts) {
    let (service, directory) = (parts.start().await, scratch());
    let modules = npm_packages(SOURCES, "generated-clients");
    let path = |name: &str| directory.path().join(name);
    symlink(&modules, path("node_modules")).expect("the modules can be linked");
    for file in ["story.ts", "tsconfig.json", "package.json"] {
        std::fs::copy(root().join(SOURCES).join(file), path(file)).expect("it can be copied");
    }
    let mut generator = Command::new(modules.join(".bin/openapi-typescript"));
    generator.arg(document_in(directory.path())).arg("--output").arg(path("api.d.ts"));
    output(&mut generator).expect("the types are generated");
    let mut compiler = Command::new(modules.join(".bin/tsc"));
    output(compiler.current_dir(directory.path())).expect("the program has correct types");
    let mut program = tool("node");
    program.arg(path("built/story.js"));
    assert_succeeds(program, &service, "typescript@example.com");
}
