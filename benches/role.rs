//! A role of the service, as a process of the optimised command, so that what is measured of it is
//! what an operator sees.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::client::Result;

/// A process of the service; dropping it kills it.
pub struct Role {
    child: Child,
    /// Where it serves, if it does.
    pub base: String,
    peak: Arc<AtomicU64>,
}

impl Role {
    /// Start it, and wait until it is ready.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("its log is piped")?).lines();
        let (process, peak) = (child.id(), Arc::new(AtomicU64::new(0)));
        let mut role = Self { child, base: String::new(), peak: Arc::clone(&peak) };
        std::thread::spawn(move || watch_memory(process, &peak));
        loop {
            let line: Value = serde_json::from_str(&lines.next().ok_or("it did not get ready")??)?;
            if line["event"] == "the service is ready" {
                role.base = format!("http://{}", line["address"].as_str().unwrap_or_default());
                // Nobody may wait for a log that is not read.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(role);
            }
        }
    }

    /// The most memory that it and its cells have had together, in bytes.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }
}

/// Note in `peak` the most memory that a process and its children have together, until it has gone:
/// the sum of their own peaks (`VmHWM`, proc(5)), so no more than that.
fn watch_memory(process: u32, peak: &AtomicU64) {
    let own_peak = |process: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    };
    while let Some(own) = own_peak(&process.to_string()) {
        let threads =
            std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let listed = threads.map(|thread| {
            std::fs::read_to_string(thread.path().join("children")).unwrap_or_default()
        });
        let children: u64 = listed
            .flat_map(|list| list.split_whitespace().filter_map(own_peak).collect::<Vec<_>>())
            .sum();
        peak.fetch_max(own + children, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
