//! A service for the duration of the run: in an empty directory, on a free loopback port.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// Limits that would limit the measurement of a load, raised.
pub const RAISED_LIMITS: [(&str, &str); 10] = [
    ("API_CONNECTIONS_PER_ADDRESS", RAISED_TO),
    ("API_MAX_CONNECTIONS", RAISED_TO),
    ("LIMIT_ATTEMPTS_PER_ADDRESS", RAISED_TO),
    ("LIMIT_DOWNLOADS_PER_MINUTE", RAISED_TO),
    ("LIMIT_EVENT_STREAMS_AT_ONCE", RAISED_TO),
    ("LIMIT_JOBS_PER_HOUR", RAISED_TO),
    ("LIMIT_LOGINS_PER_MINUTE", RAISED_TO),
    ("LIMIT_STORED_MB", RAISED_TO),
    ("LIMIT_UNFINISHED_JOBS", RAISED_TO),
    ("LIMIT_UPLOADS_AT_ONCE", RAISED_TO),
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
    /// Start the service with these variables, and settings, each as `NAME=VALUE`, and wait until
    /// it is ready.
    pub fn start(program: &Path, variables: &[(&str, &str)], settings: &[String]) -> Result<Self> {
        let data = tempfile::tempdir().context("cannot create a directory for the service")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env_clear()
            .envs(variables.iter().copied())
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
        let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let all: Vec<String> = variables.chain(settings.iter().cloned()).collect();
        eprintln!("started {} serve with {}", program.display(), all.join(" "));
        Ok(service)
    }

    /// Base URL of the service.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Address of the service.
    pub fn address(&self) -> Result<SocketAddr> {
        let address = self.base.trim_start_matches("http://");
        address.parse().with_context(|| format!("`{address}` is not an address"))
    }

    /// Peak memory of the process, without its cells, in bytes (`VmHWM`, proc(5)).
    pub fn memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.child.id());
        let status =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kilobytes.with_context(|| format!("no VmHWM in {path}"))? * 1024)
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
