//! Output and runtime shared by the subcommands.

use std::io::Write;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

/// Write a line to standard output.
pub(super) fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// Write a line to standard error. A closed stderr is ignored, so that it does not turn a success
/// into a failure.
pub(super) fn print_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Return a multi-threaded runtime.
pub(super) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the runtime")
}
