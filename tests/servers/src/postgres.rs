//! PostgreSQL, where rows are.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::directory::Directory;
use crate::port;
use crate::process::{Process, Program};

/// The name that clients connect by; it may do anything, without a password.
const USER: &str = "fiapx";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Postgres {
    // Ends before its directory.
    process: Option<Process>,
    port: u16,
    directory: Directory,
    /// Whom it runs as, if not as us: it refuses to run as root.
    user: Option<&'static str>,
    databases: AtomicU32,
}

/// What becomes of the connections when the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// They are cut off, their transactions rolled back, and everything is written down.
    Fast,
    /// As in a crash: the next start recovers from the log.
    Immediate,
}

impl Postgres {
    /// A server for one test.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = Directory::new("postgres");
        let root = fs::metadata(directory.path()).expect("the directory is there").uid() == 0;
        let user = root.then_some("postgres");
        if let Some(user) = user {
            chown(directory.path(), Some(uid(user)), None).expect("root may give a directory away");
        }
        let mut server = Self {
            process: None,
            port: port::free(),
            directory,
            user,
            databases: AtomicU32::new(0),
        };
        let data = server.data();
        server
            .program("initdb")
            // What the system had not yet written when a process was killed is not lost; and nobody
            // pulls the plug.
            .arguments([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username",
                USER,
                "--pgdata",
                &data,
            ])
            .output();
        server.start_again();
        server
    }

    /// The server that all tests of this process share. Each should make a
    /// [database](Self::create_database) of its own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<Postgres> = LazyLock::new(Postgres::start);
        &SHARED
    }

    /// Where to connect to a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// A new, empty database, and where to connect to it.
    ///
    /// # Panics
    /// The server does not run.
    #[must_use]
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.client("createdb").arguments([&name]).output();
        self.url(&name)
    }

    /// Stop it.
    ///
    /// # Panics
    /// It does not run.
    pub fn stop(&mut self, how: Stop) {
        let signal = match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
        };
        self.process.take().expect("the server runs").stop(signal);
    }

    /// Start it after a [stop](Self::stop), with the same data and on the same port.
    ///
    /// # Panics
    /// It runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        let settings = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "fsync=off".to_owned(),
            // In files of the data directory, which go with it, and not in /dev/shm, where a server
            // that is killed leaves them.
            "dynamic_shared_memory_type=mmap".to_owned(),
        ];
        let program = self
            .program("postgres")
            .arguments(["-D", &self.data()])
            .arguments(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        let log = self.directory.path().join("log");
        // Its signal for an immediate stop: its own children end with it and it gives its shared
        // memory back, unlike after KILL.
        let mut process = program.start("QUIT", &log);
        let ready = self.client("pg_isready");
        process.wait_until(|| ready.succeeds());
        self.process = Some(process);
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    fn client(&self, name: &str) -> Program {
        self.program(name).arguments([
            "--host",
            "127.0.0.1",
            "--username",
            USER,
            "--port",
            &self.port.to_string(),
        ])
    }

    fn program(&self, name: &str) -> Program {
        Program::new(newest().join(name), "postgresql").user(self.user)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take()
            && !std::thread::panicking()
        {
            process.stop("QUIT");
        }
    }
}

/// Where Debian puts the programs of the newest version that is installed.
fn newest() -> PathBuf {
    let versions = Path::new("/usr/lib/postgresql");
    let installed =
        fs::read_dir(versions).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let newest = installed.filter_map(|name| name.to_str()?.parse::<u32>().ok()).max();
    versions.join(newest.unwrap_or_default().to_string()).join("bin")
}

fn uid(user: &str) -> u32 {
    let users = fs::read_to_string("/etc/passwd").expect("a list of users");
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == user);
    let uid = fields.and_then(|fields| fields.get(2)?.parse().ok());
    uid.unwrap_or_else(|| panic!("there is no user {user}: apt-get install postgresql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Postgres {
        fn answer(&self, url: &str, statement: &str) -> String {
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
        let mut server = Postgres::start();
        let url = server.create_database();
        server.answer(&url, "CREATE TABLE kept (number integer)");
        for (stop, rows) in [(Stop::Fast, "1\n"), (Stop::Immediate, "2\n")] {
            server.answer(&url, "INSERT INTO kept VALUES (1)");
            server.stop(stop);
            assert!(!server.client("pg_isready").succeeds());
            server.start_again();
            assert_eq!(server.answer(&url, "SELECT count(*) FROM kept"), rows);
        }
        let directory = server.directory.path().to_owned();
        drop(server);
        assert!(!directory.exists());
    }

    #[test]
    fn databases_are_apart() {
        let server = Postgres::shared();
        let (first, second) = (server.create_database(), server.create_database());
        server.answer(&first, "CREATE TABLE there (number integer)");
        assert_eq!(
            server.answer(&second, "SELECT count(*) FROM pg_tables WHERE tablename = 'there'"),
            "0\n"
        );
    }
}
