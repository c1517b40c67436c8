//! Free ports.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::LazyLock;

use parking_lot::Mutex;

/// Ports below those of outgoing connections (`ip_local_port_range` of Linux, from 32768).
/// Otherwise an outgoing connection could take the port of a stopped server; one to that very port
/// would even connect to itself.
const MIN: u16 = 10_240;
const MAX: u16 = 32_767;

/// Ports that this process has used.
static USED: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// Return a loopback port that was free a moment ago and that this process has not used before.
#[must_use]
pub fn free() -> u16 {
    let mut used = USED.lock();
    loop {
        // Random, so that simultaneous test processes rarely choose the same.
        let port = rand::random_range(MIN..=MAX);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && used.insert(port) {
            return port;
        }
    }
}

/// Whether a server accepts connections on a loopback port.
pub(crate) fn accepts_connections(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
