//! HTTP client for a collector. It runs on the runtime of the process, because the exporter has its
//! own thread and no runtime.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tracing::{info, warn};

/// Maximum time for one request (OpenTelemetry Protocol Exporter, timeout).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response, in bytes. Only errors are read from it.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// Error of the last request to a collector, if it failed.
#[derive(Debug, Clone, Default)]
pub struct CollectorError(Arc<Mutex<Option<String>>>);

impl CollectorError {
    /// Return the error of the last request.
    pub fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }

    /// Record the result of a request. Log the first failure, and the recovery.
    fn record(&self, error: Option<String>) {
        let previous = std::mem::replace(&mut *self.0.lock(), error.clone());
        match (previous, error) {
            (None, Some(error)) => {
                warn!(error, "the collector does not accept traces; they are discarded");
            }
            (Some(_), None) => info!("the collector accepts traces again"),
            _ => {}
        }
    }
}

/// HTTP client for a collector.
pub struct Collector<C> {
    client: Client<C, Full<Bytes>>,
    runtime: Handle,
    error: CollectorError,
}

impl Collector<HttpConnector> {
    /// Connect without TLS.
    pub fn http(runtime: Handle, error: CollectorError) -> Self {
        Self::new(HttpConnector::new(), runtime, error)
    }
}

impl Collector<HttpsConnector<HttpConnector>> {
    /// Connect with TLS. Certificates are verified with the root certificates of the system.
    pub fn https(runtime: Handle, error: CollectorError) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("the system has no root certificates")?;
        Ok(Self::new(connector.https_only().enable_http1().build(), runtime, error))
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> Collector<C> {
    fn new(connector: C, runtime: Handle, error: CollectorError) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector), runtime, error }
    }
}

#[async_trait]
impl<C: Connect + Clone + Send + Sync + 'static> HttpClient for Collector<C> {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            Ok::<_, HttpError>(Response::from_parts(
                head,
                Limited::new(body, MAX_RESPONSE_BYTES).collect().await?.to_bytes(),
            ))
        };
        // A task that is cancelled when the process ends is not recorded as an error of the
        // collector.
        let result = self
            .runtime
            .spawn(async { tokio::time::timeout(REQUEST_TIMEOUT, exchange).await })
            .await?;
        let result =
            result.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        self.error.record(match &result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it responds with {}", response.status())),
            Err(error) => Some(with_causes(&**error)),
        });
        result
    }
}

/// Format an error with its causes.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl<C> fmt::Debug for Collector<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Collector").field("error", &self.error).finish_non_exhaustive()
    }
}
