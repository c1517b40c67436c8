//! Resolution of names, and connections. Tests replace both by ones that record what they are asked
//! for.

use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;
use tokio::net::{TcpStream, lookup_host};

/// Resolves names.
#[async_trait]
pub trait Resolver: Send + Sync + 'static {
    /// Return the addresses of a name. One that ends in a dot is absolute.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// Connects to addresses.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Connect to an address.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// Resolver and network of the machine.
#[derive(Debug, Clone, Copy)]
pub struct Network;

#[async_trait]
impl Resolver for Network {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        // The port is not used.
        Ok(lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

#[async_trait]
impl Connector for Network {
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
