//! Percent-encoding of file names in headers and URLs.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All characters except the unreserved ones of URIs (RFC 3986, 2.3), which are also valid in an
/// extended header parameter (RFC 8187, 3.2.1).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encode everything except the unreserved characters.
pub(crate) fn percent_encode(text: &str) -> impl Display {
    utf8_percent_encode(text, RESERVED)
}
