//! Retry rules: which failures count against a job, and the pauses between its attempts.

use std::time::Duration;

use crate::failure::{FailureCode, Retry};

/// Maximum number of failed attempts of which the video may be the cause. Such attempts cost more
/// than others (a crash, all memory, the whole time limit) and succeed less often.
pub const MAX_CHARGED_ATTEMPTS: u32 = 3;

/// Maximum number of attempts at a job that loses its workers. A cell protects its worker from the
/// video; this limit protects the others where that fails.
pub const MAX_LOST_WORKERS: u32 = 20;

/// Maximum pause between two attempts.
const MAX_PAUSE: Duration = Duration::from_mins(15);

/// Pauses between the attempts at a job.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Pauses before the second attempt, the third, and so on. If failures count against the job,
    /// the last one is followed by the last attempt; otherwise further pauses double up to 15
    /// minutes. Without pauses there is one attempt.
    pub pauses: Vec<Duration>,
    /// Largest random deviation of a pause, as a share of it, so that jobs that failed at the same
    /// time are not tried at the same time again.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    /// 30, 60 and 120 seconds, exactly.
    fn default() -> Self {
        Self { pauses: [30, 60, 120].map(Duration::from_secs).to_vec(), jitter: 0.0 }
    }
}

impl RetryPolicy {
    /// Pause between the failure of attempt number `attempt`, counted from 1, and the next attempt;
    /// `None` if it was the last one. `charged` is the number of failures that count against the
    /// job, including this one. `random` is a number from 0 to 1.
    ///
    /// A failure of the service never ends a job by itself: the retention of its video does.
    #[must_use]
    pub fn pause(
        &self,
        code: FailureCode,
        attempt: u32,
        charged: u32,
        random: f64,
    ) -> Option<Duration> {
        let pause = match code.retry() {
            Retry::Never => None,
            Retry::Charged if charged >= MAX_CHARGED_ATTEMPTS => None,
            Retry::Charged => self.pauses.get(charged.max(1) as usize - 1).copied(),
            Retry::Free if code == FailureCode::WorkerLost && attempt >= MAX_LOST_WORKERS => None,
            Retry::Free => self.free_pause(attempt),
        };
        let deviation = 1.0 + self.jitter * (2.0 * random - 1.0);
        pause.map(|pause| pause.mul_f64(deviation))
    }

    /// Pause after the failure of attempt number `attempt` that does not count.
    fn free_pause(&self, attempt: u32) -> Option<Duration> {
        let index = attempt.max(1) as usize - 1;
        let last = *self.pauses.last()?;
        let doublings = u32::try_from(index.saturating_sub(self.pauses.len() - 1));
        let doubled = last.saturating_mul(2_u32.pow(doublings.unwrap_or(u32::MAX).min(20)));
        let further = doubled.min(MAX_PAUSE.max(last));
        Some(self.pauses.get(index).copied().unwrap_or(further))
    }

    /// Maximum number of attempts after the first, if the video may be the cause of the failures.
    #[must_use]
    pub fn max_retries(&self) -> u32 {
        self.pauses.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pauses in seconds after the first failures of a job, all with the same code.
    fn pauses(code: FailureCode, count: u32) -> Vec<Option<u64>> {
        let policy = RetryPolicy::default();
        let charged = |attempt| if code.retry() == Retry::Charged { attempt } else { 0 };
        let pause = |attempt| policy.pause(code, attempt, charged(attempt), 0.5);
        (1..=count).map(|attempt| pause(attempt).map(|pause| pause.as_secs())).collect()
    }

    #[test]
    fn charged_attempts_have_a_limit() {
        for code in
            [FailureCode::DecoderCrashed, FailureCode::OutOfMemory, FailureCode::ProcessingTimeout]
        {
            assert_eq!(pauses(code, 4), [Some(30), Some(60), None, None]);
        }
        assert_eq!(pauses(FailureCode::NoVideoStream, 5), [None; 5]);
    }

    #[test]
    fn failures_of_the_service_do_not_end_a_job() {
        let expected = [30, 60, 120, 240, 480, 900, 900].map(Some);
        assert_eq!(pauses(FailureCode::StorageError, 7), expected);
        assert_eq!(pauses(FailureCode::InternalError, 1000)[999], Some(900));
        let lost = pauses(FailureCode::WorkerLost, 20);
        assert_eq!((lost[18], lost[19]), (Some(900), None));
        // A crash after two failures of the service is the first that counts.
        let policy = RetryPolicy::default();
        let pause = policy.pause(FailureCode::DecoderCrashed, 3, 1, 0.5);
        assert_eq!(pause, Some(Duration::from_secs(30)));
    }

    #[test]
    fn without_pauses_there_is_one_attempt() {
        let policy = RetryPolicy { pauses: Vec::new(), ..RetryPolicy::default() };
        for code in FailureCode::ALL {
            assert_eq!(policy.pause(*code, 1, 1, 0.5), None);
        }
    }

    proptest! {
        #[test]
        fn jitter_is_bounded(random in 0.0..=1.0_f64, attempt in 1..100_u32) {
            let policy = RetryPolicy { jitter: 0.2, ..RetryPolicy::default() };
            let exact = RetryPolicy::default().pause(FailureCode::StorageError, attempt, 0, 0.5);
            let pause = policy.pause(FailureCode::StorageError, attempt, 0, random);
            let (pause, exact) = (pause.expect("a pause"), exact.expect("a pause"));
            prop_assert!(pause >= exact.mul_f64(0.79) && pause <= exact.mul_f64(1.21));
        }
    }
}
