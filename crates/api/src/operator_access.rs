//! Access to what only operators may see on a port: metrics, and the details of the readiness.

use poem::Request;
use url::{Host, Url};

use crate::settings::Settings;

/// Headers that only proxies add.
const PROXY_HEADERS: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Requests of a port that are an operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorAccess {
    /// All of them: the port is for operators.
    Everyone,
    /// Those of the same machine that came without a proxy.
    SameMachine,
    /// None of them: operators have another port, or a proxy may stand before this one.
    Nobody,
}

impl OperatorAccess {
    /// Access on the port of the page. `has_own_port` states whether operators have another one.
    pub fn of_public_port(settings: &Settings, has_own_port: bool) -> Self {
        let is_public = settings.public_url.as_deref().is_some_and(|url| !is_loopback_url(url));
        if has_own_port || is_public || settings.trusted_proxies > 0 {
            Self::Nobody
        } else {
            Self::SameMachine
        }
    }

    /// Return whether a request is an operator's.
    pub fn permits(self, request: &Request) -> bool {
        match self {
            Self::Everyone => true,
            Self::Nobody => false,
            Self::SameMachine => {
                let peer = request.remote_addr().as_socket_addr();
                let is_local = peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback());
                let headers = request.headers();
                is_local && !PROXY_HEADERS.iter().any(|name| headers.contains_key(*name))
            }
        }
    }
}

fn is_loopback_url(url: &str) -> bool {
    let url = Url::parse(url).ok();
    match url.as_ref().and_then(Url::host) {
        Some(Host::Domain(name)) => is_localhost(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Return whether a name is one of the same machine (RFC 6761, 6.3).
pub fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_urls_of_the_same_machine() {
        let local = ["http://localhost:8000", "http://127.0.0.1", "https://[::1]:1/"];
        for url in local.into_iter().chain(["http://a.localhost"]) {
            assert!(is_loopback_url(url), "{url}");
        }
        let other = ["https://videos.example.com", "http://10.0.0.1:8000", ""];
        for url in other.into_iter().chain(["http://localhost.example.com"]) {
            assert!(!is_loopback_url(url), "{url}");
        }
    }
}
