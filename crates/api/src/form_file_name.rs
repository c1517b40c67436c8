//! File names of the parts of a form, in all encodings that clients use.
//!
//! Browsers send UTF-8 (HTML, 4.10.21.8). .NET sends encoded words (RFC 2047) and the parameter
//! `filename*` (RFC 8187), older versions of Python's requests send `filename*` alone, and
//! PowerShell sends ISO 8859-1. The parser of `multer` accepts UTF-8 in `filename` only.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use encoding_rs::{Encoding, WINDOWS_1252};
use percent_encoding::percent_decode;
use poem::http::{HeaderMap, header};

/// Decoder of encoded words, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// File name of a part with these headers, which may contain any characters; `None` if the part has
/// none, like a field that is not a file. `filename*` takes precedence (RFC 6266, 4.3).
pub fn file_name(headers: &HeaderMap) -> Option<String> {
    let parameters = parameters(headers.get(header::CONTENT_DISPOSITION)?.as_bytes());
    let value = |name: &[u8]| {
        let found = parameters.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    };
    let name = value(b"filename*").and_then(extended_value).or_else(|| {
        let sent = unescape_browser(&text(value(b"filename")?));
        Some(encoded_words(&sent).unwrap_or(sent))
    });
    name.filter(|name| !name.is_empty())
}

/// Parameters of a header value, names and values.
fn parameters(header: &[u8]) -> Vec<(&[u8], Vec<u8>)> {
    let mut parameters = Vec::new();
    let mut rest = after(header, b';');
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let name = rest[..end].trim_ascii();
        let Some(value) = rest[end..].strip_prefix(b"=") else {
            rest = after(rest, b';');
            continue;
        };
        let value = value.trim_ascii_start();
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let (value, left) = quoted_string(quoted);
            parameters.push((name, value));
            rest = after(left, b';');
        } else {
            let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
            parameters.push((name, value[..end].trim_ascii().to_vec()));
            rest = after(value, b';');
        }
    }
    parameters
}

/// Bytes after the first occurrence of a byte; none if it does not occur.
fn after(bytes: &[u8], byte: u8) -> &[u8] {
    match bytes.iter().position(|found| *found == byte) {
        Some(index) => &bytes[index + 1..],
        None => &[],
    }
}

/// Value of a quoted string without its first quote, and the bytes after its last one. A backslash
/// escapes only a quote or a backslash, because Internet Explorer sends whole paths such as
/// `C:\clips\a.mp4`, and not the last quote, because such a path may end with one.
fn quoted_string(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [] => return (value, rest),
            [b'"', left @ ..] => return (value, left),
            [b'\\', b'"', left @ ..] if left.contains(&b'"') => {
                value.push(b'"');
                rest = left;
            }
            [b'\\', b'\\', left @ ..] => {
                value.push(b'\\');
                rest = left;
            }
            [byte, left @ ..] => {
                value.push(*byte);
                rest = left;
            }
        }
    }
}

