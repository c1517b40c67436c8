//! Files on servers: by ranges where a server has them, or as a whole.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};

use crate::client::Client;
use crate::download::{Download, Rate};
use crate::error::Error;
use crate::hosts::HostSlots;
use crate::remote_error::RemoteError;
use crate::target::Target;

/// Name of this program for servers, some of which refuse requests without one.
const USER_AGENT: &str = "fiapx";

/// Bytes of the first request, which shows whether a server has ranges.
const PROBE_BYTES: u64 = 1 << 10;

/// Number of requests for one range until its error is returned.
const TRIES: u32 = 3;

/// Pause before a range is requested again. It doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Limits of remote files.
#[derive(Debug, Clone, Copy)]
pub struct RemoteLimits {
    /// Maximum size of a file, in bytes.
    pub max_bytes: u64,
    /// Maximum time for the head of each response, and for silence within one.
    pub patience: Duration,
    /// Minimum rate of a response in bytes per second, over each period of `patience` that is spent
    /// waiting for it.
    pub min_bytes_per_second: u64,
}

/// Opens remote files. Clones share the limit of requests to one host.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    hosts: Arc<HostSlots>,
    limits: RemoteLimits,
}

/// File on a server.
pub enum Remote {
    /// File that can be read by ranges.
    Ranged(RangedFile),
    /// File that the server sends as a whole only.
    Whole(WholeFile),
}

impl Fetcher {
    /// Fetcher whose requests a client makes.
    #[must_use]
    pub fn new(client: Client, limits: RemoteLimits) -> Self {
        Self { client, hosts: Arc::default(), limits }
    }

    /// Client that makes the requests.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Open a file: by ranges if its server has them, states its size, and names its version, so
    /// that a change is noticed.
    ///
    /// # Errors
    /// The server does not provide the file, or it is too large.
    pub async fn open(&self, target: &Target) -> Result<Remote, RemoteError> {
        let probe = self.get(target, Some(0..PROBE_BYTES), None).await?;
        match probe.status {
            200 => self.whole(probe),
            206 => match RangedFile::of(self, probe).await? {
                Some(file) => Ok(Remote::Ranged(file)),
                None => self.whole(self.get(target, None, None).await?),
            },
            // An empty file has no first range (RFC 9110, 15.5.17).
            416 => self.whole(self.get(target, None, None).await?),
            status => Err(RemoteError::Status(status)),
        }
    }

