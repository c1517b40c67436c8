//! Best-effort presentation times of frames.

/// Estimates the presentation times of frames in the order in which they are decoded.
///
/// Equivalent to `guess_correct_pts` (FFmpeg, libavcodec/decode.c): stated presentation times are
/// used until more of them were out of order than decoding times. libav keeps its counts when a
/// decoder is flushed, so its own estimate depends on what the decoder has decoded before.
#[derive(Debug, Default)]
pub(crate) struct BestEffort {
    last_presentation: Option<i64>,
    last_decoding: Option<i64>,
    /// Number of presentation times that do not exceed the one before.
    faulty_presentation: u64,
    /// Number of decoding times that do not exceed the one before.
    faulty_decoding: u64,
}

impl BestEffort {
    /// Presentation time of the next frame, given the one that its packet states, and the decoding
    /// time of the packet that completed it.
    pub(crate) fn time(&mut self, presentation: Option<i64>, decoding: Option<i64>) -> Option<i64> {
        if decoding.is_some() {
            self.faulty_decoding += u64::from(decoding <= self.last_decoding);
        }
        self.last_decoding = decoding.or(presentation).or(self.last_decoding);
        if presentation.is_some() {
            self.faulty_presentation += u64::from(presentation <= self.last_presentation);
        }
        self.last_presentation = presentation.or(decoding).or(self.last_presentation);
        match presentation {
            Some(time) if self.faulty_presentation <= self.faulty_decoding => Some(time),
            presentation => decoding.or(presentation),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presentation_times_are_used_until_they_go_backward() {
        let mut estimate = BestEffort::default();
        let times = [(10, 0), (20, 10), (15, 20), (30, 30)];
        let times = times.map(|(time, decoding)| estimate.time(Some(time), Some(decoding)));
        assert_eq!(times, [Some(10), Some(20), Some(20), Some(30)]);
    }

    #[test]
    fn decoding_times_replace_missing_presentation_times() {
        let mut estimate = BestEffort::default();
        assert_eq!(estimate.time(None, Some(5)), Some(5));
        assert_eq!(estimate.time(None, None), None);
        assert_eq!(estimate.time(Some(7), None), Some(7));
    }
}
