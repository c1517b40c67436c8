//! A role of the service as a process of the optimized program, as operators run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::client::Result;

/// Time between two readings of the memory of a process.
const MEMORY_INTERVAL: Duration = Duration::from_millis(5);

/// A process of the service. Dropping it kills the process.
pub struct Role {
    child: Child,
    /// Base URL of its HTTP interface; `http://` if it has none.
    pub base: String,
    peak: Arc<AtomicU64>,
}

impl Role {
    /// Start the process and wait until it is ready.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stdout.take().ok_or("no pipe for the log")?).lines();
        let (process, peak) = (child.id(), Arc::new(AtomicU64::new(0)));
        let mut role = Self { child, base: String::new(), peak: Arc::clone(&peak) };
        std::thread::spawn(move || watch_memory(process, &peak));
        loop {
            let line = log.next().ok_or("the process exited before it was ready")??;
            let line: Value = serde_json::from_str(&line)?;
            if line["event"] == "the service is ready" {
                role.base = format!("http://{}", line["address"].as_str().unwrap_or_default());
                // A full pipe would block the process.
                std::thread::spawn(move || log.for_each(drop));
                return Ok(role);
            }
        }
    }

    /// Upper bound of the peak memory of the process and its cells together, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Record in `peak` the maximum of the sum of the peak memory (`VmHWM`, proc(5)) of a process and
/// its children, until the process exits. Their peaks need not coincide, so the sum is an upper
/// bound.
fn watch_memory(process: u32, peak: &AtomicU64) {
    while let Some(own) = peak_memory_of(&process.to_string()) {
        let children: u64 = children_of(process).iter().filter_map(|pid| peak_memory_of(pid)).sum();
        peak.fetch_max(own + children, Ordering::Relaxed);
        std::thread::sleep(MEMORY_INTERVAL);
    }
}

/// Peak memory of a process in bytes, or `None` if it has exited.
fn peak_memory_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

/// Ids of the processes that any thread of a process has started.
fn children_of(process: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task"));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
