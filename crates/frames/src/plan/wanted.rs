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

/// Selection in a stream's time base. Planning depends on the selection only through this type.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamSelection {
    pub instants: Instants,
    pub time_base: Ratio,
}

impl StreamSelection {
    pub(super) fn tick(self, time: i64) -> i64 {
        self.instants.tick(time, self.time_base)
    }

    /// Frames that are selected, of those at `times`, which ascend, if their successor has tick
    /// `until`.
    pub(super) fn wanted(self, times: &[i64], until: i64) -> Vec<WantedFrame> {
        let ticks: Vec<i64> = times.iter().map(|time| self.tick(*time)).chain([until]).collect();
        times
            .iter()
            .zip(ticks.windows(2))
            .filter(|(_, pair)| pair[0] < pair[1])
            .map(|(time, pair)| WantedFrame { ticks: pair[0]..pair[1], time: *time })
            .collect()
    }
}
