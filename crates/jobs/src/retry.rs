//! Retry rules: number of attempts at a job and the pauses between them.

use std::time::Duration;

use crate::failure::{FailureCode, Retry};

/// Maximum number of attempts at a video that may itself be the cause of the failure. Such attempts
/// cost more than others (a crash, all memory, the whole time limit) and succeed less often.
pub const MAX_LIMITED_ATTEMPTS: u32 = 3;

/// Number of attempts at a job and the pauses between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Pauses before the second attempt, the third, and so on. The maximum number of attempts is
    /// one more than the number of pauses.
    pub pauses: Vec<Duration>,
}

impl Default for RetryPolicy {
    /// 30, 60 and 120 seconds.
    fn default() -> Self {
        Self { pauses: [30, 60, 120].map(Duration::from_secs).to_vec() }
    }
}

impl RetryPolicy {
    /// Pause between the failure of attempt number `attempt`, counted from 1, and the next attempt;
    /// `None` if it was the last one.
    #[must_use]
    pub fn pause(&self, code: FailureCode, attempt: u32) -> Option<Duration> {
        match code.retry() {
            Retry::Never => return None,
            Retry::Limited if attempt >= MAX_LIMITED_ATTEMPTS => return None,
            Retry::Limited | Retry::Full => {}
        }
        self.pauses.get(attempt.max(1) as usize - 1).copied()
    }

    /// Maximum number of attempts after the first.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        self.pauses.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_have_pauses_and_a_limit() {
        let policy = RetryPolicy::default();
        let pauses = |code| {
            (1..=5)
                .map(|attempt| policy.pause(code, attempt).map(|pause| pause.as_secs()))
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(FailureCode::StorageError), [Some(30), Some(60), Some(120), None, None]);
        for limited in [
            FailureCode::WorkerLost,
            FailureCode::DecoderCrashed,
            FailureCode::OutOfMemory,
            FailureCode::ProcessingTimeout,
        ] {
            assert_eq!(pauses(limited), [Some(30), Some(60), None, None, None]);
        }
        assert_eq!(pauses(FailureCode::NoVideoStream), [None; 5]);
    }
}
