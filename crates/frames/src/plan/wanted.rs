//! Frames that a selection needs, by their timestamps.

use std::ops::Range;

use jobs::Ratio;

use crate::select::Instants;

/// Frame that the timestamps of the packets predict, and the ticks for which it is selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedFrame {
    pub ticks: Range<i64>,
    /// Timestamp in units of the stream's time base, from the start of the video.
    pub time: i64,
}

/// Requested instants, in a stream's time base. Planning depends on the selection only through this
/// type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeline<'a> {
    pub instants: &'a Instants,
    pub time_base: Ratio,
}

impl Timeline<'_> {
    fn tick(self, time: i64) -> i64 {
        self.instants.tick(time, self.time_base)
    }

    /// Set the timestamp of the first frame of the video.
    pub(super) fn start_at(self, time: i64) {
        self.instants.start_at(time, self.time_base);
    }

    /// Frames that are selected, of those at `times`, which ascend, if the time of their successor
    /// is `until`.
    pub(super) fn wanted(self, times: &[i64], until: i64) -> Vec<WantedFrame> {
        let ticks: Vec<i64> = times.iter().chain([&until]).map(|time| self.tick(*time)).collect();
        times
            .iter()
            .zip(ticks.windows(2))
            .filter(|(_, pair)| pair[0] < pair[1])
            .map(|(time, pair)| WantedFrame { ticks: pair[0]..pair[1], time: *time })
            .collect()
    }
}
