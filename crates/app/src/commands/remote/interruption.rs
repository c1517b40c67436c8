//! Ctrl-C and SIGTERM: a command ends at once, and leaves nothing that looks complete.

use std::future::Future;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::failures::Interrupted;

/// Run a command until it ends, or a signal ends it.
pub(super) fn run(command: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut waiting = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
        let [interrupt, terminate] = &mut waiting;
        let unavailable = "cannot install a signal handler";
        let interrupt = interrupt.as_mut().ok().context(unavailable)?;
        let terminate = terminate.as_mut().ok().context(unavailable)?;
        tokio::select! {
            result = command => result,
            _ = interrupt.recv() => Err(interrupted(SignalKind::interrupt())),
            _ = terminate.recv() => Err(interrupted(SignalKind::terminate())),
        }
    });
    // A thread that reads from a terminal does not end by itself.
    runtime.shutdown_background();
    result
}

fn interrupted(kind: SignalKind) -> anyhow::Error {
    Interrupted { signal: kind.as_raw_value() as u8 }.into()
}
