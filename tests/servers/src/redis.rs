//! Redis, which counts requests for the rate limits.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Program;
use crate::server::{Server, control_methods};

/// Number of databases of the server.
const DATABASES: u32 = 1000;

/// A Redis server. It stores nothing on disk, so it is empty after a restart.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    databases: AtomicU32,
}

impl Redis {
    /// Start a server for one test.
    #[must_use]
    pub fn start() -> Self {
        let mut redis = Self { server: Server::new("redis"), databases: AtomicU32::new(1) };
        redis.start_again();
        redis
    }

    /// The server that all tests of this process share. Each test should use its
    /// own [database](Self::new_database).
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Redis> = LazyLock::new(Redis::start);
        &SHARED
    }

    /// URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.server.port)
    }

    /// URL of an unused database.
    ///
    /// # Panics
    /// All databases are in use.
    #[must_use]
    pub fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "all databases are in use");
        format!("{}/{number}", self.url())
    }

    control_methods!();

    /// Start it after a [stop](Self::stop) or [kill](Self::kill), on the same port.
    ///
    /// # Panics
    /// The server is running, or it does not start.
    pub fn start_again(&mut self) {
        let port = self.server.port;
        let directory = self.server.directory.path().display().to_string();
        let options = [
            ("--bind", "127.0.0.1"),
            ("--port", &port.to_string()),
            ("--dir", &directory),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--databases", &DATABASES.to_string()),
            ("--daemonize", "no"),
        ];
        let program = Program::new("/usr/bin/redis-server", "redis-server")
            .arguments(options.into_iter().flat_map(|(name, value)| [name, value]));
        self.server.start(&program, "KILL", || answers(port));
    }
}

/// Whether the server answers a ping.
fn answers(port: u16) -> bool {
    let mut answer = [0; 7];
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut stream| {
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)
        })
        .is_ok_and(|()| answer == *b"+PONG\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_starts_again() {
        let mut redis = Redis::start();
        let port = redis.server.port;
        assert!(answers(port));
        redis.stop();
        assert!(!answers(port));
        redis.start_again();
        assert!(answers(port));
        let directory = redis.server.directory.path().to_owned();
        drop(redis);
        assert!(!answers(port));
        assert!(!directory.exists());
    }
}
