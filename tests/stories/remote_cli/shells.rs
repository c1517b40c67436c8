//! Completions, evaluated by shells, and manual pages, formatted by `man`.

use std::process::Command;

use crate::harness::clips::{file_names, scratch};
use crate::harness::programs::{fiapx, output, run, tool};

/// Return whether a program is installed.
fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Script of the completions for a shell.
fn script(shell: &str) -> String {
    let script = output(fiapx().args(["completions", shell])).expect("the shell is known");
    String::from_utf8(script).expect("scripts are text")
}

/// Run a shell's script, whose first argument is a file with the completions.
fn evaluate(shell: &str, arguments: &[&str], text: &str) -> String {
    let directory = scratch();
    let file = directory.path().join("completions");
    std::fs::write(&file, script(shell)).expect("it can be written");
    let mut command = Command::new(shell);
    command.args(arguments).args(["-c", text, shell]).arg(&file);
    let run = run(command.current_dir(directory.path()));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
    run.lines().join(" ")
}

/// bash completes as if a user had entered words and pressed the tab key.
#[test]
fn bash_completes_commands_and_options() {
    const COMPLETE: &str = r#"
        source "$1"
        function=$(complete -p fiapx | sed 's/.*-F \([^ ]*\).*/\1/')
        complete_words() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            "$function" fiapx "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            echo "${COMPREPLY[*]}"
        }
        complete_words fiapx rem
        complete_words fiapx remote up
        complete_words fiapx remote upload --wa
        complete_words fiapx remote upload --format w
    "#;
    let completed = evaluate("bash", &["--norc", "--noprofile"], COMPLETE);
    assert_eq!(completed, "remote upload --wait webp");
}

#[test]
fn zsh_and_fish_accept_their_completions() {
    for (shell, word) in [("zsh", "#compdef fiapx"), ("fish", "complete -c fiapx")] {
        let script = script(shell);
        assert!(script.contains(word) && script.contains("upload"), "{shell}");
    }
    if is_installed("zsh") {
        let text = "autoload -U compinit && compinit -D -u && source \"$1\" && \
                    print ${_comps[fiapx]}";
        assert_eq!(evaluate("zsh", &["-f"], text), "_fiapx");
    }
    if is_installed("fish") {
        let text = "source $argv[2]; complete -C 'fiapx remote uplo'";
        let completed = evaluate("fish", &["--no-config"], text);
        assert!(completed.starts_with("upload"), "{completed}");
    }
    let unknown = run(fiapx().args(["completions", "tcsh"]));
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

#[test]
fn manual_pages_are_valid() {
    let directory = scratch();
    let pages = directory.path().join("share/man1");
    output(fiapx().arg("man").arg(&pages)).expect("the directory is created");
    let names = file_names(&pages);
    for page in ["fiapx.1", "fiapx-extract.1", "fiapx-remote.1", "fiapx-remote-upload.1"] {
        assert!(names.iter().any(|name| name == page), "no {page}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("cell")), "hidden: {names:?}");
    for name in &names {
        let page = pages.join(name);
        let mut man = tool("man");
        man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
        let run = run(man.args(["--warnings=all", "--local-file"]).arg(&page));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{name}");
        if is_installed("mandoc") {
            let mut mandoc = Command::new("mandoc");
            output(mandoc.args(["-T", "lint", "-W", "error"]).arg(&page)).expect("it is valid");
        }
    }
    let text = std::fs::read_to_string(pages.join("fiapx-remote.1")).expect("it exists");
    assert!(text.contains("FIAPX_API_KEY") && text.contains("130"), "{text}");
}
