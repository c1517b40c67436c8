//! Origin of a request: its network address and its trace.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use poem::Request;

use crate::forwarded::Forwarded;

/// Network address of a client.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(Option<IpAddr>);

impl ClientAddress {
    /// Address of the sender of a request: with trusted proxies, the one that they report, or else
    /// that of the proxy itself.
    pub fn of(request: &Request, forwarded: &Forwarded) -> Self {
        let peer = || request.remote_addr().as_socket_addr().map(SocketAddr::ip);
        Self(forwarded.address.or_else(peer))
    }

    /// The address, if it is known.
    pub fn address(self) -> Option<IpAddr> {
        self.0
    }

    /// Network of the client, for limits. All unknown addresses are one network.
    pub fn network(self) -> Network {
        Network(self.0.map(network_of))
    }
}

/// Network of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network(Option<IpAddr>);

impl Display for Network {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str("unknown"),
        }
    }
}

/// Network of one household or company: an IPv4 address, or the first 64 bits of an IPv6 address
/// (RFC 6177).
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(address) => address.into(),
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self(Some(address))
    }
}

/// Valid `traceparent` header of a request (W3C Trace Context, 3.2).
pub fn traceparent(request: &Request) -> Option<&str> {
    request.header("traceparent").filter(|traceparent| jobs::trace::trace_id(traceparent).is_some())
}
