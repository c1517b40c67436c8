//! A service for the duration of the run: in an empty directory, on a free loopback port.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// Limits per user that would limit the measurement.
const RAISED_LIMITS: [&str; 6] = [
    "LIMIT_ATTEMPTS_PER_ADDRESS",
    "LIMIT_DOWNLOADS_PER_MINUTE",
    "LIMIT_LOGINS_PER_MINUTE",
    "LIMIT_STORED_MB",
    "LIMIT_UNFINISHED_JOBS",
    "LIMIT_UPLOADS_AT_ONCE",
];

/// Value of the raised limits.
const RAISED_TO: &str = "1000000";

/// A running service. Dropping it kills the process and deletes its data.
pub struct LocalService {
    child: Child,
    base: String,
    _data: TempDir,
}

impl LocalService {
    /// Start the service with these settings, each as `NAME=VALUE`, and wait until it is ready.
    pub fn start(program: &Path, settings: &[String]) -> Result<Self> {
        let data = tempfile::tempdir().context("cannot create a directory for the service")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env_clear()
            .envs(RAISED_LIMITS.map(|name| (name, RAISED_TO)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        for setting in settings {
            let (name, value) = setting
                .split_once('=')
                .with_context(|| format!("--set: `{setting}` is not NAME=VALUE"))?;
            command.env(name, value);
        }
        let mut child = command.spawn().with_context(|| {
            format!("cannot start {} (`make build` builds it)", program.display())
        })?;
        let log = child.stdout.take().context("no pipe for the log")?;
        let mut service = Self { child, base: String::new(), _data: data };
        service.base = wait_until_ready(log)
            .with_context(|| format!("cannot use the service of {}", program.display()))?;
        let raised = RAISED_LIMITS.iter().map(|name| format!("{name}={RAISED_TO}"));
        let all: Vec<String> = raised.chain(settings.iter().cloned()).collect();
        eprintln!("started {} serve with {}", program.display(), all.join(" "));
        Ok(service)
    }

    /// Base URL of the service.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// Read the log until the service is ready, and return its base URL.
fn wait_until_ready(log: impl std::io::Read + Send + 'static) -> Result<String> {
    let mut lines = BufReader::new(log).lines();
    loop {
        let Some(Ok(line)) = lines.next() else { bail!("it exited before it was ready") };
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        if line["event"] == "the service is ready" {
            // A full pipe would block the service.
            std::thread::spawn(move || lines.for_each(drop));
            return Ok(format!("http://{}", line["address"].as_str().unwrap_or_default()));
        }
    }
}

impl Drop for LocalService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
