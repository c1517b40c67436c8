//! Download of archives.

use std::path::{Component, Path, PathBuf};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::{Method, Response, StatusCode};
use jobs::JobId;
use serde::Deserialize;
use tokio::time::timeout;

use crate::client::{Client, SILENCE_TIMEOUT, empty, external, origin};
use crate::error::Error;
use crate::partial::{Partial, exists};
use crate::retry::{Call, Retry, Step};

/// Place of a downloaded archive.
#[derive(Debug, Clone)]
pub enum Destination {
    /// File with this name.
    File(PathBuf),
    /// File in this directory, with the name that the service gives.
    Directory(PathBuf),
}

/// Archive that was downloaded.
#[derive(Debug)]
pub struct Downloaded {
    /// Its file.
    pub file: PathBuf,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Number of bytes that an earlier command had downloaded.
    pub resumed_bytes: u64,
}

/// Link to an archive.
#[derive(Debug, Deserialize)]
struct Link {
    download_url: String,
    filename: String,
    size_bytes: u64,
}

impl Destination {
    /// File of an archive with this name at the service.
    fn file(&self, name: &str) -> PathBuf {
        match self {
            Self::File(file) => file.clone(),
            Self::Directory(directory) => directory.join(safe_name(name)),
        }
    }
}

/// File name that cannot lead out of its directory, hide the file, or write to a terminal.
fn safe_name(name: &str) -> String {
    let is_unsafe = |char: char| char == '/' || char.is_control();
    let name: String = name.chars().map(|char| if is_unsafe(char) { '_' } else { char }).collect();
    let is_plain = matches!(Path::new(&name).components().next(), Some(Component::Normal(_)));
    if is_plain && !name.starts_with('.') { name } else { format!("archive{name}") }
}

impl Client {
    /// Download the archive of a job. A file of another name keeps what has arrived, until it is
    /// complete. An existing file is replaced only if `replace` is set.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn download(
        &self,
        job: JobId,
        destination: &Destination,
        replace: bool,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<Downloaded, Error> {
        let mut retry = Retry::new(self, report);
        let mut resumed = None;
        loop {
            let path = format!("/jobs/{job}/download");
            let link: Link = Call::get(&path).send(self).await?;
            let file = destination.file(&link.filename);
            if !replace && file.symlink_metadata().is_ok() {
                return Err(exists(&file));
            }
            let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            let mut partial = Partial::open(directory.unwrap_or(Path::new(".")), job)?;
            let before = partial.length();
            let fetched = self.fetch(&link, &mut partial, report, &mut resumed).await;
            // Also after an error, so that the next try continues there.
            partial.flush().await?;
            if partial.length() > before {
                retry.progress();
            }
            match fetched {
                Ok(()) => {
                    partial.finish(&file, replace).await?;
                    let resumed_bytes = resumed.unwrap_or(0);
                    return Ok(Downloaded { file, size_bytes: link.size_bytes, resumed_bytes });
                }
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Fetch what is missing of an archive. `resumed` is set to the number of bytes that were there
    /// at first.
    async fn fetch(
        &self,
        link: &Link,
        partial: &mut Partial,
        report: &(dyn Fn(Step<'_>) + Sync),
        resumed: &mut Option<u64>,
    ) -> Result<(), Error> {
        // The link authorizes the request. A key must not be sent to the store.
        let mut request = external(Method::GET, &link.download_url);
        let resumption = partial.resumption(link.size_bytes);
        let resumption = resumption.map(|(start, tag)| (start, tag.to_owned()));
        if let Some((position, tag)) = &resumption {
            request = request
                .header(header::RANGE, format!("bytes={position}-"))
                .header(header::IF_RANGE, tag);
        }
        let request = empty(request)?;
        let origin = origin(request.uri());
        let response = self.send(request).await?;
        let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
        let start = if response.status() == StatusCode::PARTIAL_CONTENT {
            let (start, known) = resumption.unwrap_or_default();
            // Not every store honors `If-Range`.
            if first_byte(response.headers()) != Some(start) || tag != Some(known.as_str()) {
                partial.begin(None).await?;
                let reason = "another part of the archive arrived than requested".to_owned();
                return Err(Error::Interrupted { origin, reason });
            }
            partial.continue_at(start).await?;
            start
        } else {
            partial.begin(tag).await?;
            0
        };
        resumed.get_or_insert(start);
        receive(response, partial, link.size_bytes, &origin, report).await
    }
}

/// Write a body to the end of an archive of `size` bytes.
async fn receive(
    mut response: Response<Incoming>,
    partial: &mut Partial,
    size: u64,
    origin: &str,
    report: &(dyn Fn(Step<'_>) + Sync),
) -> Result<(), Error> {
    report(Step::Bytes(partial.length(), size));
    loop {
        let frame = timeout(SILENCE_TIMEOUT, response.frame()).await;
        let frame = frame.map_err(|_| Error::Timeout { origin: origin.to_owned() })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|error| Error::of_exchange(origin.to_owned(), &error))?;
        if let Some(data) = frame.data_ref() {
            partial.write(data).await?;
            report(Step::Bytes(partial.length(), size));
        }
        if partial.length() > size {
            break;
        }
    }
    match partial.length() {
        length if length == size => Ok(()),
        length if length < size => {
            let reason = format!("{length} of {size} bytes arrived");
            Err(Error::Interrupted { origin: origin.to_owned(), reason })
        }
        _ => {
            partial.begin(None).await?;
            let reason = format!("the archive has more than the {size} bytes that were announced");
            Err(Error::Invalid { origin: origin.to_owned(), reason })
        }
    }
}

/// First byte of the range of a response (RFC 9110, 14.4).
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_service_stay_in_the_directory() {
        let directory = Destination::Directory("d".into());
        for (name, file) in [
            ("praia.zip", "d/praia.zip"),
            ("../../etc/passwd", "d/archive.._.._etc_passwd"),
            ("/etc/passwd", "d/_etc_passwd"),
            ("..", "d/archive.."),
            (".zip", "d/archive.zip"),
            ("", "d/archive"),
            ("a\u{1b}[2Jb.zip", "d/a_[2Jb.zip"),
        ] {
            assert_eq!(directory.file(name), Path::new(file), "{name}");
        }
        assert_eq!(Destination::File("x".into()).file("y"), Path::new("x"));
    }

    #[test]
    fn ranges_are_read() {
        let first = |value: &str| {
            let value = value.parse().expect("a header value");
            first_byte(&std::iter::once((header::CONTENT_RANGE, value)).collect())
        };
        assert_eq!(first("bytes 5-9/10"), Some(5));
        assert_eq!((first("bytes */10"), first("items 5-9/10")), (None, None));
    }
}
