//! PostgreSQL, the database.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::Program;
use crate::server::{Server, supervision_methods};

/// User of the clients, with all permissions and without a password.
const USER: &str = "fiapx";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    /// User that runs the server if the tests run as root, because the server refuses that.
    user: Option<&'static str>,
    databases: AtomicU32,
}

/// Shutdown mode of PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Connections are closed, their transactions are rolled back, and all data is written to disk.
    Fast,
    /// Equivalent to a crash: the next start recovers from the log.
    Immediate,
}

impl Postgres {
    /// Start a server for one test.
    ///
    /// # Panics
    /// The server does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::on(Server::new("postgres"))
    }

    /// Start a server with a disk of this size in MiB for one test.
    ///
    /// # Panics
    /// The server does not start, or this process may not mount.
    #[must_use]
    pub fn on_disk(mib: usize) -> Self {
        Self::on(Server::on_disk("postgres", mib))
    }

    fn on(server: Server) -> Self {
        let directory = server.directory.path();
        let is_root = fs::metadata(directory).expect("the directory exists").uid() == 0;
        let user = is_root.then_some("postgres");
        if let Some(user) = user {
            chown(directory, Some(uid(user)), None).expect("root may change the owner");
        }
        let mut postgres = Self { server, user, databases: AtomicU32::new(0) };
        postgres
            .program("initdb")
            // Syncing only matters if the machine crashes, not if a process is killed.
            .arguments([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username",
                USER,
                "--pgdata",
                &postgres.data(),
            ])
            .output();
        postgres.start_again();
        postgres
    }

    /// The server that all tests of this process share. Each test should
    /// [create a database](Self::create_database).
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);
        &SHARED
    }

    /// Port on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// File with its log.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.server.log_path()
    }

    /// URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.server.port)
    }

    /// Create an empty database and return its URL.
    ///
    /// # Panics
    /// The server is not running.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.client("createdb").arguments([&name]).output();
        self.url(&name)
    }

    /// Run an SQL statement in a database and return its result, one line per row.
    ///
    /// # Panics
    /// The statement fails, or the server is not running.
    pub fn execute(&self, url: &str, statement: &str) -> String {
        self.program("psql")
            .arguments(["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement, url])
            .output()
    }

    supervision_methods!();

    /// Suspend the server and the processes of all its connections, like a machine that hangs.
    ///
    /// # Panics
    /// The server is not running.
    pub fn pause(&self) {
        self.server.signal_family("STOP");
    }

    /// Continue after a [pause](Self::pause).
    ///
    /// # Panics
    /// The server is not running.
    pub fn resume(&self) {
        self.server.signal_family("CONT");
    }

    /// Stop the server.
    ///
    /// # Panics
    /// The server is not running.
    pub fn stop(&mut self, mode: ShutdownMode) {
        self.server.stop(match mode {
            ShutdownMode::Fast => "INT",
            ShutdownMode::Immediate => "QUIT",
        });
    }

    /// Start it after a [stop](Self::stop), with the same data and port.
    ///
    /// # Panics
    /// The server is running, or it does not start.
    pub fn start_again(&mut self) {
        let settings = [
            format!("port={}", self.server.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "fsync=off".to_owned(),
            // Small disks have room for it.
            "max_wal_size=256MB".to_owned(),
            // In files of the data directory instead of /dev/shm, where a killed server leaves
            // them.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        let program = self
            .program("postgres")
            .arguments(["-D", &self.data()])
            .arguments(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let ready = self.client("pg_isready");
        // QUIT is the signal of an immediate shutdown: unlike after KILL, its child processes end
        // as well, and it releases its shared memory.
        self.server.start(&program, "QUIT", || ready.succeeds());
    }

    fn data(&self) -> String {
        self.server.directory.join("data")
    }

    fn client(&self, name: &str) -> Program {
        self.program(name).arguments([
            "--host",
            "127.0.0.1",
            "--username",
            USER,
            "--port",
            &self.server.port.to_string(),
        ])
    }

    fn program(&self, name: &str) -> Program {
        Program::new(newest_version().join(name), "postgresql").user(self.user)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_running() && !std::thread::panicking() {
            self.server.stop("QUIT");
        }
    }
}

/// Directory of the programs of the newest installed version in Debian.
fn newest_version() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let installed =
        fs::read_dir(versions).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let newest = installed.filter_map(|name| name.to_str()?.parse::<u32>().ok()).max();
    versions.join(newest.unwrap_or_default().to_string()).join("bin")
}

/// User ID of a user in /etc/passwd.
fn uid(user: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == user);
    let uid = fields.and_then(|fields| fields.get(2)?.parse().ok());
    uid.unwrap_or_else(|| panic!("the user {user} does not exist: apt-get install postgresql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Postgres {
        fn query(&self, url: &str, statement: &str) -> String {
            self.program("psql")
                .arguments([
                    "--no-psqlrc",
                    "--tuples-only",
                    "--no-align",
                    "--command",
                    statement,
                    url,
                ])
                .output()
        }
    }

    #[test]
    fn keeps_its_rows_when_it_stops() {
        let mut postgres = Postgres::start();
        let url = postgres.create_database();
        postgres.query(&url, "CREATE TABLE kept (number integer)");
        for (mode, rows) in [(ShutdownMode::Fast, "1\n"), (ShutdownMode::Immediate, "2\n")] {
            postgres.query(&url, "INSERT INTO kept VALUES (1)");
            postgres.stop(mode);
            assert!(!postgres.client("pg_isready").succeeds());
            postgres.start_again();
            assert_eq!(postgres.query(&url, "SELECT count(*) FROM kept"), rows);
        }
        let directory = postgres.server.directory.path().to_owned();
        drop(postgres);
        assert!(!directory.exists());
    }

    #[test]
    fn databases_are_separate() {
        let postgres = Postgres::shared();
        let (first, second) = (postgres.create_database(), postgres.create_database());
        postgres.query(&first, "CREATE TABLE only_in_first (number integer)");
        let count = "SELECT count(*) FROM pg_tables WHERE tablename = 'only_in_first'";
        assert_eq!(postgres.query(&second, count), "0\n");
    }
}
