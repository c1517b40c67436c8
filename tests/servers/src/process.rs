//! Servers as child processes.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Timeout of starting and of stopping a server.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Interval of polling a server that starts or stops.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A program with its arguments, environment and user.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    user: Option<&'static str>,
}

impl Program {
    /// # Panics
    /// The file does not exist. The message names its Debian package.
    pub(crate) fn new(path: impl Into<PathBuf>, package: &str) -> Self {
        let path = path.into();
        assert!(path.is_file(), "{} is missing: apt-get install {package}", path.display());
        Self { path, arguments: Vec::new(), environment: Vec::new(), user: None }
    }

    pub(crate) fn arguments<S: Into<String>>(
        mut self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(crate) fn environment<S: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (&'static str, S)>,
    ) -> Self {
        self.environment
            .extend(variables.into_iter().map(|(name, value)| (name.to_owned(), value.into())));
        self
    }

    /// Run as another user.
    pub(crate) fn user(mut self, user: Option<&'static str>) -> Self {
        self.user = user;
        self
    }

    /// The command, run by setpriv (util-linux), which sends it `signal` when this process ends.
    /// Its environment has only the variables that the program needs.
    fn command(&self, signal: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal]);
        if let Some(user) = self.user {
            command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        command.arg("--").arg(&self.path).args(&self.arguments);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value))).current_dir("/");
        command
    }

    /// Run it to its end and return its output.
    ///
    /// # Panics
    /// The program fails.
    pub(crate) fn output(&self) -> String {
        let output = self.command("KILL").output().expect("setpriv (Debian package util-linux)");
        let (written, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{self:?} failed: {}\n{written}{errors}", output.status);
        written.into_owned()
    }

    /// Run it to its end and return whether it succeeded.
    pub(crate) fn succeeds(&self) -> bool {
        self.command("KILL").output().is_ok_and(|output| output.status.success())
    }

    /// Start it, with its output appended to `log`. It receives `signal` when this process ends.
    pub(crate) fn start(&self, signal: &str, log: &Path) -> Process {
        let file =
            File::options().create(true).append(true).open(log).expect("the log can be opened");
        let mut command = self.command(signal);
        command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("the log can be opened"))
            .stderr(file);
        let child = spawn(command).expect("setpriv (Debian package util-linux)");
        Process { child, log: log.to_owned() }
    }
}

/// Spawn a child process. Linux sends its signal when the thread that spawned it ends, and the
/// thread of a test ends with the test. So one thread, which lives as long as this process, spawns
/// all of them.
fn spawn(command: Command) -> io::Result<Child> {
    struct Request {
        command: Command,
        reply: Sender<io::Result<Child>>,
    }
    static SPAWNER: LazyLock<Sender<Request>> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for Request { mut command, reply } in requests {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, result) = mpsc::channel();
    SPAWNER.send(Request { command, reply }).map_err(io::Error::other)?;
    result.recv().map_err(io::Error::other)?
}

/// A running server. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Poll until it is ready.
    ///
    /// # Panics
    /// The process ends, or the timeout expires. The message has the end of its log.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", self.log_tail());
            assert!(start.elapsed() < TIMEOUT, "the server is not ready\n{}", self.log_tail());
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the state of a child").is_some()
    }

    /// Send a signal and wait until the process has ended.
    ///
    /// # Panics
    /// The timeout expires. The message has the end of its log.
    pub(crate) fn stop(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(start.elapsed() < TIMEOUT, "the server has not stopped\n{}", self.log_tail());
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Send a signal.
    ///
    /// # Panics
    /// The process has already ended. The message has the end of its log.
    pub(crate) fn signal(&self, signal: &str) {
        self.send(&format!("kill -{signal} {}", self.child.id()));
    }

    /// Send a signal to the process and then to its children.
    ///
    /// # Panics
    /// The process has already ended. The message has the end of its log.
    pub(crate) fn signal_family(&self, signal: &str) {
        let id = self.child.id();
        // A child may end meanwhile.
        self.send(&format!(
            "kill -{signal} {id} && for child in $(cat /proc/{id}/task/{id}/children); do kill \
             -{signal} $child || true; done"
        ));
    }

    fn send(&self, script: &str) {
        let sent = Command::new("sh").args(["-c", script]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server has ended\n{}",
            self.log_tail()
        );
    }

    fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let mut tail = format!("the end of {}:\n", self.log.display());
        for line in &lines[lines.len().saturating_sub(40)..] {
            let _ = writeln!(tail, "  {line}");
        }
        tail
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
