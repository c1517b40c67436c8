//! A service for the time of the run: in an empty directory, on a free port of loopback.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

/// What bounds one user in one minute would bound the measurement.
const RAISED: [&str; 6] = [
    "LIMIT_ATTEMPTS_PER_ADDRESS",
    "LIMIT_DOWNLOADS_PER_MINUTE",
    "LIMIT_LOGINS_PER_MINUTE",
    "LIMIT_STORED_MB",
    "LIMIT_UNFINISHED_JOBS",
    "LIMIT_UPLOADS_AT_ONCE",
];

/// To where.
const MOST: &str = "1000000";

/// The service. Dropping it kills it and removes its data.
pub struct Own {
    child: Child,
    base: String,
    _data: TempDir,
}

impl Own {
    /// Start it with these settings, each as `NAME=VALUE`, and wait until it is ready.
    pub fn start(program: &Path, settings: &[String]) -> Result<Self> {
        let data = tempfile::tempdir().context("cannot make a directory for the service")?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env_clear();
        command.envs(RAISED.map(|name| (name, MOST)));
        for setting in settings {
            let (name, value) =
                setting.split_once('=').with_context(|| format!("`{setting}` is no NAME=VALUE"))?;
            command.env(name, value);
        }
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let started = started
            .with_context(|| format!("cannot start {} (`make build` makes it)", program.display()));
        let mut own = Self { child: started?, base: String::new(), _data: data };
        let mut lines =
            BufReader::new(own.child.stdout.take().context("its log is piped")?).lines();
        loop {
            let Some(Ok(line)) = lines.next() else {
                bail!("{} ended before it was ready", program.display())
            };
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["event"] == "the service is ready" {
                own.base = format!("http://{}", line["address"].as_str().unwrap_or_default());
                // Nobody may wait for a log that is not read.
                std::thread::spawn(move || lines.for_each(drop));
                let raised = RAISED.iter().map(|name| format!("{name}={MOST}"));
                let told: Vec<String> = raised.chain(settings.iter().cloned()).collect();
                eprintln!("started {} serve with {}", program.display(), told.join(" "));
                return Ok(own);
            }
        }
    }

    /// Where it is reached.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