/// Text of bytes in UTF-8, else in Windows-1252, which decodes every byte and includes the
/// printable characters of ISO 8859-1.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// Decode the three characters that browsers encode (HTML, 4.10.21.8), and no others.
fn unescape_browser(name: &str) -> String {
    name.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// Text of an extended value, `charset'language'percent-encoded` (RFC 8187, 3.2.1).
fn extended_value(value: &[u8]) -> Option<String> {
    let charset_end = value.iter().position(|byte| *byte == b'\'')?;
    let (charset, rest) = (&value[..charset_end], &value[charset_end + 1..]);
    let encoded = &rest[rest.iter().position(|byte| *byte == b'\'')? + 1..];
    let bytes: Vec<u8> = percent_decode(encoded).collect();
    Some(decode(charset, &bytes)).filter(|name| !name.is_empty())
}

/// Decode bytes of a charset. One that is not known is detected.
fn decode(charset: &[u8], bytes: &[u8]) -> String {
    match Encoding::for_label(charset) {
        Some(encoding) => encoding.decode_without_bom_handling(bytes).0.into_owned(),
        None => text(bytes),
    }
}

/// Text with its encoded words decoded (RFC 2047, 2); `None` if it contains none. Space between two
/// words is dropped (6.2). Neighboring words of one charset are decoded together, because some
/// clients split characters.
fn encoded_words(text: &str) -> Option<String> {
    let (mut decoded, mut rest) = (String::new(), text);
    let mut open: Option<(&str, Vec<u8>)> = None;
    let close = |open: &mut Option<(&str, Vec<u8>)>, decoded: &mut String| {
        if let Some((charset, bytes)) = open.take() {
            *decoded += &decode(charset.as_bytes(), &bytes);
        }
    };
    let mut found = false;
    while let Some(start) = rest.find("=?") {
        let Some(word) = EncodedWord::parse(&rest[start..]) else {
            close(&mut open, &mut decoded);
            decoded += &rest[..start + 2];
            rest = &rest[start + 2..];
            continue;
        };
        found = true;
        let between = &rest[..start];
        rest = &rest[start + word.length..];
        if open.is_none() || !between.trim().is_empty() {
            close(&mut open, &mut decoded);
            decoded += between;
        }
        match &mut open {
            Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                bytes.extend(word.bytes);
            }
            _ => {
                close(&mut open, &mut decoded);
                open = Some((word.charset, word.bytes));
            }
        }
    }
    close(&mut open, &mut decoded);
    decoded += rest;
    found.then_some(decoded)
}

/// Encoded word: `=?charset?encoding?text?=`.
struct EncodedWord<'a> {
    /// Charset, without the language of RFC 2231, 5.
    charset: &'a str,
    /// Decoded bytes.
    bytes: Vec<u8>,
    /// Length of the word in bytes.
    length: usize,
}

impl<'a> EncodedWord<'a> {
    /// Parse the word at the start of a text.
    fn parse(text: &'a str) -> Option<Self> {
        let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
        let (encoding, rest) = rest.split_once('?')?;
        let (encoded, rest) = rest.split_once("?=")?;
        if charset.is_empty() || encoded.contains(['?', ' ']) {
            return None;
        }
        let bytes = match encoding {
            "B" | "b" => BASE64.decode(encoded).ok()?,
            "Q" | "q" => quoted_printable(encoded.as_bytes()),
            _ => return None,
        };
        let charset = charset.split('*').next().unwrap_or(charset);
        Some(Self { charset, bytes, length: text.len() - rest.len() })
    }
}

