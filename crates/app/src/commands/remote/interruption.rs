//! Ctrl-C and SIGTERM: a command ends at once, and leaves nothing that looks complete.

use std::future::Future;

use anyhow::{Context, Result};
use tokio::signal::unix::SignalKind;

use super::super::signals::StopSignals;

/// Run a command until it ends, or a signal ends it.
pub(super) fn run(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let mut signals = StopSignals::install(&kinds)?;
        tokio::select! {
            result = command => result,
            interrupted = signals.next() => Err(interrupted.into()),
        }
    });
    // A thread that reads from a terminal does not end by itself.
    runtime.shutdown_background();
    result
}
