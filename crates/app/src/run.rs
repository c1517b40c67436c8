//! `fiapx serve` and its roles, `fiapx migrate`, `fiapx openapi`.

use std::io::Write;

use anyhow::{Context, Result};
use app::serve::{Roles, Running};
use app::settings::{self, Settings};
use app::{Parts, telemetry};
use jobs::Clock;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::{ConfiguredArguments, DocumentFormat, OpenapiArguments, ServeArguments};
use crate::collections;

/// Run the service, or a role of it, until a signal ends it.
pub fn serve(arguments: &ServeArguments, roles: Roles, name: &'static str) -> Result<()> {
    let settings = arguments.settings()?;
    let runtime = runtime()?;
    let telemetry = telemetry::start(&settings, name, runtime.handle())?;
    kill_points();
    let ended = runtime.block_on(async {
        let running = Running::start(settings, roles, Clock::default()).await?;
        end_on_signals(running.stopper())?;
        running.ended().await
    });
    telemetry.stop();
    ended
}

/// Bring the database's schema up to date.
pub fn migrate(arguments: &ConfiguredArguments) -> Result<()> {
    let settings = arguments.settings()?;
    runtime()?.block_on(async {
        let database = Parts::database(&settings, &Clock::default()).await?;
        database.migrate().await.context("cannot bring the database up to date")
    })?;
    say("the database is up to date")
}

/// Print the OpenAPI document in one of its forms.
pub fn openapi(arguments: &OpenapiArguments) -> Result<()> {
    let document = api::document();
    match arguments.format {
        DocumentFormat::Json => say(&document),
        DocumentFormat::Postman => say(&collections::postman(&document)?),
        DocumentFormat::Http => say(&collections::http_file(&document)?),
    }
}

/// A runtime whose blocking threads, which the engine runs on, end soon after their work.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

pub fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// Turn `stop` at the first SIGTERM or SIGINT, and end the process at the second.
fn end_on_signals(stop: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        let mut next =
            async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
        next().await;
        info!(
            "stopping: running jobs may end within the grace period; a second signal ends them at once"
        );
        stop.cancel();
        next().await;
        // As the shell tells of a process that a signal ended.
        std::process::exit(130);
    });
    Ok(())
}

/// In builds for tests, `FIAPX_KILL_AT=point:n` kills the process the n-th time that it comes to a
/// fail point.
fn kill_points() {
    #[cfg(feature = "failpoints")]
    if let Ok(wanted) = std::env::var("FIAPX_KILL_AT") {
        let (point, times) = wanted.split_once(':').unwrap_or((&wanted, "1"));
        let left = std::sync::atomic::AtomicI64::new(times.parse().unwrap_or(1));
        let kill = move || {
            if left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                // Without any clean-up, as the kernel would.
                let _ = std::process::Command::new("kill")
                    .args(["-KILL", &std::process::id().to_string()])
                    .status();
                std::process::abort();
            }
        };
        if let Err(error) = fail::cfg_callback(point, kill) {
            tracing::error!(error, "the fail point cannot be set");
        }
    }
}

impl ServeArguments {
    fn settings(&self) -> Result<Settings> {
        let overrides =
            settings::Overrides { listen: self.listen, data_dir: self.configured.data_dir.clone() };
        settings::load(self.configured.config.as_deref(), environment, overrides)
    }
}

impl ConfiguredArguments {
    pub fn settings(&self) -> Result<Settings> {
        let overrides = settings::Overrides { listen: None, data_dir: self.data_dir.clone() };
        settings::load(self.config.as_deref(), environment, overrides)
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
