//! Time that the threads of an extraction spend on each kind of work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time spent on each kind of work.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    /// Calls of libav's decoder. Its own frame threads do not count, only the thread that waits for
    /// them.
    pub decoding: Stopwatch,
    /// Conversion, compression and hashing of frames.
    pub encoding: Stopwatch,
}

/// Sum of the time that all threads spend on one kind of work.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch(AtomicU64);

impl Stopwatch {
    /// Run `work` and add its duration to the sum.
    pub(crate) fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.0.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        result
    }

    pub(crate) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
