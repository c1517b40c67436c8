//! `fiapx remote`: use a service from a terminal or a script.

mod bars;
mod failures;
mod interruption;
mod context;
mod prompt;
mod login;
mod watching;
mod downloading;
mod uploading;
mod listing;
mod changing;

use anyhow::Result;

use crate::cli::{RemoteArguments, RemoteCommand};

pub(super) use failures::exit_status;

/// Run a subcommand.
pub(super) fn run(arguments: &RemoteArguments) -> Result<()> {
    interruption::run(dispatch(arguments))
}

async fn dispatch(arguments: &RemoteArguments) -> Result<()> {
    let context = || context::Context::new(arguments);
    match &arguments.command {
        RemoteCommand::Login(login) => login::log_in(arguments, login).await,
        RemoteCommand::Logout => login::log_out(arguments).await,
        RemoteCommand::Upload(upload) => uploading::upload(&context()?, upload).await,
        RemoteCommand::Watch(watch) => watching::watch(&context()?, watch).await,
        RemoteCommand::List(list) => listing::list(&context()?, list).await,
        RemoteCommand::Show(show) => listing::show(&context()?, show).await,
        RemoteCommand::Download(download) => downloading::download(&context()?, download).await,
        RemoteCommand::Again(again) => changing::process_again(&context()?, again).await,
        RemoteCommand::Cancel(cancel) => changing::cancel(&context()?, cancel).await,
        RemoteCommand::Delete(delete) => changing::delete(&context()?, delete).await,
    }
}
