//! Telemetry of the process: a log on standard output, and traces if there is a collector.

mod collector;
mod traces;
mod log;

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

use crate::settings::{LogFormat, Settings};
use traces::Traces;

pub use traces::{check, current_traceparent};

/// Telemetry of the process. Traces are sent until it is stopped.
pub struct Telemetry {
    traces: Option<Traces>,
}

/// Start logging and tracing as `service`.
///
/// # Errors
/// The log level is invalid, the collector cannot be used, or logging was started before.
pub fn start(settings: &Settings, service: &'static str, runtime: &Handle) -> Result<Telemetry> {
    let filter = log::filter(&settings.log)?;
    let messaging = if settings.broker.url.is_some() { "rabbitmq" } else { "fiapx" };
    let endpoint = settings.telemetry.otlp_endpoint.as_deref();
    let traces = endpoint
        .map(|endpoint| Traces::start(endpoint, service, messaging, runtime))
        .transpose()?;
    let terminal = io::stdout().is_terminal();
    let as_text = match settings.log.format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let result = if as_text {
        install(log::text(filter, io::stdout, terminal), traces.as_ref())
    } else {
        install(log::json(filter, io::stdout, service), traces.as_ref())
    };
    result.context("logging was started before")?;
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Send the remaining spans. Blocks for a few seconds at most. The runtime must still be
    /// running.
    pub fn stop(self) {
        if let Some(traces) = self.traces {
            traces.stop();
        }
    }
}

/// Make a subscriber for the log, with the layer of the traces, the global default.
fn install<S>(log: S, traces: Option<&Traces>) -> Result<(), SetGlobalDefaultError>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup> + Send + Sync,
{
    match traces {
        Some(traces) => tracing::subscriber::set_global_default(log.with(traces.layer())),
        None => tracing::subscriber::set_global_default(log),
    }
}
