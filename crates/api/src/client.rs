//! Origin of a request: its network address and its trace.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use poem::Request;

use crate::forwarded::Forwarded;

/// Network address of a client.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// Address of the sender of a request: with trusted proxies, the one that they report.
    pub fn of(request: &Request, trusted_proxies: usize, forwarded: &Forwarded) -> Self {
        if trusted_proxies == 0 {
            return Self(request.remote_addr().as_socket_addr().map(SocketAddr::ip));
        }
        Self(forwarded.address)
    }

    /// The address, if it is known.
    pub fn address(self) -> Option<IpAddr> {
        self.0
    }

    /// Network of one household or company: an IPv4 address, or the first 64 bits of an IPv6
    /// address (RFC 6177).
    pub fn network(self) -> Option<IpAddr> {
        match self.0?.to_canonical() {
            IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            IpAddr::V4(address) => Some(address.into()),
        }
    }
}

/// Valid `traceparent` header of a request (W3C Trace Context, 3.2).
pub fn traceparent(request: &Request) -> Option<&str> {
    request.header("traceparent").filter(|traceparent| jobs::trace::trace_id(traceparent).is_some())
}
