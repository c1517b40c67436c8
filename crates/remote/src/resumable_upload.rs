//! Upload of a video that continues where it was interrupted (tus 1.0.0, "Resumable Upload
//! Protocol"), also by a later command.

use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap};
use hyper::http::request;
use hyper::{Method, Uri};
use jobs::{JobId, Recipe};
use serde_json::json;

use crate::client::{Client, empty, origin, with_body};
use crate::error::Error;
use crate::job::AcceptedVideo;
use crate::retry::{Retry, Step};
use crate::upload_records::{RecordName, UploadRecords};
use crate::video_file::VideoFile;

/// Header with the version of the protocol, in requests.
const VERSION: (&str, &str) = ("Tus-Resumable", "1.0.0");

/// Header with the supported versions.
const VERSIONS: &str = "Tus-Version";

/// Header with the number of bytes that are stored.
const OFFSET: &str = "Upload-Offset";

/// Header with the id of the job that an upload has become.
const JOB: &str = "X-Job-Id";

/// Path at which uploads are created.
const PATH: &str = "/uploads";

/// Maximum size of the metadata, in bytes: proxies limit headers to 8 KiB.
const MAX_METADATA_BYTES: usize = 6 << 10;

/// State of an upload.
struct State {
    offset: u64,
    job: Option<JobId>,
}

/// Metadata of an upload, as the value of a header; `None` if the recipe is too long for one.
pub(crate) fn metadata(video: &VideoFile, recipe: &Recipe) -> Option<String> {
    let name = STANDARD.encode(&video.name);
    let metadata = if *recipe == Recipe::default() {
        format!("filename {name}")
    } else {
        format!("filename {name},recipe {}", STANDARD.encode(json!(recipe).to_string()))
    };
    Some(metadata).filter(|metadata| metadata.len() <= MAX_METADATA_BYTES)
}

impl Client {
    /// Return whether the service has resumable uploads.
    pub(crate) async fn has_resumable_uploads(&self) -> Result<bool, Error> {
        let response = self.send(empty(self.request(Method::OPTIONS, PATH))?).await;
        match response {
            Ok(response) => {
                let versions =
                    response.headers().get(VERSIONS).and_then(|value| value.to_str().ok());
                let mut versions = versions.unwrap_or_default().split(',').map(str::trim);
                Ok(versions.any(|version| version == VERSION.1))
            }
            Err(error) if error.is_temporary() => Err(error),
            // An earlier version of the service does not know the path.
            Err(_) => Ok(false),
        }
    }

