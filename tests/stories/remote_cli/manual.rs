//! The manual: its walk-through works as printed, and it lists all commands.

use std::process::Command;

use super::command::Terminal;
use crate::harness::client::PASSWORD;
use crate::harness::programs::{fiapx, fiapx_path, output, root, run, tool};
use crate::harness::service::Service;

/// Text of the manual.
fn manual() -> String {
    std::fs::read_to_string(root().join("docs/remote.md")).expect("the manual can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_through_works_as_printed() {
    tool("python3");
    let service = Service::start().await;
    let user = service.user().await;
    let manual = manual();
    let (_, commands) = manual.split_once("```sh\n").expect("it has shell commands");
    let (commands, _) = commands.split_once("```").expect("the block ends");
    let script = commands
        .replace("http://localhost:8000", service.base())
        .replace("fixtures/", &format!("{}/", root().join("fixtures").display()));
    // Answers to the questions of the login.
    let script = format!("set -euo pipefail\n{script}")
        .replace("remote login", &format!("remote login <<<$'{}\\n{PASSWORD}'", user.email));
    let terminal = Terminal::at("");
    let mut command = Command::new("bash");
    terminal.prepare(command.args(["-c", &script]));
    let path = fiapx_path();
    let programs = path.parent().expect("it is in a directory").display();
    let inherited = std::env::var("PATH").unwrap_or_default();
    let run = run(command.env("PATH", format!("{programs}:{inherited}")));
    let printed = run.lines().join("\n");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{printed}");
    for shown in ["logged in at", "5 frames", "manifest.json", "frames.zip", "logged out at"] {
        assert!(printed.contains(shown), "no {shown} in {printed}");
    }
    let (_, keys) = user.get("/keys").await;
    assert_eq!(keys, serde_json::json!([]));
}

#[test]
fn the_manual_lists_every_command() {
    let help = output(fiapx().args(["remote", "--help"])).expect("help succeeds");
    let help = String::from_utf8(help).expect("help is text");
    let (_, commands) = help.split_once("Commands:\n").expect("there are commands");
    let (commands, _) = commands.split_once("\n\n").expect("the list ends");
    let names = commands.lines().filter_map(|line| line.split_whitespace().next());
    let manual = manual();
    for name in names.filter(|name| *name != "help") {
        assert!(manual.contains(&format!("\n| `{name}")), "docs/remote.md has no {name}");
    }
}
