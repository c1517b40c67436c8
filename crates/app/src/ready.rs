//! Readiness check of a running process, for health checks of containers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use poem::http::Uri;
use serde::Deserialize;

use crate::settings::Settings;

/// Maximum time for a response. The process allows two seconds for each of its parts.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Maximum size of a response body, in bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Fields of the response of `/ready` that are used here.
#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    reached: bool,
    /// Missing in responses of release 0.1.0, whose processes required all parts.
    #[serde(default = "always")]
    required: bool,
}

const fn always() -> bool {
    true
}

/// Check whether the process that runs with these settings is ready. Uses `metrics.listen` if set,
/// otherwise `server.listen`.
///
/// # Errors
/// The process does not respond, or is not ready. The message names the unreachable parts that
/// it requires.
pub async fn check(settings: &Settings) -> Result<()> {
    let address = connectable(settings.metrics.listen.unwrap_or(settings.server.listen));
    let uri: Uri = format!("http://{address}/ready").parse()?;
    let request = async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let response = client.get(uri).await?;
        let body = Limited::new(response.into_body(), MAX_BODY_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        anyhow::Ok(body.to_bytes())
    };
    let body = tokio::time::timeout(TIMEOUT, request)
        .await
        .unwrap_or_else(|_| bail!("timed out after {} seconds", TIMEOUT.as_secs()))
        .with_context(|| format!("the process at {address} does not respond"))?;
    let Readiness { ready, parts } = serde_json::from_slice(&body)
        .with_context(|| format!("the process at {address} is not fiapx"))?;
    if ready {
        return Ok(());
    }
    let missing = parts.into_iter().filter(|part| part.required && !part.reached);
    let unreachable: Vec<String> = missing.map(|part| part.name).collect();
    match unreachable.as_slice() {
        [] => bail!("the process at {address} is not ready: it is stopping, or its log says why"),
        names => bail!("the process at {address} cannot reach: {}", names.join(", ")),
    }
}

/// Replace an unspecified address by the loopback address, to which connections can be made.
fn connectable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
