//! `fiapx users`: disable and enable users.

use anyhow::{Result, bail};
use jobs::Clock;

use super::console::{print, runtime};
use crate::cli::UserArguments;
use crate::parts::Parts;

/// Disable a user. Sessions end, and the user cannot log in. Accepted jobs are still processed.
pub(super) fn disable(arguments: &UserArguments) -> Result<()> {
    set_active(arguments, false)
}

/// Enable a disabled user, who has to log in again.
pub(super) fn enable(arguments: &UserArguments) -> Result<()> {
    set_active(arguments, true)
}

fn set_active(arguments: &UserArguments, is_active: bool) -> Result<()> {
    let settings = arguments.configured.settings()?;
    let email = &arguments.email;
    let user = runtime()?.block_on(async {
        let database = Parts::existing_database(&settings, &Clock::default()).await?;
        let user = if is_active {
            database.enable_user(email).await?
        } else {
            database.disable_user(email).await?
        };
        anyhow::Ok(user)
    })?;
    let Some(user) = user else { bail!("no user is registered with the address {email}") };
    print(&format!("{}: {}", user.id, if is_active { "enabled" } else { "disabled" }))
}
