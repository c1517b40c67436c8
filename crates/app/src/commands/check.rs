//! `fiapx check`: validation of the settings and a connection test of every part.

use anyhow::{Result, bail};
use jobs::Clock;

use super::console::{print, runtime};
use crate::cli::CheckArguments;
use crate::parts::{PartCheck, Parts};
use crate::settings::Needs;
use crate::{ready, settings, version};

/// Check every part, or print the defaults, or query the readiness of a running process.
pub(super) fn run(arguments: &CheckArguments) -> Result<()> {
    if arguments.defaults {
        return print(settings::DEFAULTS.trim_end());
    }
    if arguments.ready {
        let settings = arguments.configured.settings_for(Needs::NONE)?;
        runtime()?.block_on(ready::check(&settings))?;
        return print("ready");
    }
    let settings = arguments.configured.settings()?;
    print(&format!("libav: {}", version::libav()))?;
    let results = runtime()?.block_on(Parts::check(&settings, &Clock::default()));
    let mut problems = Vec::new();
    for PartCheck { part, result } in results {
        match result {
            Ok(()) => print(&format!("{part}: ok"))?,
            Err(problem) => problems.push(format!("{part}: {problem:#}")),
        }
    }
    if problems.is_empty() {
        return print("all parts are ok");
    }
    bail!("{}", problems.join("; "))
}
