//! How much time the threads of an extraction spend on which kind of work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The work that is timed.
#[derive(Debug, Default)]
pub(crate) struct Spent {
    /// Calls of libav's decoder. Its own frame threads count as the one that waits for them.
    pub decoding: Time,
    /// Converting, compressing and hashing pictures.
    pub encoding: Time,
}

/// Time of all threads together.
#[derive(Debug, Default)]
pub(crate) struct Time(AtomicU64);

impl Time {
    /// Do the work and add the time that it takes.
    pub(crate) fn spend<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.0.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        done
    }

    /// What was spent so far.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
