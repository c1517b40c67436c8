//! Targets of requests: URLs that the policy permits.

use std::net::IpAddr;

use hyper::Uri;
use url::{Host, Url};

use crate::address::{AddressKind, address_kind};

/// Maximum length of a URL, in characters.
const MAX_URL_CHARACTERS: usize = 2000;

/// Last labels of names that are never in the public DNS (RFC 2606, 6761, 6762, 7686, 8375 and
/// 9476, and ICANN's reservation of `internal`). Looking them up could only lead into a private
/// network.
const NEVER_PUBLIC: [&str; 9] =
    ["alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion", "test"];

/// Which targets are permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Public addresses, over HTTPS.
    Public,
    /// Also addresses of this machine and of private networks, and HTTP to this machine. For
    /// private installations and for tests.
    Private,
}

impl Policy {
    /// Whether requests to an address are permitted. `encrypted` is whether they use HTTPS.
    pub(crate) fn permits(self, address: IpAddr, encrypted: bool) -> bool {
        match address_kind(address) {
            AddressKind::Public => encrypted,
            AddressKind::Private => self == Self::Private && encrypted,
            AddressKind::Loopback => self == Self::Private,
            AddressKind::Special => false,
        }
    }
}

/// Reason why a URL is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// No URL, one without a host, or one that cannot be sent in a request.
    #[error("it must be a URL such as https://example.com/path")]
    Malformed,
    /// Longer than 2000 characters.
    #[error("it must have at most {MAX_URL_CHARACTERS} characters")]
    TooLong,
    /// Another scheme than HTTPS.
    #[error("it must begin with https://")]
    Scheme,
    /// User name, password or fragment.
    #[error("it must have no user name, password or fragment")]
    Parts,
    /// Literal address that is not permitted, a name of this machine, or a name without a dot,
    /// which only a private network has.
    #[error("its host must be reachable from the public network")]
    Host,
}

/// URL that is permitted, as far as it can be known before its host is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    /// Host without the dot of the root of the DNS, which certificates do not have either.
    host: String,
}

impl Target {
    /// Parse a URL.
    ///
    /// # Errors
    /// The policy does not permit it.
    pub fn parse(text: &str, policy: Policy) -> Result<Self, InvalidTarget> {
        if text.chars().count() > MAX_URL_CHARACTERS {
            return Err(InvalidTarget::TooLong);
        }
        let url = Url::parse(text).map_err(|_| InvalidTarget::Malformed)?;
        let encrypted = match url.scheme() {
            "https" => true,
            "http" if policy == Policy::Private => false,
            _ => return Err(InvalidTarget::Scheme),
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.fragment().is_some() {
            return Err(InvalidTarget::Parts);
        }
        let literal = match url.host().ok_or(InvalidTarget::Malformed)? {
            Host::Ipv4(address) => Some(IpAddr::V4(address)),
            Host::Ipv6(address) => Some(IpAddr::V6(address)),
            // RFC 6761, 6.3: names of this machine, whatever a server responds.
            Host::Domain(name) if is_localhost(name) => Some(IpAddr::V4(LOCALHOST)),
            Host::Domain(name) if policy == Policy::Public && !without_root(name).contains('.') => {
                return Err(InvalidTarget::Host);
            }
            Host::Domain(_) => None,
        };
        if literal.is_some_and(|address| !policy.permits(address, encrypted)) {
            return Err(InvalidTarget::Host);
        }
        let host = without_root(url.host_str().ok_or(InvalidTarget::Malformed)?).to_owned();
        let target = Self { url, host };
        // Requests to a URL with a character that they may not contain would fail each time.
        if target.host.is_empty() || target.origin_form().parse::<Uri>().is_err() {
            return Err(InvalidTarget::Malformed);
        }
        Ok(target)
    }

    /// Name without a dot at its end, or literal address, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Target to which a response of this one redirects. A fragment is left out (RFC 9110, 10.2.2).
    ///
    /// # Errors
    /// The policy does not permit it.
    pub(crate) fn redirected(&self, location: &str, policy: Policy) -> Result<Self, InvalidTarget> {
        let mut url = self.url.join(location).map_err(|_| InvalidTarget::Malformed)?;
        url.set_fragment(None);
        Self::parse(url.as_str(), policy)
    }

    /// Path and query, as requests have them (RFC 9112, 3.2.1).
    pub(crate) fn origin_form(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// Whether the host is a name that the public DNS does not have.
    pub(crate) fn is_never_public(&self) -> bool {
        self.host.rsplit('.').next().is_some_and(|last| NEVER_PUBLIC.contains(&last))
    }

    /// Whether requests are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Port, or that of the scheme.
    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(443)
    }

    /// Literal address, if the host is one.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }
}

const LOCALHOST: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

/// Name without the dot that stands for the root of the DNS.
fn without_root(name: &str) -> &str {
    name.trim_end_matches('.')
}

fn is_localhost(name: &str) -> bool {
    without_root(name).rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str, policy: Policy) -> Option<InvalidTarget> {
        Target::parse(url, policy).err()
    }

