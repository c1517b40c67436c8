//! `fiapx check`: are the settings right, and does every part answer?

use anyhow::Result;
use app::{Parts, settings};
use jobs::Clock;

use crate::cli::CheckArguments;
use crate::run::{runtime, say};

/// Check, or print the defaults.
pub fn run(arguments: &CheckArguments) -> Result<()> {
    if arguments.defaults {
        return say(settings::DEFAULTS.trim_end());
    }
    let settings = arguments.configured.settings()?;
    runtime()?.block_on(async {
        let parts = Parts::embedded(&settings, &Clock::default()).await?;
        parts.check().await
    })?;
    say(&format!("all parts answer; data is kept in {}", settings.data_dir.display()))
}
