//! Ports that nobody listens on.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Ports below those that Linux gives to outgoing connections (`ip_local_port_range`, from 32768).
/// Otherwise an outgoing connection could take a server's port while the server is stopped; one to
/// that very port would even reach itself.
const LOWEST: u16 = 10_240;
const HIGHEST: u16 = 32_767;

/// Those that this process gave out.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A loopback port that was free a moment ago, and that this process gives to nobody else.
pub(crate) fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        // Chosen at random, so that test processes that run at the same time hardly ever choose the
        // same.
        let random = RandomState::new().hash_one(given.len());
        let port = LOWEST + (random % u64::from(HIGHEST - LOWEST)) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() && given.insert(port) {
            return port;
        }
    }
}
