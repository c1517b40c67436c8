//! `fiapx serve`, `fiapx api`, `fiapx worker` and `fiapx notifier`: the service or one role of it.

use anyhow::Result;
use jobs::Clock;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::console::runtime;
use super::signals::StopSignals;
use crate::cli::ServeArguments;
use crate::service::{Roles, RunningService};
use crate::telemetry;

/// Signals that stop the service. SIGHUP is none of them, which `nohup` ignores.
const STOPPING: [SignalKind; 2] = [SignalKind::terminate(), SignalKind::interrupt()];

/// Run the service, or a role of it, until a signal stops it. `name` identifies the process in
/// logs and traces.
pub(super) fn run(arguments: &ServeArguments, roles: Roles, name: &'static str) -> Result<()> {
    let settings = arguments.settings(roles.needs())?;
    let runtime = runtime()?;
    let telemetry = telemetry::start(&settings, name, runtime.handle())?;
    set_kill_points();
    let result = runtime.block_on(async {
        // Before the service says that it is ready: a signal must not kill it then.
        let mut signals = StopSignals::install(&STOPPING)?;
        let service = tokio::select! {
            started = RunningService::start(settings, roles, machine_clock()) => started?,
            _ = signals.next() => return Ok(()),
        };
        stop_at_signal(signals, service.stop_token());
        service.stopped().await
    });
    telemetry.stop();
    result
}

/// Stop the service at the next signal. A second one exits at once.
fn stop_at_signal(mut signals: StopSignals, service: CancellationToken) {
    tokio::spawn(async move {
        let first = signals.next().await;
        info!(
            "stopping: running jobs may finish within the grace period; a second signal exits at \
             once"
        );
        service.cancel();
        signals.next().await;
        std::process::exit(first.exit_status().into());
    });
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
