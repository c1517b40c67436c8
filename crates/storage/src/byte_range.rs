//! Byte ranges: the headers `Range` and `Content-Range`, and the bounds of a read.

use std::ops::Range;

use crate::error::Error;
use crate::key::Key;

/// Part of an object that a `Range` header requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedRange {
    /// The whole object, because the header is not a single valid byte range. A server may ignore
    /// any `Range` header (RFC 9110, 14.2).
    Whole,
    /// These bytes: a non-empty range within the object.
    Part(Range<u64>),
    /// Bytes that the object does not have: the response has the status 416 and
    /// [`unsatisfied_content_range`].
    Unsatisfiable,
}

impl RequestedRange {
    /// Parse the value of a `Range` header (RFC 9110, 14.1.2) for an object of `size` bytes.
    #[must_use]
    pub fn parse(header: &str, size: u64) -> Self {
        match parse_single_range(header, size) {
            None => Self::Whole,
            Some(range) if range.is_empty() => Self::Unsatisfiable,
            Some(range) => Self::Part(range),
        }
    }
}

/// Return the bytes of a header with a single valid range, limited to the object; empty if the
/// object has none of them.
fn parse_single_range(header: &str, size: u64) -> Option<Range<u64>> {
    let (unit, range) = header.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(parse_position(suffix)?)..size,
        (first, "") => parse_position(first)?..size,
        (first, last) => {
            let (first, last) = (parse_position(first)?, parse_position(last)?);
            (first <= last).then_some(first..last.saturating_add(1).min(size))?
        }
    };
    unit.eq_ignore_ascii_case("bytes").then_some(range)
}

/// A decimal number. One that exceeds 64 bits exceeds the size of every object, so the largest
/// number stands for it.
fn parse_position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Return the value of `Content-Range` for a non-empty part of an object (RFC 9110, 14.4).
#[must_use]
pub fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

/// Return the value of `Content-Range` of a response with status 416 (RFC 9110, 15.5.17).
#[must_use]
pub fn unsatisfied_content_range(size: u64) -> String {
    format!("bytes */{size}")
}

/// Return the value of `Range` that requests a non-empty range.
pub(crate) fn range_header(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// Check that a range runs forward and lies within an object of `size` bytes.
pub(crate) fn check_bounds(key: &Key, range: &Range<u64>, size: u64) -> Result<(), Error> {
    if range.start > range.end || range.end > size {
        return Err(Error::OutOfRange { key: key.clone(), range: range.clone(), size });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::RequestedRange::{Part, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn parses_a_single_range() {
        let table = [
            ("bytes=0-9", Part(0..10)),
            ("bytes=90-", Part(90..100)),
            ("bytes=-10", Part(90..100)),
            ("bytes=0-1000", Part(0..100)),
            ("bytes=-1000", Part(0..100)),
            ("bytes= 5-6 ", Part(5..7)),
            ("Bytes=99-99999999999999999999", Part(99..100)),
        ];
        for (header, expected) in table {
            assert_eq!(RequestedRange::parse(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn ignores_what_is_not_a_single_byte_range() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=1",
            "bytes=a-",
            "bytes=+1-2",
            "bytes=2-1",
            "bytes=0-1,5-6",
            "lines=1-2",
        ] {
            assert_eq!(RequestedRange::parse(header, 100), Whole, "{header}");
        }
    }

    #[test]
    fn reports_ranges_after_the_end() {
        for header in ["bytes=100-", "bytes=100-200", "bytes=99999999999999999999-", "bytes=-0"] {
            assert_eq!(RequestedRange::parse(header, 100), Unsatisfiable, "{header}");
        }
        assert_eq!(RequestedRange::parse("bytes=0-", 0), Unsatisfiable);
        assert_eq!(unsatisfied_content_range(100), "bytes */100");
    }

    proptest! {
        #[test]
        fn parses_the_header_of_every_range(start in 0_u64..1 << 62, length in 1_u64..1 << 62) {
            let range = start..start + length;
            for size in [range.end, range.end + 1, u64::MAX] {
                let parsed = RequestedRange::parse(&range_header(&range), size);
                prop_assert_eq!(parsed, Part(range.clone()));
            }
            let expected = format!("bytes {start}-{}/{}", range.end - 1, u64::MAX);
            prop_assert_eq!(content_range(&range, u64::MAX), expected);
        }

        #[test]
        fn a_part_is_never_empty_and_lies_within_the_object(
            header in "(bytes=)?[0-9]{0,21}-?[0-9]{0,21}.?",
            size in any::<u64>(),
        ) {
            if let Part(range) = RequestedRange::parse(&header, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
