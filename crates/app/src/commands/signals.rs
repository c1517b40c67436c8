//! Signals that stop a command.

use std::sync::{Arc, OnceLock};
use std::thread;

use anyhow::{Context, Result};
use futures_util::future::select_all;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal ended the command.
#[derive(Debug, Clone, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted {
    kind: SignalKind,
}

impl Interrupted {
    /// Exit status that shells report for a program that the signal ends: 130 after Ctrl-C.
    pub(super) fn exit_status(&self) -> u8 {
        128_u8.saturating_add(u8::try_from(self.kind.as_raw_value()).unwrap_or(u8::MAX))
    }
}

/// Handlers of signals, which end the process no longer.
pub(super) struct StopSignals(Vec<(SignalKind, Signal)>);

impl StopSignals {
    /// Install handlers of at least one kind of signals. Called within a runtime.
    pub(super) fn install(kinds: &[SignalKind]) -> Result<Self> {
        let install = |kind: &SignalKind| signal(*kind).map(|handler| (*kind, handler));
        let installed: std::io::Result<Vec<_>> = kinds.iter().map(install).collect();
        installed.map(Self).context("cannot install a signal handler")
    }

    /// Wait for the next signal.
    pub(super) async fn next(&mut self) -> Interrupted {
        let waiting: Vec<_> =
            self.0.iter_mut().map(|(kind, signal)| Box::pin(next_of(*kind, signal))).collect();
        select_all(waiting).await.0
    }
}

async fn next_of(kind: SignalKind, signal: &mut Signal) -> Interrupted {
    signal.recv().await;
    Interrupted { kind }
}

/// Result of waiting for a signal beside a command that does not use a runtime.
pub(super) struct Interruption(Arc<OnceLock<Interrupted>>);

impl Interruption {
    /// Call `stop` on another thread at the first SIGINT, SIGTERM or SIGHUP.
    pub(super) fn watch(stop: impl FnOnce() + Send + 'static) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let mut signals = {
            let _within = runtime.enter();
            StopSignals::install(&kinds)?
        };
        let received = Arc::new(OnceLock::new());
        let interruption = Self(Arc::clone(&received));
        let wait = move || {
            // The only value that is ever set.
            let _ = received.set(runtime.block_on(signals.next()));
            stop();
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)
            .context("cannot start the thread that waits for signals")?;
        Ok(interruption)
    }

    /// The signal, if there was one.
    pub(super) fn signal(&self) -> Option<Interrupted> {
        self.0.get().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_those_of_shells() {
        let statuses = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()]
            .map(|kind| Interrupted { kind }.exit_status());
        assert_eq!(statuses, [129, 130, 143]);
    }
}
