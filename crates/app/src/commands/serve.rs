//! `fiapx serve`, `fiapx api`, `fiapx worker` and `fiapx notifier`: the service or one role of it.

use anyhow::{Context, Result};
use jobs::Clock;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::console::runtime;
use crate::cli::ServeArguments;
use crate::service::{Roles, RunningService};
use crate::telemetry;

/// Exit status after a second signal: 128 and the number of SIGINT, as shells report it.
const INTERRUPTED: i32 = 130;

/// Run the service, or a role of it, until a signal stops it. `name` identifies the process in
/// logs and traces.
pub(super) fn run(arguments: &ServeArguments, roles: Roles, name: &'static str) -> Result<()> {
    let settings = arguments.settings()?;
    let runtime = runtime()?;
    let telemetry = telemetry::start(&settings, name, runtime.handle())?;
    set_kill_points();
    let result = runtime.block_on(async {
        let service = RunningService::start(settings, roles, machine_clock()).await?;
        stop_on_signals(service.stop_token())?;
        service.stopped().await
    });
    telemetry.stop();
    result
}

/// Stop on SIGTERM and SIGINT. A second signal exits at once.
fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let mut terminate =
        signal(SignalKind::terminate()).context("cannot install a signal handler")?;
    let mut interrupt =
        signal(SignalKind::interrupt()).context("cannot install a signal handler")?;
    tokio::spawn(async move {
        let mut next =
            async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        info!(
            "stopping: running jobs may finish within the grace period; a second signal exits at \
             once"
        );
        stop.cancel();
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// Clock of this machine. In builds with the feature `failpoints`, `FIAPX_CLOCK_ERROR` is the
/// number of seconds by which it is wrong.
fn machine_clock() -> Clock {
    #[cfg(feature = "failpoints")]
    if let Ok(error) = std::env::var("FIAPX_CLOCK_ERROR") {
        match error.parse() {
            Ok(seconds) => return Clock::with_machine_error(chrono::TimeDelta::seconds(seconds)),
            Err(error) => tracing::error!(%error, "FIAPX_CLOCK_ERROR is not a number"),
        }
    }
    Clock::default()
}

/// In builds with the feature `failpoints`, `FIAPX_KILL_AT=point:n` kills the process the n-th time
/// that it reaches the fail point, and `FIAPX_FREEZE_AT=point:n` suspends it there.
fn set_kill_points() {
    #[cfg(feature = "failpoints")]
    for (variable, signal) in [("FIAPX_KILL_AT", "KILL"), ("FIAPX_FREEZE_AT", "STOP")] {
        let Ok(wanted) = std::env::var(variable) else { continue };
        let (point, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        let left = std::sync::atomic::AtomicI64::new(times.parse().unwrap_or(1));
        let act = move || {
            if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                // A signal, so that no clean-up runs.
                let _ = std::process::Command::new("kill")
                    .args([format!("-{signal}"), std::process::id().to_string()])
                    .status();
                if signal == "KILL" {
                    std::process::abort();
                }
            }
        };
        if let Err(error) = fail::cfg_callback(point, act) {
            tracing::error!(error, variable, "cannot set the fail point");
        }
    }
}
