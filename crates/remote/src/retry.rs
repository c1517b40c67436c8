//! Repetition of what fails for a while.

use std::time::Duration;

use hyper::http::request;
use hyper::{Method, Request};
use jobs::Backoff;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Body, Client, empty, with_json};
use crate::error::Error;

/// Pauses between tries.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Number of failures in a row after which a temporary error ends the operation: about two minutes.
const MAX_FAILURES: u32 = 8;

/// Longest pause that the service may demand. The quota of an hour, for instance, is not waited
/// for.
const MAX_PAUSE: Duration = Duration::from_mins(2);

/// Step of an operation, for a progress bar.
#[derive(Debug)]
pub enum Step<'a> {
    /// Number of bytes that are transferred, of all.
    Bytes(u64, u64),
    /// The operation continues after a pause, because of an error.
    Pause(&'a Error),
}

/// Decides whether and when something that failed is tried again.
pub(crate) struct Retry<'a> {
    client: &'a Client,
    failures: u32,
    report: &'a (dyn Fn(Step<'_>) + Sync),
}

impl<'a> Retry<'a> {
    /// Retries for one operation, which `report` is told of.
    pub fn new(client: &'a Client, report: &'a (dyn Fn(Step<'_>) + Sync)) -> Self {
        Self { client, failures: 0, report }
    }

    /// Record that something was achieved since the last failure.
    pub fn progress(&mut self) {
        self.failures = 0;
    }

    /// Pause after an error.
    ///
    /// # Errors
    /// The error, if another try does not help: it is permanent, has occurred too often, or nothing
    /// was ever received from the service.
    pub async fn pause(&mut self, error: Error) -> Result<(), Error> {
        self.pause_for(error, Error::is_temporary).await
    }

    /// Pause after an error, if it is one of those after which the operation can go on.
    ///
    /// # Errors
    /// See [`pause`](Self::pause).
    pub async fn pause_for(
        &mut self,
        error: Error,
        is_temporary: impl Fn(&Error) -> bool,
    ) -> Result<(), Error> {
        self.failures += 1;
        let demanded = error.retry_after().unwrap_or_default();
        let is_final = !is_temporary(&error)
            || !self.client.was_reached()
            || self.failures >= MAX_FAILURES
            || demanded > MAX_PAUSE;
        if is_final {
            return Err(error);
        }
        (self.report)(Step::Pause(&error));
        tokio::time::sleep(BACKOFF.pause(self.failures, rand::random()).max(demanded)).await;
        Ok(())
    }
}

/// Random key of a request that may be repeated.
pub(crate) fn idempotency_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Request without a stream, which can be sent again.
pub(crate) struct Call<'a> {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: &'a str,
    /// JSON body.
    pub json: Option<&'a Value>,
    /// Key by which the service recognizes a repetition.
    pub idempotency_key: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// Request for a resource.
    pub fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, json: None, idempotency_key: None }
    }

    /// The request for one try.
    fn request(&self, client: &Client) -> Result<Request<Body>, Error> {
        let request: request::Builder = client.request(self.method.clone(), self.path);
        let request = match self.idempotency_key {
            Some(key) => request.header("Idempotency-Key", key),
            None => request,
        };
        match self.json {
            Some(json) => with_json(request, json),
            None => empty(request),
        }
    }

    /// Send the request until it succeeds, and parse the JSON of the response.
    pub async fn send<T: DeserializeOwned>(&self, client: &Client) -> Result<T, Error> {
        let mut retry = Retry::new(client, &|_| {});
        loop {
            match client.json(self.request(client)?).await {
                Ok(value) => return Ok(value),
                Err(error) => retry.pause(error).await?,
            }
        }
    }
}
