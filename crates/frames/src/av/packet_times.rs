//! Correction of packet times, as the ffmpeg command makes it.

use jobs::Ratio;
use jobs::manifest::Source;

use crate::time::{MICROSECONDS, rescale};

use super::packet::Packet;

/// Largest plausible distance between the times of successive packets, in microseconds: 30 hours
/// (FFmpeg 5.1, fftools/ffmpeg_opt.c, `dts_error_threshold`).
const MAX_JUMP_US: i64 = 30 * 3600 * 1_000_000;

/// Corrects the times of a stream's packets: times that are implausibly far from those before them
/// are dropped, and missing decoding times are extrapolated (FFmpeg 5.1, fftools/ffmpeg.c,
/// `process_input` and `process_input_packet`).
pub(super) struct PacketTimes {
    time_base: Ratio,
    /// Start of the container, in units of the time base.
    start: i64,
    /// Duration of a frame whose packet does not state one, in microseconds.
    frame_us: Option<i64>,
    /// Decoding time of the last packet, in microseconds from the start.
    last_us: i64,
    /// Expected decoding time of the next packet, in microseconds from the start; `None` for the
    /// first packet, and if durations are unknown.
    next_us: Option<i64>,
    dropped: u64,
}

impl PacketTimes {
    /// `start` is that of the container in units of the time base, `reorder_delay` the decoder's
    /// delay in frames.
    pub(super) fn new(source: &Source, start: i64, reorder_delay: usize) -> Self {
        let frame_us =
            source.frame_rate.map(|rate| rescale(1, Ratio::new(rate.den, rate.num), MICROSECONDS));
        Self {
            time_base: source.time_base,
            start,
            frame_us,
            last_us: -frame_us.unwrap_or(0).saturating_mul(reorder_delay as i64),
            next_us: None,
            dropped: 0,
        }
    }

    /// Correct the times of the next packet.
    pub(super) fn correct(&mut self, packet: &mut Packet) {
        let mut presentation = packet.presentation_time();
        let mut decoding = packet.decoding_time();
        if let (Some(next), Some(time)) = (self.next_us, decoding) {
            let is_plausible =
                |time: &i64| self.microseconds(*time).abs_diff(next) <= MAX_JUMP_US as u64;
            decoding = Some(time).filter(is_plausible);
            presentation = presentation.filter(is_plausible);
        }
        if (presentation, decoding) != (packet.presentation_time(), packet.decoding_time()) {
            self.dropped += 1;
        }
        self.last_us = match decoding {
            Some(time) => self.microseconds(time),
            None => self.next_us.unwrap_or(self.last_us),
        };
        let stated = Some(packet.duration()).filter(|duration| *duration > 0);
        let duration = stated
            .map(|duration| rescale(duration, self.time_base, MICROSECONDS))
            .or(self.frame_us);
        self.next_us = duration.map(|duration| self.last_us.saturating_add(duration));
        let decoding = rescale(self.last_us, MICROSECONDS, self.time_base);
        packet.set_times(presentation, Some(decoding.saturating_add(self.start)));
    }

    /// Continue at another place of the stream: the next packet is not compared with those before.
    pub(super) fn restart(&mut self) {
        self.next_us = None;
    }

    /// Number of packets whose times were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn microseconds(&self, time: i64) -> i64 {
        rescale(time.saturating_sub(self.start), self.time_base, MICROSECONDS)
    }
}