    #[test]
    fn urls_of_public_hosts_are_permitted() {
        for url in [
            "https://example.com",
            "https://EXAMPLE.com:8443/hooks?key=value",
            "https://1.1.1.1/",
            "https://[2606:4700::1111]/",
            "https://münchen.example/",
        ] {
            for policy in [Policy::Public, Policy::Private] {
                assert_eq!(refusal(url, policy), None, "{url}");
            }
        }
        for url in ["https://EXAMPLE.com/a", "https://example.com./a"] {
            let target = Target::parse(url, Policy::Public).expect("a target");
            assert_eq!((target.host(), target.port()), ("example.com", 443));
        }
    }

    /// What the parser of URLs leaves as it is can be sent in a request.
    #[test]
    fn every_character_is_permitted_in_paths_and_queries() {
        for character in (' '..='~').filter(|character| *character != '#') {
            let url = format!("https://example.com/a{character}b?c{character}d");
            assert_eq!(refusal(&url, Policy::Public), None, "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused() {
        let long = format!("https://example.com/{}", "a".repeat(2000));
        for (url, expected) in [
            ("", InvalidTarget::Malformed),
            ("example.com/hooks", InvalidTarget::Malformed),
            ("https://", InvalidTarget::Malformed),
            (&long, InvalidTarget::TooLong),
            ("http://example.com/", InvalidTarget::Scheme),
            ("ftp://example.com/", InvalidTarget::Scheme),
            ("file:///etc/passwd", InvalidTarget::Scheme),
            ("https://ana@example.com/", InvalidTarget::Parts),
            ("https://:secret@example.com/", InvalidTarget::Parts),
            ("https://example.com/#fragment", InvalidTarget::Parts),
            ("https://localhost/", InvalidTarget::Host),
            ("https://a.LOCALHOST./", InvalidTarget::Host),
            ("https://intranet/", InvalidTarget::Host),
            ("https://intranet./", InvalidTarget::Host),
            ("https://127.0.0.1/", InvalidTarget::Host),
            // Other forms of the same address, which the parser of URLs knows.
            ("https://127.1/", InvalidTarget::Host),
            ("https://2130706433/", InvalidTarget::Host),
            ("https://0x7f.0.0.1/", InvalidTarget::Host),
            ("https://017700000001/", InvalidTarget::Host),
            ("https://10.0.0.1/", InvalidTarget::Host),
            ("https://169.254.169.254/latest/meta-data/", InvalidTarget::Host),
            ("https://[::1]/", InvalidTarget::Host),
            ("https://[::ffff:10.0.0.1]/", InvalidTarget::Host),
            ("https://[fe80::1]/", InvalidTarget::Host),
        ] {
            assert_eq!(refusal(url, Policy::Public), Some(expected), "{url}");
        }
    }

    #[test]
    fn a_private_installation_permits_private_hosts() {
        for url in [
            "http://127.0.0.1:8000/",
            "http://localhost:8000/",
            "https://localhost/",
            "https://intranet/",
            "https://192.168.0.7/",
            "https://[fd12::1]/",
            // Checked when it is resolved.
            "http://receiver.example/",
        ] {
            assert_eq!(refusal(url, Policy::Private), None, "{url}");
        }
        for url in ["http://192.168.0.7/", "http://1.1.1.1/", "https://169.254.169.254/"] {
            assert_eq!(refusal(url, Policy::Private), Some(InvalidTarget::Host), "{url}");
        }
    }
}
