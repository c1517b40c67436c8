//! Whether, and when, a job is tried again.

use std::time::Duration;

use crate::FailureCode;

/// Most attempts at a video that may itself be what ends them.
pub const ATTEMPTS_OF_POISON: u32 = 3;

/// How often and after which pauses a job is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The pause before the second attempt, before the third, and so on. There are as many attempts
    /// as pauses, and one more.
    pub pauses: Vec<Duration>,
}

impl Default for RetryPolicy {
    /// Half a minute, one, and two.
    fn default() -> Self {
        Self { pauses: [30, 60, 120].map(Duration::from_secs).to_vec() }
    }
}

impl RetryPolicy {
    /// How long to wait before another attempt when attempt number `attempt`, counted from 1, ended
    /// so; none if it was the last.
    ///
    /// What may be poison gets [`ATTEMPTS_OF_POISON`] at most: each costs more than others, and
    /// helps less.
    #[must_use]
    pub fn pause(&self, code: FailureCode, attempt: u32) -> Option<Duration> {
        if !code.retry_may_help() || (code.may_be_poison() && attempt >= ATTEMPTS_OF_POISON) {
            return None;
        }
        self.pauses.get(attempt.max(1) as usize - 1).copied()
    }

    /// Most attempts that may follow the first.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        self.pauses.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spaced_and_end() {
        let policy = RetryPolicy::default();
        let pauses = |code| {
            (1..=5)
                .map(|attempt| policy.pause(code, attempt).map(|pause| pause.as_secs()))
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(FailureCode::StorageError), [Some(30), Some(60), Some(120), None, None]);
        for poison in [
            FailureCode::WorkerLost,
            FailureCode::DecoderCrashed,
            FailureCode::OutOfMemory,
            FailureCode::ProcessingTimeout,
        ] {
            assert_eq!(pauses(poison), [Some(30), Some(60), None, None, None]);
        }
        assert_eq!(pauses(FailureCode::NoVideoStream), [None; 5]);
    }
}
