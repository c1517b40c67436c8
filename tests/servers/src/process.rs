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

/// How long a server may take to start or to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The pause between two looks at a server that starts or stops.
const PAUSE: Duration = Duration::from_millis(20);

/// A program, and how to run it.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    user: Option<&'static str>,
}

impl Program {
    /// # Panics
    /// There is no such file; names the Debian package that has it.
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

    /// The command, by way of setpriv (util-linux), which sends it `signal` when we end. Only what
    /// the program needs of our environment goes with it.
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

    /// Run to the end, and give what it wrote.
    ///
    /// # Panics
    /// It fails.
    pub(crate) fn output(&self) -> String {
        let output = self.command("KILL").output().expect("setpriv (Debian package util-linux)");
        let (written, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{self:?} failed: {}\n{written}{errors}", output.status);
        written.into_owned()
    }

    /// Whether it runs to a good end.
    pub(crate) fn succeeds(&self) -> bool {
        self.command("KILL").output().is_ok_and(|output| output.status.success())
    }

    /// Start it; what it writes goes to the end of a file. It gets `signal` when we end.
    pub(crate) fn start(&self, signal: &str, log: &Path) -> Process {
        let file = File::options().create(true).append(true).open(log).expect("a file for the log");
        let mut command = self.command(signal);
        command
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("a file for the log"))
            .stderr(file);
        let child = spawn(command).expect("setpriv (Debian package util-linux)");
        Process { child, log: log.to_owned() }
    }
}

/// Linux sends the signal when the thread ends that made the child, and a test's thread ends with
/// the test. So one thread, which lasts as long as we do, makes all of them.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static MAKER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    MAKER.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// A server that runs. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Ask again and again until it is ready.
    ///
    /// # Panics
    /// It ends, or takes too long; shows the end of its log.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().expect("the state of a child");
            assert!(ended.is_none(), "the server ended: {ended:?}\n{}", self.last_words());
            assert!(start.elapsed() < PATIENCE, "the server is not ready\n{}", self.last_words());
            thread::sleep(PAUSE);
        }
    }

    /// Send a signal, and wait until it has ended.
    ///
    /// # Panics
    /// It takes too long; shows the end of its log.
    pub(crate) fn stop(mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not stop\n{}", self.last_words());
            thread::sleep(PAUSE);
        }
    }

    /// Send a signal.
    ///
    /// # Panics
    /// It has ended already; shows the end of its log.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.child.id())])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "the server is gone\n{}",
            self.last_words()
        );
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let mut words = format!("the end of {}:\n", self.log.display());
        for line in &lines[lines.len().saturating_sub(40)..] {
            let _ = writeln!(words, "  {line}");
        }
        words
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
