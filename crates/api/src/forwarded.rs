//! Headers in which trusted proxies report how they received a request: `Forwarded` (RFC 7239), or
//! `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
//!
//! Each proxy appends an element, so with n trusted proxies the n-th element from the end is that
//! of the outermost one. Earlier elements may be forged by the client, and be no text or no list,
//! so headers are read from their end. Proxies often overwrite
//! `X-Forwarded-Proto` and `X-Forwarded-Host` instead, so of fewer elements the first one counts.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use poem::http::HeaderMap;

/// Maximum length of a host name (RFC 1035, 2.3.4) and a port.
const MAX_HOST_BYTES: usize = 255 + 6;

/// What the outermost trusted proxy reports about a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Address of its client.
    pub address: Option<IpAddr>,
    /// Whether its client used TLS.
    pub is_https: bool,
    /// Valid value of `Host` that its client sent.
    pub host: Option<String>,
}

impl Forwarded {
    /// Evaluate the headers of a request. Without trusted proxies they are ignored.
    ///
    /// `Forwarded` takes precedence, unless `X-Forwarded-For` contradicts its address: a proxy that
    /// knows only one of the two passes the other one on, which the client may have forged.
    pub fn of(headers: &HeaderMap, trusted_proxies: usize) -> Self {
        if trusted_proxies == 0 {
            return Self::default();
        }
        let addresses = last_elements(headers, "x-forwarded-for", trusted_proxies, split_list);
        let outermost = |elements: &[String]| elements.get(trusted_proxies - 1).cloned();
        let address = outermost(&addresses).and_then(|address| node_address(&address));
        let standard = last_elements(headers, "forwarded", trusted_proxies, split_quoted_list);
        if let Some(element) = outermost(&standard) {
            let forwarded = Self::parse(&element);
            if addresses.is_empty() || forwarded.address == address {
                return forwarded;
            }
        }
        let counted = |name| last_elements(headers, name, trusted_proxies, split_list).pop();
        Self {
            address,
            is_https: counted("x-forwarded-proto").is_some_and(|scheme| is_https(&scheme)),
            host: counted("x-forwarded-host").filter(|host| is_host(host)),
        }
    }

    /// Parse an element of `Forwarded` (RFC 7239, 4).
    fn parse(element: &str) -> Self {
        let mut forwarded = Self::default();
        for pair in split(element, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = unquoted(value.trim());
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => forwarded.address = node_address(&value),
                "proto" => forwarded.is_https = is_https(&value),
                "host" => forwarded.host = Some(value).filter(|host| is_host(host)),
                _ => {}
            }
        }
        forwarded
    }
}

/// Returns what precedes the last comma of a list, if there is one, and what follows it.
type SplitAtLastComma = fn(&[u8]) -> (Option<&[u8]>, &[u8]);

/// Last elements of a list in all headers of this name, at most `count`, last one first. What
/// precedes them comes from the client and may be anything, also bytes that are no text, so each
/// header is read from its end.
fn last_elements(
    headers: &HeaderMap,
    name: &str,
    count: usize,
    split_at_last_comma: SplitAtLastComma,
) -> Vec<String> {
    let mut elements = Vec::new();
    for value in headers.get_all(name).iter().rev() {
        let mut rest = Some(value.as_bytes());
        while let Some(list) = rest
            && elements.len() < count
        {
            let (before, element) = split_at_last_comma(list);
            elements.push(String::from_utf8_lossy(element).trim().to_owned());
            rest = before;
        }
    }
    elements
}

/// What precedes the last comma of a list, and what follows it.
fn split_list(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    split_at(list, list.iter().rposition(|byte| *byte == b','))
}

/// The same for the last comma outside of quoted strings (RFC 9110, 5.6.4).
fn split_quoted_list(list: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut is_quoted = false;
    let comma = list.iter().enumerate().rev().find(|(index, byte)| {
        let backslashes = list[..*index].iter().rev().take_while(|byte| **byte == b'\\').count();
        if **byte == b'"' && backslashes.is_multiple_of(2) {
            is_quoted = !is_quoted;
        }
        **byte == b',' && !is_quoted
    });
    split_at(list, comma.map(|(index, _)| index))
}

fn split_at(list: &[u8], comma: Option<usize>) -> (Option<&[u8]>, &[u8]) {
    match comma {
        Some(comma) => (Some(&list[..comma]), &list[comma + 1..]),
        None => (None, list),
    }
}

/// Split a text at a separator outside of quoted strings.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(|char| {
        let is_separator = char == separator && !is_quoted;
        if char == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = is_quoted && char == '\\' && !is_escaped;
        is_separator
    })
    .collect()
}

/// Value of a token or of a quoted string (RFC 9110, 5.6.4).
fn unquoted(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut chars = quoted.chars();
    let mut next = || match chars.next()? {
        '\\' => chars.next(),
        char => Some(char),
    };
    std::iter::from_fn(&mut next).collect()
}

