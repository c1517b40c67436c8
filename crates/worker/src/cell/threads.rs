//! Limit on the threads of a cell.
//!
//! The system call filter allows no new processes, but threads, without which libav and the engine
//! cannot work; it cannot count them. `RLIMIT_NPROC` (getrlimit(2)) counts all processes of a user
//! on the machine, so it would let cells take threads from each other and from the worker, and it
//! does not apply to root. So the worker counts them. The limit on processes of a container bounds
//! what a cell can start in between.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Time between two counts.
const INTERVAL: Duration = Duration::from_millis(250);

/// Maximum number of threads of a cell whose task has this number: that of the engine's pool, and
/// of libav's threads in each decoder at the end of a video, with a wide margin.
pub(super) fn max_threads(threads: NonZeroUsize) -> u64 {
    64 + 8 * threads.get() as u64
}

/// Wait until a process has more than `max` threads, and return their number. Never returns if the
/// process has none, because it has exited.
pub(super) async fn exceeded(process: Option<u32>, max: u64) -> u64 {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(count) = process.and_then(count) else { return std::future::pending().await };
        if count > max {
            return count;
        }
    }
}

/// Number of threads of a process (proc(5)).
fn count(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
    threads.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_threads_of_a_process() {
        let own = count(std::process::id()).expect("this process runs");
        assert!(own >= 1);
        assert_eq!(count(u32::MAX), None);
    }

    #[tokio::test]
    async fn notices_more_threads_than_allowed() {
        assert!(exceeded(Some(std::process::id()), 0).await >= 1);
    }
}
