//! Garage, the S3 store.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::port;
use crate::process::Program;
use crate::server::{Server, control_methods};

/// Access key ID: `GK` and 24 hexadecimal digits.
const ACCESS_KEY: &str = "GK0123456789abcdef01234567";

/// Secret access key, and secret of the nodes: 64 hexadecimal digits.
const SECRET_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A bucket, usable without owning the server.
#[derive(Debug, Clone)]
pub struct Bucket {
    program: Program,
    name: String,
}

impl Bucket {
    /// Name of the bucket.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Allow or deny writing to it with the access key.
    ///
    /// # Panics
    /// The server is not running.
    pub fn set_writable(&self, writable: bool) {
        let change = if writable { "allow" } else { "deny" };
        self.program
            .clone()
            .arguments(["bucket", change, "--write", &self.name, "--key", ACCESS_KEY])
            .output();
    }

    /// Number of uploads that are neither completed nor aborted.
    ///
    /// # Panics
    /// The server is not running.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        let info = self.program.clone().arguments(["bucket", "info", &self.name]).output();
        // The line is missing if there are none.
        let line = info.lines().find(|line| line.starts_with("Unfinished")).unwrap_or("0");
        line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
    }
}

/// A Garage server of one node, with one bucket, and one access key with all permissions.
#[derive(Debug)]
pub struct Garage {
    server: Server,
    buckets: AtomicU32,
}

impl Garage {
    /// Start a server for one test.
    #[must_use]
    pub fn start() -> Self {
        Self::on(Server::new("garage"))
    }

    /// Start a server with a disk of this size in MiB for one test.
    #[must_use]
    pub fn on_disk(mib: usize) -> Self {
        Self::on(Server::on_disk("garage", mib))
    }

    fn on(server: Server) -> Self {
        let mut garage = Self { server, buckets: AtomicU32::new(0) };
        garage.write_configuration(port::free());
        garage.start_again();
        garage
    }

    /// The server that all tests of this process share. Each test should
    /// [create a bucket](Self::create_bucket).
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Garage> = LazyLock::new(Garage::start);
        &SHARED
    }

    /// Address of the server.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// Region in signatures.
    #[must_use]
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// Access key ID.
    #[must_use]
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// Secret access key.
    #[must_use]
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// Name of the default bucket.
    #[must_use]
    pub fn bucket(&self) -> &'static str {
        "fiapx-test"
    }

    /// The log, with the method, path and query of each request.
    ///
    /// # Panics
    /// The log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.server.log_path()).expect("the server has a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Create an empty bucket for the same access key.
    ///
    /// # Panics
    /// The server is not running.
    #[must_use]
    pub fn create_bucket(&self) -> Bucket {
        let name = format!("test-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let _ = self.control(&["bucket", "create", &name]);
        let _ = self.control(&[
            "bucket", "allow", "--read", "--write", "--owner", &name, "--key", ACCESS_KEY,
        ]);
        Bucket { program: self.program(), name }
    }

    control_methods!();

    /// Start it after a [stop](Self::stop) or [kill](Self::kill), with the same data and port.
    ///
    /// # Panics
    /// The server is running, or it does not start.
    pub fn start_again(&mut self) {
        let program = self
            .program()
            .arguments(["server", "--single-node", "--default-bucket"])
            .environment([
                ("GARAGE_DEFAULT_ACCESS_KEY", self.access_key()),
                ("GARAGE_DEFAULT_SECRET_KEY", self.secret_key()),
                ("GARAGE_DEFAULT_BUCKET", self.bucket()),
            ]);
        let port = self.server.port;
        // The server creates the bucket and the key before it listens (`server.rs` of the package
        // `garage`).
        self.server.start(&program, "KILL", || port::accepts_connections(port));
    }

    /// Run the command line of Garage, for example `["bucket", "info", ...]`, and return its
    /// output.
    ///
    /// # Panics
    /// The command fails.
    #[must_use]
    pub fn control(&self, arguments: &[&str]) -> String {
        self.program().arguments(arguments.iter().copied()).output()
    }

    fn program(&self) -> Program {
        Program::new(binary(), "nothing, but run `./setup.sh store`")
            .arguments(["-c", &self.configuration_path()])
    }

    fn configuration_path(&self) -> String {
        self.server.directory.join("garage.toml")
    }

    fn write_configuration(&self, rpc_port: u16) {
        let directory = self.server.directory.path().display();
        let (port, region) = (self.server.port, self.region());
        let configuration = format!(
            r#"
            metadata_dir = "{directory}/meta"
            data_dir = "{directory}/data"
            db_engine = "sqlite"
            replication_factor = 1
            compression_level = "none"
            rpc_bind_addr = "127.0.0.1:{rpc_port}"
            rpc_public_addr = "127.0.0.1:{rpc_port}"
            rpc_secret = "{SECRET_KEY}"

            [s3_api]
            s3_region = "{region}"
            api_bind_addr = "127.0.0.1:{port}"
            "#
        );
        fs::write(self.configuration_path(), configuration).expect("the directory is writable");
    }
}

/// Path of the program: the environment variable `GARAGE`, or the place where `setup.sh store`
/// installs it, which is a directory that outlives checkouts.
fn binary() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let caches = || {
        variable("XDG_CACHE_HOME")
            .or_else(|| Some(variable("HOME")?.join(".cache")))
            .unwrap_or_default()
    };
    let path = variable("GARAGE").unwrap_or_else(|| caches().join("fiapx/bin/garage"));
    assert!(
        path.is_file(),
        "{} is missing: run `./setup.sh store`, or set GARAGE to its path",
        path.display()
    );
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_starts_again() {
        let mut garage = Garage::start();
        let port = garage.server.port;
        for stop in [Garage::stop, Garage::kill] {
            assert!(port::accepts_connections(port));
            stop(&mut garage);
            assert!(!port::accepts_connections(port));
            garage.start_again();
        }
        let directory = garage.server.directory.path().to_owned();
        assert!(port::accepts_connections(port));
        drop(garage);
        assert!(!port::accepts_connections(port));
        assert!(!directory.exists());
    }
}
