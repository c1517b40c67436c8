//! URL of a service.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// Base URL of a service: scheme, host, port, and the path below which a proxy serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server(Url);

/// Text that is not the URL of a service.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not the URL of a service: {reason}, such as https://videos.example.com")]
pub struct InvalidServer {
    text: String,
    reason: &'static str,
}

impl FromStr for Server {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let invalid = |reason| InvalidServer { text: text.to_owned(), reason };
        let form = "it needs a scheme and a host";
        let mut url = Url::parse(text.trim()).map_err(|_| invalid(form))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(invalid("it needs https:// or http:// and a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("it must not contain a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("it must not contain `?` or `#`"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Server {
    /// URL of a path, which begins with `/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// Return whether others on the network can read what is sent.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        let is_local = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.scheme() == "http" && !is_local
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_one_form() {
        for (text, expected) in [
            ("http://localhost:8000", "http://localhost:8000"),
            (" https://Videos.Example.com/ ", "https://videos.example.com"),
            ("https://example.com:443/videos//", "https://example.com/videos"),
        ] {
            let server: Server = text.parse().expect("it is valid");
            assert_eq!(server.to_string(), expected);
            assert_eq!(server.url("/videos"), format!("{expected}/videos"));
        }
        for text in ["", "localhost:8000", "example.com", "ftp://a", "https://a:b@c", "http://a?b"]
        {
            let error = text.parse::<Server>().expect_err(text).to_string();
            assert!(error.contains("such as https://"), "{error}");
        }
    }

    #[test]
    fn only_other_machines_need_encryption() {
        let exposed = |text: &str| text.parse::<Server>().expect("it is valid").is_exposed();
        assert!(exposed("http://example.com") && exposed("http://192.0.2.1:8000"));
        for local in ["http://localhost", "http://127.0.0.1:1", "http://[::1]", "https://a.com"] {
            assert!(!exposed(local), "{local}");
        }
    }
}
