//! The `Content-Disposition` header of a download.

use crate::percent::percent_encode;

/// Return the header value that makes a browser save a response under `filename`, with an ASCII
/// fallback for clients that do not know the extended notation (RFC 6266, RFC 8187).
#[must_use]
pub fn content_disposition(filename: &str) -> String {
    let is_safe = |char: char| char.is_ascii_alphanumeric() || " .-_()".contains(char);
    let fallback: String =
        filename.chars().map(|char| if is_safe(char) { char } else { '_' }).collect();
    let encoded = percent_encode(filename);
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_special_characters() {
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
            assert_eq!(content_disposition(filename), header);
        }
    }
}