    /// The file that a response contains.
    fn whole(&self, download: Download) -> Result<Remote, RemoteError> {
        let limit = self.limits.max_bytes;
        if download.status != 200 {
            return Err(RemoteError::Status(download.status));
        }
        let stated =
            download.header(&header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        if stated.is_some_and(|size: u64| size > limit) {
            return Err(RemoteError::TooLarge { limit });
        }
        let validator = Validator::of(&download).map(|validator| validator.value);
        Ok(Remote::Whole(WholeFile { download, stated, validator, received: 0, limit }))
    }

    async fn get(
        &self,
        target: &Target,
        range: Option<Range<u64>>,
        if_range: Option<&Validator>,
    ) -> Result<Download, RemoteError> {
        let mut headers = vec![
            // Ranges and sizes are those of the file itself.
            (header::ACCEPT_ENCODING, "identity".to_owned()),
            (header::USER_AGENT, USER_AGENT.to_owned()),
        ];
        if let Some(range) = range {
            headers.push((header::RANGE, format!("bytes={}-{}", range.start, range.end - 1)));
        }
        if let Some(validator) = if_range {
            headers.push((header::IF_RANGE, validator.value.clone()));
        }
        let invalid = |error: header::InvalidHeaderValue| Error::Request(error.to_string());
        let headers = headers
            .into_iter()
            .map(|(name, value)| Ok((name, HeaderValue::try_from(value).map_err(invalid)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let RemoteLimits { patience, min_bytes_per_second, .. } = self.limits;
        let rate = Rate { patience, min_bytes_per_second };
        Download::begin(&self.client, &self.hosts, target, &headers, rate).await
    }
}

/// What names a version of a file: a strong `ETag`, or `Last-Modified` (RFC 9110, 8.8).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Validator {
    name: HeaderName,
    value: String,
}

impl Validator {
    /// Validator of a response. A weak `ETag` may stay the same when bytes change.
    fn of(response: &Download) -> Option<Self> {
        let of = |name: HeaderName| {
            let value = response.header(&name)?.to_owned();
            Some(Self { name, value })
        };
        of(header::ETAG)
            .filter(|validator| validator.value.starts_with('"'))
            .or_else(|| of(header::LAST_MODIFIED))
    }

    /// Whether a response is about the same version.
    fn matches(&self, response: &Download) -> bool {
        response.header(&self.name) == Some(self.value.as_str())
    }
}

/// File that can be read by ranges. Each read is a request to the target that the first one led
/// to, so that all of them reach the same server.
pub struct RangedFile {
    fetcher: Fetcher,
    target: Target,
    validator: Validator,
    size: u64,
    head: Bytes,
}

impl RangedFile {
    /// File of the response to the first request, unless its size or its version is not known.
    async fn of(fetcher: &Fetcher, probe: Download) -> Result<Option<Self>, RemoteError> {
        let limit = fetcher.limits.max_bytes;
        let Some(ContentRange { range, size: Some(size) }) = ContentRange::of(&probe) else {
            return Ok(None);
        };
        let Some(validator) = Validator::of(&probe) else { return Ok(None) };
        if size > limit {
            return Err(RemoteError::TooLarge { limit });
        }
        if range != (0..size.min(PROBE_BYTES)) {
            return Ok(None);
        }
        let target = probe.target.clone();
        let head = probe.exactly(range.end as usize).await?;
        Ok(Some(Self { fetcher: fetcher.clone(), target, validator, size, head }))
    }

    /// Size in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// `ETag` or `Last-Modified`.
    #[must_use]
    pub fn validator(&self) -> &str {
        &self.validator.value
    }

    /// First bytes of the file: up to 1024.
    #[must_use]
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// Read exactly these bytes, all of them into memory. A range that fails for a moment is
    /// requested again.
    ///
    /// # Errors
    /// The server does not send the range, or the file has changed.
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes, RemoteError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let mut tries = 1;
        loop {
            match self.request(range.clone()).await {
                Err(error) if error.may_pass() && tries < TRIES => {
                    tokio::time::sleep(RETRY_PAUSE * 2_u32.pow(tries - 1)).await;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn request(&self, range: Range<u64>) -> Result<Bytes, RemoteError> {
        let validator = Some(&self.validator);
        let response = self.fetcher.get(&self.target, Some(range.clone()), validator).await?;
        match response.status {
            206 => {}
            // Not the version of `If-Range` (RFC 9110, 13.1.5), or it is shorter now.
            200 | 412 | 416 => return Err(RemoteError::Changed),
            status => return Err(RemoteError::Status(status)),
        }
        let answered = ContentRange::of(&response);
        let is_other =
            answered.as_ref().is_some_and(|it| it.size.is_some_and(|it| it != self.size));
        // Not every server knows `If-Range`.
        if is_other || !self.validator.matches(&response) {
            return Err(RemoteError::Changed);
        }
        if answered.is_none_or(|answered| answered.range != range) {
            return Err(Error::Answer("it contains another range".to_owned()).into());
        }
        response.exactly((range.end - range.start) as usize).await
    }
}

/// File that a server sends as a whole.
pub struct WholeFile {
    download: Download,
    stated: Option<u64>,
    validator: Option<String>,
    received: u64,
    limit: u64,
}

impl WholeFile {
    /// Size that the server states, in bytes.
    #[must_use]
    pub const fn stated_size(&self) -> Option<u64> {
        self.stated
    }

    /// `ETag` or `Last-Modified`, if there is one.
    #[must_use]
    pub fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The server broke off, is too slow, or sends more than the limit.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let chunk = self.download.chunk().await?;
        self.received += chunk.as_ref().map_or(0, Bytes::len) as u64;
        if self.received > self.limit {
            return Err(RemoteError::TooLarge { limit: self.limit });
        }
        Ok(chunk)
    }
}

/// Range in a response (RFC 9110, 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    range: Range<u64>,
    /// Size of the whole file, if it is stated.
    size: Option<u64>,
}

impl ContentRange {
    fn of(response: &Download) -> Option<Self> {
        Self::parse(response.header(&header::CONTENT_RANGE)?)
    }

    fn parse(value: &str) -> Option<Self> {
        let (range, size) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let size = if size == "*" { None } else { Some(size.parse().ok()?) };
        let is_valid = first <= last && size.is_none_or(|size| last < size);
        Some(Self { range: first..last.checked_add(1)?, size }).filter(|_| is_valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_responses_are_parsed() {
        let range = |value| ContentRange::parse(value).map(|it| (it.range, it.size));
        assert_eq!(range("bytes 0-9/10"), Some((0..10, Some(10))));
        assert_eq!(range("bytes 5-5/*"), Some((5..6, None)));
        for invalid in [
            "",
            "bytes */10",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "items 0-9/10",
            "bytes 0-9",
            "bytes a-b/c",
        ] {
            assert_eq!(range(invalid), None, "{invalid}");
        }
        assert_eq!(range(&format!("bytes 0-{}/*", u64::MAX)), None, "its end has no number");
    }
}
