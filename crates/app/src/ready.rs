//! Asks a running process whether it is ready, as a container's health check does.

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

/// How long the process may take. It gives each of its parts two seconds.
const PATIENCE: Duration = Duration::from_secs(4);

/// Most bytes of an answer that are read.
const LONGEST: usize = 64 << 10;

/// What is looked at of the answer.
#[derive(Deserialize)]
struct Readiness {
    ready: bool,
    parts: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    name: String,
    reached: bool,
}

/// Ask the process that runs by these settings: where it serves its figures, or else its HTTP
/// interface.
///
/// # Errors
/// It does not answer, or is not ready; the error names the parts that it does not reach.
pub async fn ask(settings: &Settings) -> Result<()> {
    let address = reachable(settings.metrics.listen.unwrap_or(settings.server.listen));
    let uri: Uri = format!("http://{address}/ready").parse()?;
    let asking = async {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let answer = client.get(uri).await?;
        let body = Limited::new(answer.into_body(), LONGEST)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!(error))?;
        anyhow::Ok(body.to_bytes())
    };
    let body = tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| bail!("no answer within {} seconds", PATIENCE.as_secs()))
        .with_context(|| format!("the process at {address} does not answer"))?;
    let Readiness { ready, parts } = serde_json::from_slice(&body)
        .with_context(|| format!("what listens at {address} is no part of this service"))?;
    if ready {
        return Ok(());
    }
    let lacking: Vec<String> =
        parts.into_iter().filter(|part| !part.reached).map(|part| part.name).collect();
    match lacking.as_slice() {
        [] => bail!("the process at {address} is about to stop"),
        lacking => bail!("the process at {address} does not reach: {}", lacking.join(", ")),
    }
}

/// Where a process can be asked from its own machine: one that listens everywhere listens on the
/// loopback address, too.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    if listen.ip().is_unspecified() {
        listen.set_ip(match listen.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    listen
}