/// Decode the encoding `Q` (RFC 2047, 4.2). Invalid sequences are kept.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    while let [first, left @ ..] = rest {
        rest = left;
        match (*first, left) {
            (b'_', _) => decoded.push(b' '),
            (b'=', [high, low, left @ ..]) => match digit(*high).zip(digit(*low)) {
                Some((high, low)) => {
                    decoded.push(high << 4 | low);
                    rest = left;
                }
                None => decoded.push(b'='),
            },
            (byte, _) => decoded.push(byte),
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn name_of(parameters: &[u8]) -> Option<String> {
        let value = [b"form-data; ", parameters].concat();
        let value = HeaderValue::from_bytes(&value).ok()?;
        file_name(&HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]))
    }

    #[test]
    fn decodes_the_names_of_all_clients() {
        let ferias = "férias.mp4";
        let cases: [(&[u8], &str); 24] = [
            (b"name=\"file\"; filename=\"a.mp4\"", "a.mp4"),
            ("name=\"file\"; filename=\"férias.mp4\"".as_bytes(), ferias),
            (b"name=file; filename=a b.mp4 ", "a b.mp4"),
            (b"FILENAME = \"a.mp4\" ; name=\"file\"", "a.mp4"),
            (b"name=\"x; filename=b.mp4\"; filename=\"a.mp4\"", "a.mp4"),
            (b"name=\"filename\"; filename=\"a;b.mp4\"", "a;b.mp4"),
            // Python's requests with old versions of urllib3.
            (b"name=\"file\"; filename*=utf-8''f%C3%A9rias.mp4", ferias),
            (b"filename=\"f?rias.mp4\"; filename*=UTF-8'pt'f%c3%a9rias.mp4", ferias),
            (b"filename*=iso-8859-1''f%E9rias.mp4; filename=\"x.mp4\"", ferias),
            (b"filename*=\"utf-8''f%C3%A9rias.mp4\"", ferias),
            (b"filename*=unknown''f%E9rias.mp4", ferias),
            (b"filename*=broken; filename=\"a.mp4\"", "a.mp4"),
            // .NET.
            (b"name=file; filename=\"=?utf-8?B?ZsOpcmlhcy5tcDQ=?=\"", ferias),
            (b"filename==?utf-8?B?ZsOpcmlhcy5tcDQ=?=; name=file", ferias),
            (b"filename=\"=?ISO-8859-1*pt?Q?f=E9rias_1.mp4?=\"", "férias 1.mp4"),
            (b"filename=\"=?utf-8?b?ZsM=?= =?UTF-8?B?qXJpYXM?=.mp4\"", ferias),
            (b"filename=\"a =?utf-8?Q?=C3=A9?= =?iso-8859-1?Q?=E9?= b.mp4\"", "a éé b.mp4"),
            (b"filename=\"a=?b.mp4\"", "a=?b.mp4"),
            // PowerShell.
            (b"name=\"file\"; filename=\"f\xE9rias.mp4\"", ferias),
            (b"filename=\"5\x80.mp4\"", "5€.mp4"),
            // Browsers, Internet Explorer and curl.
            (b"filename=\"a%22b%0D%0Ac%2f.mp4\"", "a\"b\r\nc%2f.mp4"),
            (b"filename=\"C:\\clips\\a.mp4\"", "C:\\clips\\a.mp4"),
            (b"filename=\"a\\\"b\\\\c.mp4\"; name=\"file\"", "a\"b\\c.mp4"),
            (b"filename=\"C:\\clips\\\"", "C:\\clips\\"),
        ];
        for (sent, expected) in cases {
            let sent_text = String::from_utf8_lossy(sent);
            assert_eq!(name_of(sent).as_deref(), Some(expected), "{sent_text}");
        }
    }

    #[test]
    fn fields_have_no_file_name() {
        for field in ["name=\"type\"", "", ";;;", "filename", "filename=", "filename=\"\"", "="] {
            assert_eq!(name_of(field.as_bytes()), None, "{field}");
        }
        assert_eq!(file_name(&HeaderMap::new()), None);
    }

    /// Bytes that are likely to be syntax.
    fn header_bytes() -> impl Strategy<Value = Vec<u8>> {
        let syntax = prop::sample::select(
            ["=?", "?=", "?", "\"", "\\", ";", "'", "=", "*", "filename", "utf-8", "B", "Q", "%"]
                .map(|text| text.as_bytes().to_vec())
                .to_vec(),
        );
        let piece = prop_oneof![syntax, prop::collection::vec(0x20..=0xFF_u8, 0..4)];
        prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_header_causes_a_panic(bytes in header_bytes()) {
            let _ = name_of(&bytes);
            let _ = name_of(&[b"filename=", bytes.as_slice()].concat());
            let _ = name_of(&[b"filename*=", bytes.as_slice()].concat());
        }

        #[test]
        fn every_name_is_decoded_from_every_encoding(name in "[^\\p{C}%\"\\\\=?]{1,40}") {
            let percent = percent_encoding::percent_encode(
                name.as_bytes(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            for sent in [
                format!("filename=\"{name}\"; name=\"file\""),
                format!("name=\"file\"; filename*=utf-8''{percent}"),
                format!("filename=\"=?utf-8?B?{}?=\"", BASE64.encode(&name)),
            ] {
                let decoded = name_of(sent.as_bytes());
                prop_assert_eq!(decoded.as_deref(), Some(name.as_str()), "{}", sent);
            }
        }
    }
}
