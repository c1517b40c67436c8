//! Completions for shells, and manual pages.

use std::fs;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::aot::{Shell, generate};

use super::console::print;
use crate::cli::{Cli, CompletedShell, CompletionsArguments, ManArguments};
use crate::version::VERSION;

/// `fiapx completions`: print a script for a shell.
pub(super) fn print_completions(arguments: &CompletionsArguments) -> Result<()> {
    let shell = match arguments.shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "fiapx", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// `fiapx man`: write one page for each subcommand.
pub(super) fn write_manual_pages(arguments: &ManArguments) -> Result<()> {
    let directory = &arguments.directory;
    let failed = || format!("cannot write to {}", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    // The long version has several lines, which a title cannot have.
    let command = Cli::command().version(VERSION);
    clap_mangen::generate_to(command, directory).with_context(failed)
}
