//! Minimum rate of an upload.

use std::time::{Duration, Instant};

use poem::http::StatusCode;

use crate::problem::Problem;
use crate::settings::Settings;

/// Rate at which a client sends an upload, over each period of waiting for it.
#[derive(Debug)]
pub struct UploadRate {
    min_bytes_per_second: u64,
    period: Duration,
    /// Bytes that were received in the current period.
    bytes: u64,
    /// Time for which the client was awaited in the current period.
    waited: Duration,
}

impl UploadRate {
    /// Require a rate over each period.
    pub fn new(min_bytes_per_second: u64, period: Duration) -> Self {
        Self { min_bytes_per_second, period, bytes: 0, waited: Duration::ZERO }
    }

    /// Record that bytes were received after the client was awaited for this time. Return whether
    /// the client is fast enough.
    pub fn record(&mut self, bytes: usize, waited: Duration) -> bool {
        self.bytes += bytes as u64;
        self.waited += waited;
        if self.waited < self.period {
            return true;
        }
        let required = self.waited.as_secs_f64() * self.min_bytes_per_second as f64;
        let is_fast_enough = self.bytes as f64 >= required;
        (self.bytes, self.waited) = (0, Duration::ZERO);
        is_fast_enough
    }
}

/// Wait for the next piece of an upload, and return it with the time that it took.
///
/// # Errors
/// `UPLOAD_STALLED`: nothing arrived before the stall timeout.
pub async fn before_stall<T>(
    settings: &Settings,
    piece: impl Future<Output = T>,
) -> Result<(T, Duration), Problem> {
    let (timeout, started) = (settings.stall_timeout, Instant::now());
    let piece = tokio::time::timeout(timeout, piece).await.map_err(|_| {
        let detail =
            format!("No data was received for {} seconds. Upload again.", timeout.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_STALLED", detail)
    })?;
    Ok((piece, started.elapsed()))
}

/// Problem of an upload below the minimum rate.
pub fn too_slow(settings: &Settings) -> Problem {
    let detail = format!(
        "Less than {} KB per second were received for {} seconds. Upload over a faster connection.",
        settings.min_upload_rate / 1000,
        settings.stall_timeout.as_secs()
    );
    Problem::new(StatusCode::REQUEST_TIMEOUT, "UPLOAD_TOO_SLOW", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requires_the_rate_in_each_period_of_waiting() {
        const SECOND: Duration = Duration::from_secs(1);
        let mut rate = UploadRate::new(1000, 60 * SECOND);
        for _ in 0..600 {
            assert!(rate.record(1000, SECOND));
        }
        // A pause after a burst.
        assert!(rate.record(60_000, Duration::ZERO));
        assert!(rate.record(1, 59 * SECOND));
        assert!(rate.record(0, SECOND));
        // An earlier period does not count.
        for second in 1..=60 {
            assert_eq!(rate.record(999, SECOND), second < 60);
        }
    }

    #[test]
    fn may_be_unlimited() {
        let mut rate = UploadRate::new(0, Duration::from_secs(1));
        assert!(rate.record(0, Duration::from_hours(1)));
    }
}
