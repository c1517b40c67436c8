//! The command `fiapx`. Every role of the system is one of its subcommands.

use std::io::Write;
use std::process::ExitCode;

use app::cli::Cli;
use app::commands;
use clap::Parser;

fn main() -> ExitCode {
    match commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Ignore a closed stderr.
            let _ = writeln!(std::io::stderr(), "fiapx: {error:#}");
            ExitCode::from(commands::exit_status(&error))
        }
    }
}
