//! The command `fiapx`: every role of the system is one of its subcommands.

mod cli;
mod extract;
mod output;
mod probe;
mod video;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Extract(arguments) => extract::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever closed the error output does not want to know.
            let _ = writeln!(std::io::stderr(), "fiapx: {error:#}");
            ExitCode::FAILURE
        }
    }
}
