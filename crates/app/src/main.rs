//! The command `fiapx`. Every role of the system is one of its subcommands.

use std::io::Write;
use std::process::ExitCode;

use app::cli::{Cli, UsageError};
use app::commands;
use clap::Parser;

/// Exit status for wrong arguments, as that of the parser of arguments.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match commands::run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Ignore a closed stderr.
            let _ = writeln!(std::io::stderr(), "fiapx: {error:#}");
            if error.is::<UsageError>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}
