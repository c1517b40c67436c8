//! A service as a process of its own, which can be measured, signalled and killed.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{PATIENCE, fiapx, tool};
use crate::service::{Client, PASSWORD};

/// What no log may hold, whoever writes it: passwords, access tokens as they begin, hashes of
/// passwords, addresses of users.
const NEVER_LOGGED: [&str; 4] = [PASSWORD, "eyJ", "$argon2", "@example.com"];

/// A running `fiapx serve`; dropping it kills it. Its log must not tell a secret.
pub struct Process {
    child: Child,
    client: Client,
    log: Arc<Mutex<Vec<Value>>>,
    secrets: Vec<String>,
    reader: Option<JoinHandle<()>>,
}

impl Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Process {
    /// Start one on a data directory, with these variables in its otherwise empty environment.
    pub fn start(data_directory: &Path, environment: &[(&str, &str)]) -> Self {
        Self::role(&["serve", "--listen", "127.0.0.1:0"], data_directory, environment)
    }

    /// Start a role of the service, by its words on the command line.
    pub fn role(words: &[&str], data_directory: &Path, environment: &[(&str, &str)]) -> Self {
        Self::of(fiapx(), words, data_directory, environment)
    }

    /// The same with all files noted that it or a process of it opens for writing or makes.
    pub fn watched(
        words: &[&str],
        data_directory: &Path,
        environment: &[(&str, &str)],
        notes: &Path,
    ) -> Self {
        let mut command = tool("strace");
        // As a grandchild, so that signals reach the service.
        command.args([
            "-D",
            "-f",
            "-qq",
            "-e",
            "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,truncate",
        ]);
        command.args(["-e", "signal=none", "-o"]).arg(notes).arg(fiapx().get_program());
        Self::of(command, words, data_directory, environment)
    }

    fn of(
        mut command: Command,
        words: &[&str],
        data_directory: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        command.args(words).arg("--data-dir").arg(data_directory).env_clear();
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fiapx can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (mut address, mut ready) = (None, false);
        while !ready {
            let line = lines.next().expect("the service gets ready").expect("its log is text");
            let line: Value = serde_json::from_str(&line).expect("its log is JSON");
            ready = line["event"] == "the service is ready";
            address = line["address"].as_str().map(str::to_owned);
            log.lock().expect("nobody panicked").push(line);
        }
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().expect("nobody panicked").push(line);
            }
        });
        let own = environment
            .iter()
            .filter(|(name, _)| ["JWT_SECRET", "S3_SECRET_KEY", "SMTP_PASSWORD"].contains(name));
        let secrets = own.map(|(_, value)| *value).chain(NEVER_LOGGED).map(str::to_owned).collect();
        Self {
            child,
            client: Client::of(&address.unwrap_or_default()),
            log,
            secrets,
            reader: Some(reader),
        }
    }

    /// The processes that it has started and that still run.
    pub fn children(&self) -> Vec<u32> {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        // A thread that has ended meanwhile has no children.
        let listed = threads.flatten().map(|thread| {
            std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        });
        listed
            .flat_map(|numbers| {
                numbers
                    .split_whitespace()
                    .map(|number| number.parse().expect("a number"))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// The memory that it and its children have now, in bytes; what they share counts for each
    /// (`VmRSS`, proc(5)).
    pub fn memory(&self) -> u64 {
        let of = |process: &u32| {
            let status =
                std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let line =
                status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
            line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
        };
        self.children().iter().chain([&self.child.id()]).map(of).sum()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().expect("nobody panicked").clone()
    }

    /// The most memory that it has had, in bytes (`VmHWM`, proc(5)).
    pub fn peak_memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Send it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be started").success());
    }

    /// Kill it as the kernel would.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Wait until it ends by itself, and give its status and its whole log.
    pub fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        (status, self.log())
    }

    /// Wait until it ends by itself, and give its status.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the service does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let told = self.log().into_iter().map(|line| line.to_string());
        let told: Vec<String> =
            told.filter(|line| self.secrets.iter().any(|secret| line.contains(secret))).collect();
        assert!(told.is_empty() || std::thread::panicking(), "the log tells secrets: {told:#?}");
    }
}
