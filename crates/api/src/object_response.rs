//! Stored objects in responses: their bytes, byte ranges and validators.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream;
use poem::Body;
use poem::http::{HeaderMap, StatusCode, header};
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use storage::{Key, Object, Storage};

use crate::problem::Problem;

/// Body with a range of an object's bytes. It is read in chunks of `chunk_bytes` as fast as the
/// client receives it.
pub fn body(
    storage: &Arc<dyn Storage>,
    object: &Object,
    range: Range<u64>,
    chunk_bytes: u64,
) -> Body {
    let (storage, key) = (Arc::clone(storage), object.key.clone());
    Body::from_bytes_stream(stream::try_unfold(range, move |rest| {
        let (storage, key): (_, Key) = (Arc::clone(&storage), key.clone());
        async move {
            let chunk = rest.start..rest.end.min(rest.start + chunk_bytes);
            if chunk.is_empty() {
                return Ok::<_, std::io::Error>(None);
            }
            let bytes = storage.read(&key, chunk.clone()).await.map_err(std::io::Error::other)?;
            Ok(Some((bytes, chunk.end..rest.end)))
        }
    }))
}

/// Return whether `If-None-Match` names the entity tag (RFC 9110, 13.1.2).
pub fn is_not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let (Some(condition), Ok(etag)) = (headers.typed_get::<IfNoneMatch>(), etag.parse::<ETag>())
    else {
        return false;
    };
    !condition.precondition_passes(&etag)
}

/// Requested byte range of a representation (RFC 9110, 14.2). `None` requests all of it: the header
/// is absent or invalid, has several ranges, or names another version in `If-Range`.
pub fn requested_range(
    headers: &HeaderMap,
    etag: &str,
    size: u64,
) -> Result<Option<Range<u64>>, Problem> {
    let range =
        headers.get(header::RANGE).and_then(|range| parse_range(range.to_str().ok()?, size));
    // An invalid condition does not match: bytes of two archives must not be joined.
    let is_same = |condition: IfRange| {
        etag.parse::<ETag>().is_ok_and(|etag| !condition.is_modified(Some(&etag), None))
    };
    let is_other = headers.contains_key(header::IF_RANGE)
        && !headers.typed_get::<IfRange>().is_some_and(is_same);
    match range.filter(|_| !is_other) {
        Some(range) if range.is_empty() => {
            let detail =
                format!("The range starts after the end of the archive, which has {size} bytes.");
            Err(Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", detail)
                .representation_size(size))
        }
        range => Ok(range),
    }
}

/// Value of `Content-Range` (RFC 9110, 14.4).
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// Parse a `Range` header with a single range (RFC 9110, 14.1.2). The result is empty if the range
/// starts after the end.
fn parse_range(value: &str, size: u64) -> Option<Range<u64>> {
    // A number that overflows is past the end of any archive.
    let number = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().unwrap_or(u64::MAX))
    };
    let (unit, range) = value.split_once('=')?;
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
    fn parses_single_ranges() -> Result<(), Problem> {
        let range = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("range", value.parse().map_err(|error| Problem::internal(&error))?);
            requested_range(&headers, "\"a\"", 100)
        };
        assert_eq!(range("bytes=0-9")?, Some(0..10));
        assert_eq!(range("bytes=90-")?, Some(90..100));
        assert_eq!(range("bytes=-10")?, Some(90..100));
        assert_eq!(range("bytes=0-1000")?, Some(0..100));
        assert_eq!(range("bytes=0-1,5-6")?, None);
        assert_eq!(range("bytes=-1000")?, Some(0..100));
        assert_eq!(range("Bytes=99-99999999999999999999")?, Some(99..100));
        for ignored in
            ["lines=1-2", "bytes=2-1", "bytes=-", "bytes=+1-2", "bytes=a-", "bytes=1", "bytes"]
        {
            assert_eq!(range(ignored)?, None, "{ignored}");
        }
        for unsatisfiable in
            ["bytes=100-", "bytes=100-200", "bytes=99999999999999999999-", "bytes=-0"]
        {
            assert!(range(unsatisfiable).is_err(), "{unsatisfiable}");
        }
        Ok(())
    }
}
