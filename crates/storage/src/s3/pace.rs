//! Rate at which the producer of an upload delivers bytes.

use std::time::{Duration, Instant};

/// Bytes, and the time for which the upload waited for them.
#[derive(Debug, Clone, Copy, Default)]
struct Delivery {
    bytes: u64,
    waited: Duration,
}

/// Rate of a producer: over the part being filled and the one before it, so that neither a pause
/// nor a burst long ago counts. Time in which the upload waits for memory or for the store does not
/// count: the producer is not asked for bytes then.
#[derive(Debug, Default)]
pub(super) struct Pace {
    previous: Delivery,
    current: Delivery,
    /// Time since which the upload has been waiting for the producer.
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Shortest time that counts, because bytes that are in memory already arrive in no time.
    const RESOLUTION: Duration = Duration::from_millis(1);

    /// Record that the part being filled has this number of bytes so far.
    pub(super) fn set_bytes(&mut self, bytes: usize) {
        self.current.bytes = bytes as u64;
    }

    /// Record that the upload waits for bytes.
    pub(super) fn start_waiting(&mut self, now: Instant) {
        self.waiting_since = Some(now);
    }

    /// Record that bytes have arrived.
    pub(super) fn stop_waiting(&mut self, now: Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.current.waited += now.saturating_duration_since(since);
        }
    }

    /// Record that the part being filled was completed with this number of bytes.
    pub(super) fn finish_part(&mut self, bytes: usize) {
        self.previous = Delivery { bytes: bytes as u64, ..self.current };
        self.current = Delivery::default();
    }

    /// Bytes per second.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let waiting =
            self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let waited = self.previous.waited + self.current.waited + waiting;
        let bytes = self.previous.bytes + self.current.bytes;
        bytes as f64 / waited.max(Self::RESOLUTION).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_two_parts_and_only_the_time_of_the_producer() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        assert!(pace.rate(at(1000)) < 1.0, "nothing was delivered");
        pace.start_waiting(at(1000));
        pace.stop_waiting(at(1010));
        // The upload waits for memory.
        pace.set_bytes(1000);
        pace.start_waiting(at(2000));
        assert!((pace.rate(at(2000)) - 100.0).abs() < 0.1);
        assert!((pace.rate(at(2010)) - 50.0).abs() < 0.1, "a pause of the producer counts");
        pace.stop_waiting(at(2010));
        pace.finish_part(1000);
        assert!((pace.rate(at(9000)) - 50.0).abs() < 0.1);
        // Two fast parts later, the slow one is forgotten.
        for start in [3000, 3001] {
            pace.start_waiting(at(start));
            pace.stop_waiting(at(start + 1));
            pace.finish_part(5000);
        }
        assert!((pace.rate(at(9000)) - 5000.0).abs() < 0.1);
    }
}
