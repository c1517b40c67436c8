//! `fiapx users`: list, disable, enable, sign out and delete users.

use anyhow::{Context, Result, bail};
use chrono::SecondsFormat;
use database::Database;
use database::account_deletion::DeletedUser;
use database::users::User;
use jobs::Clock;
use serde_json::json;

use super::console::{print, runtime};
use crate::cli::{ListUsersArguments, UserArguments, UsersCommand};
use crate::parts::Parts;

/// Number of users that are read at a time.
const PAGE: u64 = 500;

/// Run a subcommand.
pub(super) fn run(command: &UsersCommand) -> Result<()> {
    match command {
        UsersCommand::List(arguments) => list(arguments),
        UsersCommand::Disable(arguments) => {
            change(arguments, "disabled", &async |database, email| {
                database.disable_user(email).await
            })
        }
        UsersCommand::Enable(arguments) => {
            change(arguments, "enabled", &async |database, email| database.enable_user(email).await)
        }
        UsersCommand::SignOut(arguments) => {
            change(arguments, "signed out", &async |database, email| {
                database.sign_out_user(email).await
            })
        }
        UsersCommand::DeleteKeys(arguments) => {
            change(arguments, "no API keys", &async |database, email| {
                database.delete_keys(email).await
            })
        }
        UsersCommand::RemoveSecondFactor(arguments) => {
            change(arguments, "no second factor", &async |database, email| {
                let user = database.user_by_email(email).await?;
                if let Some(user) = &user {
                    database.disable_second_factor(user.id).await?;
                }
                Ok(user)
            })
        }
        UsersCommand::Delete(arguments) => delete(arguments),
    }
}

fn list(arguments: &ListUsersArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        let mut after = None;
        loop {
            let page = database.list_users(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            for user in &page {
                print(&if arguments.json { as_json(user) } else { as_line(user) })?;
            }
        }
    })
}

/// Format a user as one line: id, registration, state, second factor, address.
fn as_line(user: &User) -> String {
    let created_at = user.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let state = if user.is_active { "active" } else { "disabled" };
    let second_factor = if user.second_factor { "second-factor" } else { "-" };
    format!("{} {created_at} {state} {second_factor} {}", user.id, user.email)
}

fn as_json(user: &User) -> String {
    json!({
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "active": user.is_active,
        "second_factor": user.second_factor,
        "created_at": user.created_at,
    })
    .to_string()
}

/// Change the user with an address, and print the result.
fn change(
    arguments: &UserArguments,
    result: &str,
    change: &impl AsyncFn(&Database, &str) -> Result<Option<User>, database::Error>,
) -> Result<()> {
    let settings = arguments.configured.settings()?;
    let email = &arguments.email;
    let user = runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        anyhow::Ok(change(&database, email).await?)
    })?;
    let Some(user) = user else { return unknown(email) };
    print(&format!("{}: {result}", user.id))
}

/// Delete a user, and then the files.
fn delete(arguments: &UserArguments) -> Result<()> {
    let settings = arguments.configured.settings()?;
    let email = &arguments.email;
    runtime()?.block_on(async {
        let clock = Clock::default();
        let database = Parts::existing_database(&settings, &clock).await?;
        // Opened first: with a wrong setting, nothing is deleted.
        let store = Parts::store(&settings, &clock).await?;
        let Some(user) = database.user_by_email(email).await? else { return unknown(email) };
        let Some(deleted) = database.delete_user(user.id).await? else { return unknown(email) };
        let DeletedUser { user, jobs } = deleted;
        let files = storage::delete_user_files(&*store, user.id).await.with_context(|| {
            format!(
                "{}: deleted with {jobs} jobs, but not all files; the service deletes the rest \
                 after a day",
                user.id
            )
        })?;
        print(&format!("{}: deleted with {jobs} jobs and {files} files", user.id))
    })
}

fn unknown(email: &str) -> Result<()> {
    bail!("no user is registered with the address {email}")
}
