//! The subcommands of `fiapx`, one module for each.

mod console;
mod signals;
mod video;
mod existing;
mod output;
mod extract;
mod probe;
mod serve;
mod migrate;
mod check;
mod jobs;
mod users;
mod storage;
mod openapi;
mod shell;
mod remote;

use anyhow::Result;

use crate::cli::{Command, JobsCommand, StorageCommand, UsageError};
use crate::service::Roles;

/// Exit status for a failure.
const FAILURE: u8 = 1;
/// Exit status for wrong arguments, as that of the parser of arguments.
const USAGE: u8 = 2;

/// Exit status of the program for an error of [`run`].
#[must_use]
pub fn exit_status(error: &anyhow::Error) -> u8 {
    if error.is::<UsageError>() {
        return USAGE;
    }
    if let Some(interrupted) = error.downcast_ref::<signals::Interrupted>() {
        return interrupted.exit_status();
    }
    remote::exit_status(error).unwrap_or(FAILURE)
}

/// Run one subcommand.
///
/// # Errors
/// The command failed. The message is one line for stderr.
pub fn run(command: Command) -> Result<()> {
    match command {
        Command::Extract(arguments) => extract::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments, Roles::ALL, "fiapx"),
        Command::Api(arguments) => serve::run(&arguments, Roles::API, "fiapx-api"),
        Command::Worker(configured) => {
            serve::run(&configured.into(), Roles::WORKER, "fiapx-worker")
        }
        Command::Notifier(configured) => {
            serve::run(&configured.into(), Roles::NOTIFIER, "fiapx-notifier")
        }
        Command::Migrate(configured) => migrate::run(&configured),
        Command::Check(arguments) => check::run(&arguments),
        Command::Jobs(JobsCommand::Failed(arguments)) => jobs::list_failed(&arguments),
        Command::Jobs(JobsCommand::Retry(arguments)) => jobs::retry(&arguments),
        Command::Jobs(JobsCommand::Quarantined(configured)) => jobs::list_quarantined(&configured),
        Command::Users(command) => users::run(&command),
        Command::Storage(StorageCommand::Adopt(arguments)) => storage::adopt(&arguments),
        Command::Storage(StorageCommand::Sweep(arguments)) => storage::sweep(&arguments),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Completions(arguments) => shell::print_completions(&arguments),
        Command::Man(arguments) => shell::write_manual_pages(&arguments),
        Command::Remote(arguments) => remote::run(&arguments),
        Command::Cell => worker::cell::main().map_err(Into::into),
    }
}
