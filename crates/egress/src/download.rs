//! Responses to GET requests, after redirects, as they arrive.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::client::Client;
use crate::error::Error;
use crate::hosts::{HostSlot, HostSlots};
use crate::pace::Pace;
use crate::remote_error::RemoteError;
use crate::target::Target;

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 5;

/// Rate that is required of servers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Maximum time for the head of each response, and period of the rate.
    pub(crate) patience: Duration,
    /// Bytes per second over each period of waiting.
    pub(crate) min_bytes_per_second: u64,
}

/// Response whose body is read as it arrives.
pub(crate) struct Download {
    /// Target that responded, after redirects.
    pub(crate) target: Target,
    /// HTTP status.
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Incoming,
    pace: Pace,
    _connection: AbortOnDropHandle<()>,
    _slot: HostSlot,
}

impl Download {
    /// Ask for a target, and follow redirects. Each target is checked like the first one.
    pub(crate) async fn begin(
        client: &Client,
        hosts: &HostSlots,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        rate: Rate,
    ) -> Result<Self, RemoteError> {
        let mut target = target.clone();
        for _ in 0..=MAX_REDIRECTS {
            let slot = hosts.acquire(target.host()).await;
            let exchange = timeout(rate.patience, client.get(&target, headers.to_vec()));
            let (response, connection) = exchange.await.map_err(|_| Error::Timeout)??;
            if let Some(next) = redirection(client, &target, &response)? {
                target = next;
                continue;
            }
            let (head, body) = response.into_parts();
            return Ok(Self {
                target,
                status: head.status.as_u16(),
                headers: head.headers,
                body,
                pace: Pace::new(rate.patience, rate.min_bytes_per_second),
                _connection: connection,
                _slot: slot,
            });
        }
        Err(RemoteError::Redirects)
    }

    /// Value of a header, if it is text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        loop {
            let began = Instant::now();
            let frame = timeout(self.pace.left(), self.body.frame()).await;
            let waited = began.elapsed();
            let Ok(frame) = frame else {
                // The period is over.
                if self.pace.record(0, self.pace.left().max(waited)) {
                    continue;
                }
                return Err(RemoteError::Slow);
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| Error::Answer(error.to_string()))?;
            let data = frame.into_data().unwrap_or_default();
            if !self.pace.record(data.len(), waited) {
                return Err(RemoteError::Slow);
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// Read the body, which has this length.
    pub(crate) async fn exactly(mut self, length: usize) -> Result<Bytes, RemoteError> {
        let mut bytes = Vec::with_capacity(length);
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > length {
                return Err(wrong_length());
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.len() == length { Ok(bytes.into()) } else { Err(wrong_length()) }
    }
}

fn wrong_length() -> RemoteError {
    Error::Answer("its body has another length than requested".to_owned()).into()
}

/// Target to which a response redirects, if it does (RFC 9110, 15.4).
fn redirection(
    client: &Client,
    from: &Target,
    response: &Response<Incoming>,
) -> Result<Option<Target>, RemoteError> {
    if ![301, 302, 303, 307, 308].contains(&response.status().as_u16()) {
        return Ok(None);
    }
    let location = response.headers().get(header::LOCATION).and_then(|it| it.to_str().ok());
    let Some(location) = location else { return Ok(None) };
    let next = from.redirected(location, client.policy()).map_err(RemoteError::Redirect)?;
    if from.is_encrypted() && !next.is_encrypted() {
        return Err(RemoteError::Downgrade);
    }
    Ok(Some(next))
}
