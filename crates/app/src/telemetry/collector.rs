//! The way to a collector: HTTP on the run-time of the process, for an exporter that has a thread
//! of its own and no run-time.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;
use tracing::{info, warn};

/// Longest time for one request (OpenTelemetry Protocol Exporter, timeout).
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes of an answer, of which nothing is read but an error.
const ANSWER: usize = 1 << 20;

/// Why a collector fails, as long as it does.
#[derive(Debug, Clone, Default)]
pub struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// What came of the last request.
    pub fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Note what came of a request, and log that the collector fails, once, and that it does not
    /// any more.
    fn note(&self, trouble: Option<String>) {
        let before = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            trouble.clone(),
        );
        match (before, trouble) {
            (None, Some(error)) => {
                warn!(error, "the collector does not take traces; they get lost, and nothing else");
            }
            (Some(_), None) => info!("the collector takes traces again"),
            _ => {}
        }
    }
}

/// A collector.
pub struct Collector<C> {
    client: Client<C, Full<Bytes>>,
    runtime: Handle,
    trouble: Trouble,
}

impl Collector<HttpConnector> {
    /// One that is spoken to without encryption.
    pub fn plain(runtime: Handle, trouble: Trouble) -> Self {
        Self::by(HttpConnector::new(), runtime, trouble)
    }
}

impl Collector<HttpsConnector<HttpConnector>> {
    /// One that has to prove its name by the system's certificates.
    pub fn by_tls(runtime: Handle, trouble: Trouble) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("the system has no certificates to trust")?;
        Ok(Self::by(connector.https_only().enable_http1().build(), runtime, trouble))
    }
}

impl<C: Connect + Clone + Send + Sync + 'static> Collector<C> {
    fn by(connector: C, runtime: Handle, trouble: Trouble) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build(connector), runtime, trouble }
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
                Limited::new(body, ANSWER).collect().await?.to_bytes(),
            ))
        };
        // The task is cancelled when the process ends, which is not the collector's fault.
        let answer =
            self.runtime.spawn(async { tokio::time::timeout(PATIENCE, exchange).await }).await?;
        let answer =
            answer.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        self.trouble.note(match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(in_full(&**error)),
        });
        answer
    }
}

/// An error with what caused it.
fn in_full(error: &(dyn Error + 'static)) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl<C> fmt::Debug for Collector<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Collector").field("trouble", &self.trouble).finish_non_exhaustive()
    }
}