    /// Upload a video with its metadata, or continue an upload that is recorded.
    pub(crate) async fn upload_resumable(
        &self,
        video: &VideoFile,
        metadata: &str,
        records: &UploadRecords,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<AcceptedVideo, Error> {
        let name = self.record_name(video, metadata);
        let (mut url, mut stored) = (records.find(&name), 0);
        let mut retry = Retry::new(self, report);
        loop {
            let before = stored;
            if url.is_none() {
                match self.create_upload(video, metadata).await {
                    Ok(created) => records.add(&name, url.insert(created))?,
                    Err(error) => retry.pause(error).await?,
                }
            }
            let Some(known) = &url else { continue };
            let error = match self.continue_upload(video, known, &mut stored, report).await {
                Ok(job_id) => {
                    records.remove(&name);
                    let (filename, status) = (video.name.clone(), "QUEUED".to_owned());
                    return Ok(AcceptedVideo { job_id, filename, status });
                }
                Err(error) => error,
            };
            if stored > before {
                retry.progress();
            }
            if is_gone(&error) {
                // It has expired, was ended, or belongs to another user: begin another one.
                (url, stored) = (None, 0);
                records.remove(&name);
                retry.pause_for(error, |_| true).await?;
            } else {
                if !is_continued(&error) && !error.is_of_credentials() {
                    records.remove(&name);
                }
                retry.pause_for(error, is_continued).await?;
            }
        }
    }

    /// Send what is missing of an upload, and return the job that it becomes. `stored` is set to
    /// the number of bytes that the service has before that.
    async fn continue_upload(
        &self,
        video: &VideoFile,
        url: &str,
        stored: &mut u64,
        report: &(dyn Fn(Step<'_>) + Sync),
    ) -> Result<JobId, Error> {
        let request = empty(self.tus(Method::HEAD, url))?;
        let at = origin(request.uri());
        let state = state(&at, self.send(request).await?.headers())?;
        if let Some(job) = state.job {
            return Ok(job);
        }
        *stored = state.offset;
        report(Step::Bytes(state.offset, video.size));
        let (reader, reading) = video.open(state.offset)?;
        let pieces = reader.pieces().map(|piece| piece.map(Frame::data));
        let request = self
            .tus(Method::PATCH, url)
            .header(OFFSET, state.offset)
            .header(header::CONTENT_TYPE, "application/offset+octet-stream")
            .header(header::CONTENT_LENGTH, video.size.saturating_sub(state.offset));
        let request = with_body(request, StreamBody::new(pieces).boxed_unsync())?;
        let response = self.send_video(request, video, &reading, report).await?;
        let State { offset, job } = self::state(&at, response.headers())?;
        job.ok_or_else(|| {
            let reason = format!("{offset} of {} bytes are stored", video.size);
            Error::Interrupted { origin: at, reason }
        })
    }

    /// Create an upload, and return its URL.
    async fn create_upload(&self, video: &VideoFile, metadata: &str) -> Result<String, Error> {
        let request = self
            .request(Method::POST, PATH)
            .header(VERSION.0, VERSION.1)
            .header("Upload-Length", video.size)
            .header("Upload-Metadata", metadata)
            .header(header::CONTENT_LENGTH, 0);
        let request = empty(request)?;
        let at = origin(request.uri());
        let response = self.send(request).await?;
        let location = response.headers().get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let url = if location.starts_with('/') {
            self.server().url(location)
        } else {
            location.to_owned()
        };
        // The key is not sent to another server.
        let is_same = url.parse::<Uri>().is_ok_and(|url| origin(&url) == at);
        if is_same {
            return Ok(url);
        }
        let reason = format!("its upload is at another server: `{location}`");
        Err(Error::Invalid { origin: at, reason })
    }

    /// Request for an upload.
    fn tus(&self, method: Method, url: &str) -> request::Builder {
        self.authorize(method, url).header(VERSION.0, VERSION.1)
    }

    /// Name of the record of an upload. One that continues has the same bytes and the same recipe.
    fn record_name(&self, video: &VideoFile, metadata: &str) -> RecordName {
        let path = video.path.canonicalize().unwrap_or_else(|_| video.path.clone());
        let modified = video.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let version = format!("{} {:?}", video.size, modified);
        let path = path.to_string_lossy();
        RecordName::of(&[&self.server().to_string(), &path, &version, metadata])
    }
}

/// State of an upload by the headers of a response.
fn state(origin: &str, headers: &HeaderMap) -> Result<State, Error> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let offset = value(OFFSET).and_then(|offset| offset.parse().ok());
    let job = value(JOB).and_then(|id| id.parse().ok());
    let offset = offset.ok_or_else(|| Error::Invalid {
        origin: origin.to_owned(),
        reason: format!("it has no {OFFSET}"),
    })?;
    Ok(State { offset, job })
}

/// Return whether an upload does not exist any more for this key. If the key is the reason, it
/// cannot create another one either.
fn is_gone(error: &Error) -> bool {
    matches!(error.status(), Some(403 | 404 | 410))
}

/// Return whether an upload can be continued after an error: also when the offset is another one
/// (409), or another request writes it (409, 423).
fn is_continued(error: &Error) -> bool {
    error.is_temporary() || matches!(error.status(), Some(409 | 423))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_encoded_unless_it_is_too_long() {
        let video = VideoFile {
            path: "a/Ação.mp4".into(),
            name: "Ação.mp4".to_owned(),
            size: 1,
            modified: None,
        };
        let encoded = metadata(&video, &Recipe::default());
        assert_eq!(encoded.as_deref(), Some("filename QcOnw6NvLm1wNA=="));
        let recipe = Recipe::from_json(br#"{"select": {"every": 2}}"#).expect("it is valid");
        let encoded = metadata(&video, &recipe).expect("it is short");
        let (_, recipe) = encoded.split_once(",recipe ").expect("it has the recipe");
        assert!(STANDARD.decode(recipe).is_ok_and(|json| json.starts_with(b"{")), "{recipe}");
        let name = "n".repeat(MAX_METADATA_BYTES);
        assert_eq!(metadata(&VideoFile { name, ..video }, &Recipe::default()), None);
    }
}
