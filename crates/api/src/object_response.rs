//! Stored objects in responses: their bytes, byte ranges and validators.

use std::ops::Range;
use std::sync::Arc;

use futures_util::stream;
use poem::Body;
use poem::http::{HeaderMap, header};
use poem::web::headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use storage::{Key, Object, RequestedRange, Storage};

use crate::concurrency::UserSlot;

/// Body with a range of an object's bytes. It is read in chunks of `chunk_bytes` as fast as the
/// client receives it. It occupies a slot of its user until its end.
pub fn body(
    storage: &Arc<dyn Storage>,
    object: &Object,
    range: Range<u64>,
    chunk_bytes: u64,
    slot: UserSlot,
) -> Body {
    let (storage, key) = (Arc::clone(storage), object.key.clone());
    Body::from_bytes_stream(stream::try_unfold(range, move |rest| {
        let _occupied = &slot;
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

/// Requested byte range of an object (RFC 9110, 14.2). Without a valid `Range`, or if `If-Range`
/// names another version, the whole object is requested.
pub fn requested_range(headers: &HeaderMap, etag: &str, size: u64) -> RequestedRange {
    // An invalid condition does not match: bytes of two archives must not be joined.
    let is_same = |condition: IfRange| {
        etag.parse::<ETag>().is_ok_and(|etag| !condition.is_modified(Some(&etag), None))
    };
    let is_other = headers.contains_key(header::IF_RANGE)
        && !headers.typed_get::<IfRange>().is_some_and(is_same);
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    match range.filter(|_| !is_other) {
        Some(range) => RequestedRange::parse(range, size),
        None => RequestedRange::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(fields: &[(&'static str, &str)]) -> RequestedRange {
        let fields = fields.iter().map(|(name, value)| {
            let name = header::HeaderName::from_static(name);
            (name, value.parse().expect("a valid header value"))
        });
        requested_range(&fields.collect(), "\"a\"", 100)
    }

    #[test]
    fn ranges_apply_to_the_same_version_only() {
        let range = ("range", "bytes=0-9");
        assert_eq!(requested(&[range]), RequestedRange::Part(0..10));
        assert_eq!(requested(&[range, ("if-range", "\"a\"")]), RequestedRange::Part(0..10));
        for other in ["\"b\"", "not an entity tag"] {
            assert_eq!(requested(&[range, ("if-range", other)]), RequestedRange::Whole, "{other}");
        }
        assert_eq!(requested(&[]), RequestedRange::Whole);
        assert_eq!(requested(&[("range", "bytes=100-")]), RequestedRange::Unsatisfiable);
    }

    #[test]
    fn entity_tags_are_compared() {
        let matches = |condition: &str| {
            let condition = condition.parse().expect("a valid header value");
            let headers = std::iter::once((header::IF_NONE_MATCH, condition)).collect();
            is_not_modified(&headers, "\"a\"")
        };
        assert!(matches("\"a\"") && matches("\"b\", W/\"a\"") && matches("*"));
        assert!(!matches("\"b\""));
    }
}
