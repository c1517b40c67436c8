//! HTTP server of the page and the API.

use std::time::Duration;

use anyhow::{Result, bail};
use api::{HealthChecks, Service};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http_server::HttpServer;
use crate::open_connections::ConnectionLimits;
use crate::parts::{InterfaceParts, OpenStorage, Parts};
use crate::settings::Settings;
use crate::telemetry;

/// The server, before it starts.
pub(crate) struct ApiServer {
    /// Listener for the page and the API.
    pub listener: TcpListener,
    /// Parts that the API works with.
    pub parts: Parts,
    /// Checks of the dependencies.
    pub health: HealthChecks,
    /// Renderer for `/metrics`, unless it is served on a separate address.
    pub metrics: Option<api::RenderMetrics>,
    /// Cancelled when the process has to stop.
    pub stop: CancellationToken,
    /// Time for which requests are still accepted after `stop`.
    pub notice: Duration,
}

impl ApiServer {
    /// Start serving. The server stops accepting requests after `stop` and the notice period.
    /// `api_settings` returns the settings of the API with the key of its access tokens.
    ///
    /// # Errors
    /// The parts of another role were opened.
    pub(crate) fn start(
        self,
        settings: &Settings,
        api_settings: impl FnOnce(SecretString) -> api::Settings,
    ) -> Result<JoinHandle<()>> {
        let Self { listener, parts, health, metrics, stop, notice } = self;
        let (Some(OpenStorage { storage, disk }), Some(InterfaceParts { limits, secret })) =
            (parts.storage, parts.interface)
        else {
            bail!("the HTTP interface needs a file store and a key of access tokens");
        };
        let closing = CancellationToken::new();
        let service = Service::new(
            api::Parts {
                database: parts.database,
                storage,
                disk,
                health,
                rate_limiter: limits,
                detect_container: frames::source::detect_container,
                metrics,
                current_traceparent: telemetry::current_traceparent,
                stop: stop.clone(),
                closing: closing.clone(),
            },
            api_settings(secret),
        );
        let connections = connection_limits(settings);
        let stall = Duration::from_secs(settings.upload.patience_seconds);
        let grace = Duration::from_secs(settings.grace_seconds);
        let server = HttpServer::new(listener, connections, stall, grace);
        let signal = async move {
            stop.cancelled().await;
            tokio::time::sleep(notice).await;
            closing.cancel();
        };
        let endpoint = api::endpoint(service, web::routes(), web::problem_page);
        Ok(tokio::spawn(async move { server.run(endpoint, signal).await }))
    }
}

/// Limits of connections. All connections of a proxy have its address.
fn connection_limits(settings: &Settings) -> ConnectionLimits {
    let per_network = settings.server.connections_per_address;
    ConnectionLimits {
        port: "api",
        total: settings.server.max_connections,
        per_network: (settings.server.proxies == 0).then_some(per_network),
    }
}

/// Limits of connections to the operators' port.
pub(crate) const OPERATORS_LIMITS: ConnectionLimits =
    ConnectionLimits { port: "operators", total: 256, per_network: None };
