//! A service as a separate process, which can be measured, signaled and killed.

use std::io::{BufRead, BufReader};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;

use super::checks::TIMEOUT;
use super::client::{Client, PASSWORD};
use super::programs::{fiapx, tool};

/// Secrets that no log may contain: passwords, the beginning of access tokens, password hashes, and
/// mail addresses of users.
const NEVER_LOGGED: [&str; 4] = [PASSWORD, "eyJ", "$argon2", "@example.com"];

/// A running `fiapx serve` or role. Dropping it kills it and checks that its log has no secrets.
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
    /// Start `fiapx serve` on a data directory, with these variables in its otherwise empty
    /// environment.
    pub fn start(data_directory: &Path, environment: &[(&str, &str)]) -> Self {
        Self::role(&["serve", "--listen", "127.0.0.1:0"], data_directory, environment)
    }

    /// Start a role of the service, by its arguments.
    pub fn role(arguments: &[&str], data_directory: &Path, environment: &[(&str, &str)]) -> Self {
        Self::of(fiapx(), arguments, data_directory, environment)
    }

    /// Start a role of another version of the program.
    pub fn of_version(
        program: &Path,
        arguments: &[&str],
        data_directory: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        Self::of(Command::new(program), arguments, data_directory, environment)
    }

    /// Start a role, and record in `trace` the files that it and its children open or create.
    pub fn traced(
        arguments: &[&str],
        data_directory: &Path,
        environment: &[(&str, &str)],
        trace: &Path,
    ) -> Self {
        let mut command = tool("strace");
        // The tracer is a grandchild, so that signals reach the service.
        command.args([
            "-D",
            "-f",
            "-qq",
            "-e",
            "trace=open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,truncate",
        ]);
        command.args(["-e", "signal=none", "-o"]).arg(trace).arg(fiapx().get_program());
        Self::of(command, arguments, data_directory, environment)
    }

    /// Start a role with a command to which its arguments are added.
    pub fn of(
        mut command: Command,
        arguments: &[&str],
        data_directory: &Path,
        environment: &[(&str, &str)],
    ) -> Self {
        command.args(arguments).arg("--data-dir").arg(data_directory).env_clear();
        // The profile file is the one of coverage measurements.
        let inherited = ["PATH", "LLVM_PROFILE_FILE"];
        command
            .envs(inherited.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("fiapx can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (mut address, mut ready) = (None, false);
        while !ready {
            let line = lines.next().expect("the service becomes ready").expect("its log is text");
            let line: Value = serde_json::from_str(&line).expect("its log is JSON");
            ready = line["event"] == "the service is ready";
            address = line["address"].as_str().map(str::to_owned);
            log.lock().push(line);
        }
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                kept.lock().push(line);
            }
        });
        let own = environment
            .iter()
            .filter(|(name, _)| ["JWT_SECRET", "S3_SECRET_KEY", "SMTP_PASSWORD"].contains(name));
        let secrets = own.map(|(_, value)| *value).chain(NEVER_LOGGED).map(str::to_owned).collect();
        let client = Client::of(&address.unwrap_or_default());
        Self { child, client, log, secrets, reader: Some(reader) }
    }

    /// Ids of its child processes.
    pub fn children(&self) -> Vec<u32> {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it is running");
        // The file of a thread that has exited meanwhile is missing.
        let listed = threads.flatten().map(|thread| {
            std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        });
        listed
            .flat_map(|numbers| {
                numbers
                    .split_whitespace()
                    .map(|number| number.parse().expect("a process id"))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    /// Current memory of it and its children, in bytes; shared pages count for each (`VmRSS`,
    /// proc(5)).
    pub fn memory(&self) -> u64 {
        let processes = self.children().into_iter().chain([self.child.id()]);
        processes.map(|process| status_bytes(process, "VmRSS:").unwrap_or(0)).sum()
    }

    /// Peak memory, in bytes (`VmHWM`, proc(5)).
    pub fn peak_memory(&self) -> u64 {
        status_bytes(self.child.id(), "VmHWM:").expect("it is running")
    }

    /// Lines of its log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().clone()
    }

    /// Send it a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let status =
            Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill can be started").success());
    }

    /// Kill it.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Send it SIGTERM, wait until it exits, check that it succeeds, and return its log.
    pub fn terminate(self) -> Vec<Value> {
        self.signal("TERM");
        let (status, log) = self.wait_for_exit();
        assert!(status.success(), "{status}: {log:?}");
        log
    }

    /// Wait until it exits by itself, and return its status and its log.
    pub fn wait_for_exit(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.wait();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the log is read");
        }
        (status, self.log())
    }

    /// Wait until it exits by itself, and return its status.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the service does not exit");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.log().into_iter().map(|line| line.to_string());
        let leaking: Vec<String> =
            lines.filter(|line| self.secrets.iter().any(|secret| line.contains(secret))).collect();
        assert!(
            leaking.is_empty() || std::thread::panicking(),
            "the log contains secrets: {leaking:#?}"
        );
    }
}

/// A size from `/proc/PID/status`, in bytes; `None` if the process does not run.
fn status_bytes(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let size = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(size.trim().trim_end_matches(" kB").parse::<u64>().expect("a size in kB") * 1024)
}

/// An address that nothing listens on, and that no outgoing connection takes, for a process whose
/// successor needs the same one.
pub fn free_address() -> String {
    format!("127.0.0.1:{}", servers::free_port())
}
