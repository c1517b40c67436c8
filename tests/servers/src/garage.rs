//! Garage, the S3 store.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Program};

/// Names of keys are `GK` and 24 hexadecimal digits.
const ACCESS_KEY: &str = "GK0123456789abcdef01234567";

/// Keys are 64 hexadecimal digits, and so is the secret by which nodes know each other.
const SECRET_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A bucket, for whoever does not own the server.
#[derive(Debug, Clone)]
pub struct Bucket {
    program: Program,
    name: String,
}

impl Bucket {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the key may write to it.
    ///
    /// # Panics
    /// The server does not run.
    pub fn let_write(&self, may: bool) {
        let change = if may { "allow" } else { "deny" };
        self.program
            .clone()
            .arguments(["bucket", change, "--write", &self.name, "--key", ACCESS_KEY])
            .output();
    }

    /// How many uploads to it are neither completed nor aborted.
    ///
    /// # Panics
    /// The server does not run.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        let told = self.program.clone().arguments(["bucket", "info", &self.name]).output();
        // The line is not there when there are none.
        let line = told.lines().find(|line| line.starts_with("Unfinished")).unwrap_or("0");
        line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number")
    }
}

/// A Garage of one node, with one bucket, and one key that may do everything with it.
#[derive(Debug)]
pub struct Garage {
    // Ends before its directory.
    process: Option<Process>,
    port: u16,
    directory: Directory,
    buckets: AtomicU32,
}

impl Garage {
    /// A server for one test.
    #[must_use]
    pub fn start() -> Self {
        let mut server = Self {
            process: None,
            port: port::free(),
            directory: Directory::new("garage"),
            buckets: AtomicU32::new(0),
        };
        server.configure(port::free());
        server.start_again();
        server
    }

    /// The server that all tests of this process share. Each should make a
    /// [bucket](Self::create_bucket) of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Garage> = LazyLock::new(Garage::start);
        &SHARED
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What signatures have to name as the region.
    #[must_use]
    pub fn region(&self) -> &'static str {
        "us-east-1"
    }

    /// The name of the key.
    #[must_use]
    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The key.
    #[must_use]
    pub fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &'static str {
        "fiapx-test"
    }

    /// What it has logged: each request, with its method, path and query.
    ///
    /// # Panics
    /// The log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).expect("its log is there");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// A new, empty bucket, for the same key.
    ///
    /// # Panics
    /// The server does not run.
    #[must_use]
    pub fn create_bucket(&self) -> Bucket {
        let name = format!("test-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        let _ = self.control(&["bucket", "create", &name]);
        let _ = self.control(&[
            "bucket", "allow", "--read", "--write", "--owner", &name, "--key", ACCESS_KEY,
        ]);
        Bucket { program: self.program(), name }
    }

    /// Stop it as an operator would.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&mut self) {
        self.process.take().expect("the server runs").stop("TERM");
    }

    /// Stop it in the middle of whatever it does.
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        self.process.take().expect("the server runs").stop("KILL");
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

    /// Start it after a [stop](Self::stop) or [kill](Self::kill), with its data, on the same port.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let program = self
            .program()
            .arguments(["server", "--single-node", "--default-bucket"])
            .environment([
                ("GARAGE_DEFAULT_ACCESS_KEY", self.access_key()),
                ("GARAGE_DEFAULT_SECRET_KEY", self.secret_key()),
                ("GARAGE_DEFAULT_BUCKET", self.bucket()),
            ]);
        let process =
            self.process.insert(program.start("KILL", &self.directory.path().join("log")));
        // It makes its bucket and its key before it listens (`server.rs` of the package `garage`).
        process.wait_until(|| TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
    }

    /// Run its command line with these arguments, such as `["bucket", "info", ...]`, and give what
    /// it wrote.
    ///
    /// # Panics
    /// It fails.
    #[must_use]
    pub fn control(&self, arguments: &[&str]) -> String {
        self.program().arguments(arguments.iter().copied()).output()
    }

    fn program(&self) -> Program {
        let configuration = self.configuration().display().to_string();
        Program::new(binary(), "nothing, but run `./setup.sh store`")
            .arguments(["-c", &configuration])
    }

    fn configuration(&self) -> PathBuf {
        self.directory.path().join("garage.toml")
    }

    fn configure(&self, rpc_port: u16) {
        let directory = self.directory.path().display();
        let (port, region) = (self.port, self.region());
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
        fs::write(self.configuration(), configuration).expect("a configuration can be written");
    }
}

/// The program: what the environment names, or where `setup.sh store` puts it, which is a directory
/// that outlives checkouts.
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
        "{} is missing: run `./setup.sh store`, or set GARAGE to where it is",
        path.display()
    );
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_and_starts_again() {
        let answers = |port| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
        let mut server = Garage::start();
        let port = server.port;
        for stop in [Garage::stop, Garage::kill] {
            assert!(answers(port));
            stop(&mut server);
            assert!(!answers(port));
            server.start_again();
        }
        let directory = server.directory.path().to_owned();
        assert!(answers(port));
        drop(server);
        assert!(!answers(port));
        assert!(!directory.exists());
    }
}
