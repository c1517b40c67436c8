//! Redis, which counts what limits are about.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Program};

/// A Redis server. It keeps nothing on disk: stopped and started again, it is empty.
#[derive(Debug)]
pub struct Redis {
    // Ends before its directory.
    process: Option<Process>,
    port: u16,
    directory: Directory,
    databases: AtomicU32,
}

/// How many databases there are.
const DATABASES: u32 = 1000;

impl Redis {
    /// A server for one test.
    #[must_use]
    pub fn start() -> Self {
        let mut server = Self {
            process: None,
            port: port::free(),
            directory: Directory::new("redis"),
            databases: AtomicU32::new(1),
        };
        server.start_again();
        server
    }

    /// The server that all tests of this process share. Each should take a
    /// [database](Self::new_database) of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Redis> = LazyLock::new(Redis::start);
        &SHARED
    }

    /// Where to connect.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where to connect to a database that nobody else uses.
    ///
    /// # Panics
    /// All are in use.
    #[must_use]
    pub fn new_database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "there are no more databases");
        format!("{}/{number}", self.url())
    }

    /// Stop it as an operator would.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&mut self) {
        self.process.take().expect("the server runs").stop("TERM");
    }

    /// Let it do nothing, as a machine that hangs; connections stay open.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        self.process.as_ref().expect("the server runs").signal("STOP");
    }

    /// Let it go on after a [pause](Self::pause).
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        self.process.as_ref().expect("the server runs").signal("CONT");
    }

    /// Start it after a [stop](Self::stop), on the same port.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let databases = DATABASES.to_string();
        let (port, directory) =
            (self.port.to_string(), self.directory.path().display().to_string());
        let program = Program::new("/usr/bin/redis-server", "redis-server").arguments([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--dir",
            &directory,
            "--save",
            "",
            "--appendonly",
            "no",
            "--databases",
            &databases,
            "--daemonize",
            "no",
        ]);
        let process =
            self.process.insert(program.start("KILL", &self.directory.path().join("log")));
        process.wait_until(|| answers(self.port));
    }
}

/// Whether it answers a ping.
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
        let mut server = Redis::start();
        assert!(answers(server.port));
        server.stop();
        assert!(!answers(server.port));
        server.start_again();
        assert!(answers(server.port));
        let (port, directory) = (server.port, server.directory.path().to_owned());
        drop(server);
        assert!(!answers(port));
        assert!(!directory.exists());
    }
}
