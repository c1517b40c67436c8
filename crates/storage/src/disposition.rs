//! Under which name a download is saved.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but the characters that RFC 8187, 3.2.1 lets stand for themselves; of those, only the ones
/// that are safe everywhere.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How a browser is to save an object, with a name for those that know ASCII alone (RFC 6266, RFC
/// 8187).
#[must_use]
pub fn disposition(filename: &str) -> String {
    let harmless = |char: char| char.is_ascii_alphanumeric() || " .-_()".contains(char);
    let plain: String =
        filename.chars().map(|char| if harmless(char) { char } else { '_' }).collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        utf8_percent_encode(filename, ESCAPED)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_offered_safely() {
        let table = [
            ("film.zip", "attachment; filename=\"film.zip\"; filename*=UTF-8''film.zip"),
            ("férias.zip", "attachment; filename=\"f_rias.zip\"; filename*=UTF-8''f%C3%A9rias.zip"),
            (
                "a\"b\\\r\n;.zip",
                "attachment; filename=\"a_b____.zip\"; filename*=UTF-8''a%22b%5C%0D%0A%3B.zip",
            ),
            ("100%41.zip", "attachment; filename=\"100_41.zip\"; filename*=UTF-8''100%2541.zip"),
        ];
        for (filename, header) in table {
            assert_eq!(disposition(filename), header);
        }
    }
}
