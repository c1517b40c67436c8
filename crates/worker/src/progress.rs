//! Progress of a running attempt.

use std::sync::atomic::{AtomicU64, Ordering};

/// Latest progress of an attempt. The engine's thread writes it, the renewal of the lease reads it.
#[derive(Debug, Default)]
pub(crate) struct SharedProgress {
    done: AtomicU64,
    /// Zero if unknown.
    expected: AtomicU64,
}

impl SharedProgress {
    /// Replace the progress.
    pub(crate) fn set(&self, progress: frames::Progress) {
        self.done.store(progress.done, Ordering::Relaxed);
        self.expected.store(progress.expected.unwrap_or(0), Ordering::Relaxed);
    }

    /// Return the progress.
    pub(crate) fn get(&self) -> frames::Progress {
        let expected = self.expected.load(Ordering::Relaxed);
        frames::Progress {
            done: self.done.load(Ordering::Relaxed),
            expected: (expected > 0).then_some(expected),
        }
    }
}
