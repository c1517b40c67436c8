//! Archives on this machine's disk, for whoever has a signed link. With an S3 store, links lead
//! there instead.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream;
use poem::Body;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::Data;
use poem::web::headers::{ETag, HeaderMapExt, IfRange};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Binary;
use poem_openapi::{ApiResponse, OpenApi};
use storage::disk::LinkError;
use storage::{Key, Object, content_disposition};

use crate::Service;
use crate::accounts::Group;
use crate::problem::{Problem, Refusal, refusals};

/// Bytes that are read at once: what a slow client keeps in memory.
const PIECE: u64 = 256 << 10;

#[derive(ApiResponse)]
enum Served {
    /// The whole archive.
    #[oai(status = 200, content_type = "application/zip")]
    Whole(
        Binary<Body>,
        /// Always `bytes`.
        #[oai(header = "Accept-Ranges")]
        String,
        /// The name to save it under (RFC 6266).
        #[oai(header = "Content-Disposition")]
        String,
        /// Changes never, as the archive does.
        #[oai(header = "ETag")]
        String,
        /// Bytes that follow.
        #[oai(header = "Content-Length")]
        u64,
    ),
    /// The range that was asked for.
    #[oai(status = 206, content_type = "application/zip")]
    Part(
        Binary<Body>,
        /// Always `bytes`.
        #[oai(header = "Accept-Ranges")]
        String,
        /// The name to save it under (RFC 6266).
        #[oai(header = "Content-Disposition")]
        String,
        /// Changes never, as the archive does.
        #[oai(header = "ETag")]
        String,
        /// Bytes that follow.
        #[oai(header = "Content-Length")]
        u64,
        /// Which bytes of how many.
        #[oai(header = "Content-Range")]
        String,
    ),
}

refusals! {
    FileRefusals {
        400: "A parameter is missing.",
        403: "The link is not one of ours.",
        404: "There is no such file.",
        410: "The link has expired.",
        416: "The range lies behind the end.",
        500: "A fault of the service.",
        503: "A part of the service is not available.",
    }
}

/// The operation that serves links.
pub struct Files;

#[OpenApi(tag = "Group::Videos")]
impl Files {
    /// Fetch an archive by its link
    ///
    /// The links of `GET /jobs/{id}/download` lead here when archives lie on the service's own
    /// disk. No access token is needed.
    #[oai(path = "/files/videos/:user/:job/:name", method = "get")]
    #[allow(clippy::too_many_arguments, reason = "they are the parts of the link")]
    async fn file(
        &self,
        service: Data<&Arc<Service>>,
        headers: &HeaderMap,
        /// Part of the link.
        user: Path<String>,
        /// Part of the link.
        job: Path<String>,
        /// Part of the link.
        name: Path<String>,
        /// When the link expires, in seconds since 1970.
        expires: Query<i64>,
        /// The name to save the archive under.
        filename: Query<String>,
        /// What makes the link ours.
        signature: Query<String>,
    ) -> Result<Served, Refusal<FileRefusals>> {
        let nothing =
            || Problem::new(StatusCode::NOT_FOUND, "FILE_NOT_FOUND", "There is no such file.");
        let disk = service.parts.disk.as_ref().ok_or_else(nothing)?;
        let key = format!("videos/{}/{}/{}", user.0, job.0, name.0);
        let key =
            disk.verify_link(&key, expires.0, &filename.0, &signature.0).map_err(|error| {
                match error {
                    LinkError::Expired => Problem::new(
                        StatusCode::GONE,
                        "LINK_EXPIRED",
                        "The link has expired. Ask for another.",
                    ),
                    LinkError::Invalid => Problem::new(
                        StatusCode::FORBIDDEN,
                        "LINK_INVALID",
                        "The link is not one of ours.",
                    ),
                }
            })?;
        let object = service.parts.storage.head(&key).await.map_err(|error| match error {
            storage::Error::NotFound { .. } => nothing(),
            error => error.into(),
        })?;
        let etag = format!("\"{}-{}-{}\"", name.0, object.size, object.modified.timestamp());
        let disposition = content_disposition(&filename.0);
        let bytes = "bytes".to_owned();
        let Some(range) = wanted(headers, &etag, object.size)? else {
            let body = Binary(body(&service, &object, 0..object.size, PIECE));
            return Ok(Served::Whole(body, bytes, disposition, etag, object.size));
        };
        let told = format!("bytes {}-{}/{}", range.start, range.end - 1, object.size);
        let length = range.end - range.start;
        Ok(Served::Part(
            Binary(body(&service, &object, range, PIECE)),
            bytes,
            disposition,
            etag,
            length,
            told,
        ))
    }
}