/// Address of a node (RFC 7239, 6), with or without a port; `None` if it is hidden.
fn node_address(node: &str) -> Option<IpAddr> {
    let bracketed = || node.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    node.parse()
        .ok()
        .or_else(|| bracketed().map(IpAddr::V6))
        .or_else(|| node.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

fn is_https(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https")
}

/// Return whether a value is a host name or address with an optional port (RFC 9110, 7.2), without
/// characters that would be syntax in a URL. Percent-encoding is not accepted.
pub fn is_host(value: &str) -> bool {
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (value, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_name = |name: &str| {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        !name.is_empty() && name.bytes().all(is_valid)
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    value.len() <= MAX_HOST_BYTES
        && port.is_none_or(is_port)
        && address.map_or_else(|| is_name(host), |address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn forwarded(proxies: usize, headers: &[(&'static str, &str)]) -> Forwarded {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) else { continue };
            map.append(HeaderName::from_static(name), value);
        }
        Forwarded::of(&map, proxies)
    }

    /// Address, whether the scheme is https, and the host.
    fn report(address: &str, is_https: bool, host: &str) -> Forwarded {
        let host = Some(host.to_owned()).filter(|host| !host.is_empty());
        Forwarded { address: address.parse().ok(), is_https, host }
    }

    #[test]
    fn hears_the_outermost_trusted_proxy() {
        let x = |addresses, schemes, hosts| {
            [
                ("x-forwarded-for", addresses),
                ("x-forwarded-proto", schemes),
                ("x-forwarded-host", hosts),
            ]
        };
        let chain = x("192.0.2.1, 203.0.113.7,10.0.0.2", "https,http", "a.example, api");
        assert_eq!(forwarded(0, &chain), Forwarded::default());
        assert_eq!(forwarded(1, &chain), report("10.0.0.2", false, "api"));
        assert_eq!(forwarded(2, &chain), report("203.0.113.7", true, "a.example"));
        assert_eq!(forwarded(3, &chain), report("192.0.2.1", true, "a.example"));
        assert_eq!(forwarded(4, &chain), report("", true, "a.example"));
        // Only the outermost of two proxies sets the scheme and the host.
        let overwritten = x("203.0.113.7, 10.0.0.2", "HTTPS", "a.example:8443");
        assert_eq!(forwarded(2, &overwritten), report("203.0.113.7", true, "a.example:8443"));
        let with_port = x("203.0.113.7:49152", "ftp", "a.example/path");
        assert_eq!(forwarded(1, &with_port), report("203.0.113.7", false, ""));

        let standard = [
            ("forwarded", "for=192.0.2.1;proto=http, For=\"[2001:db8::1]:4711\"; Proto=HTTPS"),
            ("forwarded", "for=_hidden;by=10.0.0.3;host=\"api:8000\""),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(forwarded(1, &standard), report("", false, "api:8000"));
        assert_eq!(forwarded(2, &standard), report("2001:db8::1", true, ""));
        assert_eq!(forwarded(3, &standard), report("192.0.2.1", false, ""));
    }

    #[test]
    fn ignores_a_header_that_the_proxy_passed_on() {
        let forged = ("forwarded", "for=192.0.2.1;proto=https;host=evil.example");
        let appended = ("x-forwarded-for", "203.0.113.7");
        assert_eq!(forwarded(1, &[forged, appended]), report("203.0.113.7", false, ""));
        let both = ("forwarded", "for=203.0.113.7;proto=https;host=a.example");
        assert_eq!(forwarded(1, &[both, appended]), report("203.0.113.7", true, "a.example"));
    }

    #[test]
    fn splits_outside_of_quotes() {
        let quoted = [("forwarded", r#"by="a,b\";c";host=x.example, for="10.0.0.1""#)];
        assert_eq!(forwarded(2, &quoted), report("", false, "x.example"));
        assert_eq!(forwarded(1, &quoted), report("10.0.0.1", false, ""));
    }

    #[test]
    fn what_a_client_sends_before_does_not_hide_its_address() {
        let address = |name: &'static str, value: &[u8]| {
            let value = HeaderValue::from_bytes(value).expect("a valid value");
            Forwarded::of(&[(HeaderName::from_static(name), value)].into_iter().collect(), 1)
        };
        for sent in [&b"\xe9"[..], b"\"", b"\"\\", b"\xff\"\xfe", b"unknown", b",,,"] {
            let appended = [sent, b", 203.0.113.7"].concat();
            let forwarded = address("x-forwarded-for", &appended);
            assert_eq!(forwarded, report("203.0.113.7", false, ""), "{sent:?}");
            let appended = [sent, b", for=203.0.113.7;proto=https"].concat();
            let forwarded = address("forwarded", &appended);
            assert_eq!(forwarded, report("203.0.113.7", true, ""), "{sent:?}");
        }
    }

    #[test]
    fn accepts_hosts_only() {
        for host in ["a", "videos.example.com", "my_host:8000", "10.0.0.1:1", "[2001:db8::1]:8000"]
        {
            assert!(is_host(host), "{host}");
        }
        let long = "a".repeat(300);
        for other in [
            "",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a\\b",
            "a,b",
            "a:1:2",
            "[a]",
            "[::1",
            "é.example",
            "a%2fb",
            "a\"b",
            "<a>",
            &long,
        ] {
            assert!(!is_host(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn the_last_element_is_read_whatever_precedes_it(
            sent in proptest::collection::vec(
                any::<u8>().prop_filter("not a control", |byte| *byte >= b' ' && *byte != 127),
                0..40,
            ),
        ) {
            let list = [&sent[..], b", 203.0.113.7"].concat();
            for name in ["x-forwarded-for", "forwarded"] {
                let last = if name == "forwarded" {
                    [&sent[..], b",for=203.0.113.7"].concat()
                } else {
                    list.clone()
                };
                let value = HeaderValue::from_bytes(&last).expect("a valid value");
                let headers = [(HeaderName::from_static(name), value)].into_iter().collect();
                prop_assert_eq!(Forwarded::of(&headers, 1).address, "203.0.113.7".parse().ok());
            }
        }

        #[test]
        fn no_header_causes_a_panic(
            standard in "[a-z=;,\"\\\\: \\[\\]0-9.]{0,40}",
            other in ".{0,20}",
            proxies in 0..4_usize,
        ) {
            let parsed = forwarded(proxies, &[
                ("forwarded", &standard),
                ("x-forwarded-for", &other),
                ("x-forwarded-host", &other),
            ]);
            prop_assert!(parsed.host.is_none_or(|host| is_host(&host)));
        }
    }
}
