//! `fiapx migrate`: update of the database schema.

use anyhow::{Context, Result};
use jobs::Clock;

use super::console::{print, runtime};
use crate::cli::ConfiguredArguments;
use crate::parts::Parts;
use crate::settings::Needs;

/// Apply all pending migrations.
pub(super) fn run(configured: &ConfiguredArguments) -> Result<()> {
    let settings = configured.settings_for(Needs::NONE)?;
    runtime()?.block_on(async {
        let database = Parts::database(&settings, &Clock::default()).await?;
        database.migrate().await.context("cannot migrate the database")
    })?;
    print("the database is up to date")
}