/// The bytes of an object, read as the client takes them, so many at once.
pub fn body(service: &Service, object: &Object, range: Range<u64>, piece: u64) -> Body {
    let (storage, key) = (Arc::clone(&service.parts.storage), object.key.clone());
    Body::from_bytes_stream(stream::try_unfold(range, move |left| {
        let (storage, key): (_, Key) = (Arc::clone(&storage), key.clone());
        async move {
            let piece = left.start..left.end.min(left.start + piece);
            if piece.is_empty() {
                return Ok::<_, std::io::Error>(None);
            }
            let bytes = storage.read(&key, piece.clone()).await.map_err(std::io::Error::other)?;
            Ok(Some((bytes, piece.end..left.end)))
        }
    }))
}

/// The one range that was asked for (RFC 9110, 14.2). What is no range and what has changed since
/// get the whole.
fn wanted(headers: &HeaderMap, etag: &str, size: u64) -> Result<Option<Range<u64>>, Problem> {
    let asked = headers.get(header::RANGE).and_then(|asked| one_range(asked.to_str().ok()?, size));
    // What cannot be understood is no reason to put two archives together.
    let same = |known: IfRange| {
        etag.parse::<ETag>().is_ok_and(|etag| !known.is_modified(Some(&etag), None))
    };
    let changed =
        headers.contains_key(header::IF_RANGE) && !headers.typed_get::<IfRange>().is_some_and(same);
    match asked.filter(|_| !changed) {
        Some(range) if range.is_empty() => {
            let detail = format!("The archive has {size} bytes; the range lies behind them.");
            Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", detail)
                .behind(size))
        }
        range => Ok(range),
    }
}

/// The bytes that a `Range` names, if it names one range (RFC 9110, 14.1.2): none of them, if it
/// lies behind the end.
fn one_range(asked: &str, size: u64) -> Option<Range<u64>> {
    // A number that is too large to be read is too large for any archive.
    let number = |digits: &str| {
        let digital = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digital.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (unit, range) = asked.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let range = match (first, last) {
        ("", last) => size.saturating_sub(number(last)?)..size,
        (first, "") => number(first)?..size,
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(first..last.saturating_add(1).min(size))?
        }
    };
    unit.eq_ignore_ascii_case("bytes").then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served() -> Result<(), Problem> {
        let range = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("range", value.parse().map_err(|error| Problem::internal(&error))?);
            wanted(&headers, "\"a\"", 100)
        };
        assert_eq!(range("bytes=0-9")?, Some(0..10));
        assert_eq!(range("bytes=90-")?, Some(90..100));
        assert_eq!(range("bytes=-10")?, Some(90..100));
        assert_eq!(range("bytes=0-1000")?, Some(0..100));
        assert_eq!(range("bytes=0-1,5-6")?, None);
        assert_eq!(range("bytes=-1000")?, Some(0..100));
        assert_eq!(range("Bytes=99-99999999999999999999")?, Some(99..100));
        for whole in
            ["lines=1-2", "bytes=2-1", "bytes=-", "bytes=+1-2", "bytes=a-", "bytes=1", "bytes"]
        {
            assert_eq!(range(whole)?, None, "{whole}");
        }
        for behind in ["bytes=100-", "bytes=100-200", "bytes=99999999999999999999-", "bytes=-0"] {
            assert!(range(behind).is_err(), "{behind}");
        }
        Ok(())
    }
}
