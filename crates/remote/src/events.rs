//! Events of a job, until it is finished.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Response};
use jobs::JobId;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::client::{Client, SILENCE_TIMEOUT, empty, origin};
use crate::error::Error;
use crate::job::{Job, Progress, is_final};
use crate::retry::{Retry, Step};

/// Maximum size of a line in a stream of events, in bytes.
const MAX_LINE_BYTES: usize = 256 << 10;

/// Event of a job.
#[derive(Debug, Clone)]
pub struct Event {
    /// State of the job.
    pub status: String,
    /// Progress of the current attempt.
    pub progress: Progress,
    /// The event as it was received.
    pub json: Value,
}

/// Members of an event that this version reads.
#[derive(Deserialize)]
struct Members {
    status: String,
    progress: Progress,
}

impl Client {
    /// Follow a job until it is finished, and return it. `observe` gets each event, and the current
    /// state again after the connection was lost.
    ///
    /// # Errors
    /// See [`Error`]. The failure of a job is none.
    pub async fn follow(
        &self,
        id: JobId,
        observe: &(dyn Fn(&Event) + Sync),
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Job, Error> {
        let mut retry = Retry::new(self, report);
        loop {
            let mut is_finished = false;
            let mut pass_on = |event: &Event| {
                is_finished = is_final(&event.status);
                observe(event);
            };
            if let Err(error) = self.stream(id, &mut pass_on).await {
                retry.pause(error).await?;
            } else {
                let job = self.job(id).await?;
                if is_finished || job.is_finished() {
                    return Ok(job);
                }
                // A process of the service that stops ends its streams.
                let (origin, reason) = (self.server().to_string(), "the stream ended".to_owned());
                retry.pause(Error::Interrupted { origin, reason }).await?;
            }
        }
    }

    /// Pass on the events of one stream.
    async fn stream(&self, id: JobId, observe: &mut dyn FnMut(&Event)) -> Result<(), Error> {
        let request = self.request(Method::GET, &format!("/jobs/{id}/events"));
        let request = empty(request.header(header::ACCEPT, "text/event-stream"))?;
        let origin = origin(request.uri());
        let response = self.send(request).await?;
        let mut lines = Lines { response, origin, read: Vec::new() };
        while let Some(line) = lines.next().await? {
            let Some(data) = line.strip_prefix("data:") else { continue };
            observe(&parse(data).map_err(|error| Error::Invalid {
                origin: lines.origin.clone(),
                reason: error.to_string(),
            })?);
        }
        Ok(())
    }
}

/// Parse the data of an event.
fn parse(data: &str) -> serde_json::Result<Event> {
    let json: Value = serde_json::from_str(data)?;
    let Members { status, progress } = Members::deserialize(&json)?;
    Ok(Event { status, progress, json })
}

/// Lines of a stream (HTML, 9.2.5). The service ends them with a line feed, and writes the data of
/// an event on one line.
struct Lines {
    response: Response<Incoming>,
    origin: String,
    /// What was received of the next lines.
    read: Vec<u8>,
}

impl Lines {
    /// Return the next line; `None` at the end of the stream.
    async fn next(&mut self) -> Result<Option<String>, Error> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.read.len() > MAX_LINE_BYTES {
                let (origin, reason) = (self.origin.clone(), "an event is too long".to_owned());
                return Err(Error::Invalid { origin, reason });
            }
            let frame = timeout(SILENCE_TIMEOUT, self.response.frame()).await;
            let frame = frame.map_err(|_| Error::Timeout { origin: self.origin.clone() })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Error::of_exchange(self.origin.clone(), &error)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.read.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_later_versions_are_understood() {
        let data = r#" {"status": "NEW", "progress": {"done": 1, "expected": null}, "more": 1}"#;
        let event = parse(data).expect("it has the known members");
        assert_eq!((event.status.as_str(), event.progress.done), ("NEW", 1));
        assert_eq!(event.json["more"], 1);
        assert!(parse("{}").is_err() && parse("").is_err());
    }
}
