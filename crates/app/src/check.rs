//! `fiapx check`: are the settings right, does every part answer, and does the process that runs by
//! them?

use anyhow::{Result, bail};
use app::{Parts, ready, settings};
use jobs::Clock;

use crate::cli::CheckArguments;
use crate::run::{runtime, say};

/// Check every part, or print the defaults.
pub fn run(arguments: &CheckArguments) -> Result<()> {
    if arguments.defaults {
        return say(settings::DEFAULTS.trim_end());
    }
    let settings = arguments.configured.settings()?;
    if arguments.ready {
        runtime()?.block_on(ready::ask(&settings))?;
        return say("ready");
    }
    let checked = runtime()?.block_on(Parts::check(&settings, &Clock::default()));
    let mut problems = Vec::new();
    for (part, result) in checked {
        match result {
            Ok(()) => say(&format!("{part}: answers"))?,
            Err(problem) => problems.push(format!("{part}: {problem:#}")),
        }
    }
    if problems.is_empty() {
        return say("all parts answer");
    }
    bail!("{}", problems.join("; "))
}
