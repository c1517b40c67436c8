//! The command `fiapx`: every role of the system is one of its subcommands.

mod cli;
mod check;
mod collections;
mod extract;
mod failed;
mod output;
mod probe;
mod run;
mod video;

use std::io::Write;
use std::process::ExitCode;

use app::serve::Roles;
use clap::Parser;

use cli::{Cli, Command, JobsCommand};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Extract(arguments) => extract::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Serve(arguments) => run::serve(&arguments, Roles::ALL, "fiapx"),
        Command::Api(arguments) => run::serve(&arguments, Roles::API, "fiapx-api"),
        Command::Worker(configured) => {
            run::serve(&configured.into(), Roles::WORKER, "fiapx-worker")
        }
        Command::Notifier(configured) => {
            run::serve(&configured.into(), Roles::NOTIFIER, "fiapx-notifier")
        }
        Command::Migrate(arguments) => run::migrate(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Jobs(JobsCommand::Failed(arguments)) => failed::list(&arguments),
        Command::Jobs(JobsCommand::Retry(arguments)) => failed::retry(&arguments),
        Command::Openapi(arguments) => run::openapi(&arguments),
        Command::Cell => worker::cell::main().map_err(Into::into),
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
