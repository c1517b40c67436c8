//! Planner of key frames: each is decoded by itself.

use crate::bitstream::{Entry, KeyFrame};
use crate::select::TimeRange;

use super::chunk::{Chunk, PacketInfo, Plan, PlannedPacket};
use super::wanted::WantedFrame;

/// Planner of the key frames in a part of a video.
#[derive(Debug)]
pub(super) struct KeyFrames<'a> {
    range: &'a TimeRange,
    /// Number of key frames in the part so far.
    count: i64,
    /// Timestamp of the latest key frame.
    latest: Option<i64>,
}

/// The key frames of a stream cannot be told from its packets, or not be decoded by themselves.
pub(super) struct Unpredictable;

impl<'a> KeyFrames<'a> {
    pub(super) fn new(range: &'a TimeRange) -> Self {
        Self { range, count: 0, latest: None }
    }

    /// Plan the next packet. `None` if it is not needed.
    pub(super) fn plan<P>(
        &mut self,
        packet: P,
        info: &PacketInfo,
    ) -> Result<Option<Plan<P>>, Unpredictable> {
        if info.role.key_frame == KeyFrame::Impossible {
            return Ok(None);
        }
        let time = info.time.filter(|time| self.latest.is_none_or(|latest| latest < *time));
        let (Some(time), true) = (time, info.role.entry != Entry::None) else {
            return Err(Unpredictable);
        };
        self.latest = Some(time);
        if info.displayed_time().is_none() || !self.range.contains(time) {
            return Ok(None);
        }
        let ticks = self.count..self.count + 1;
        self.count += 1;
        let chunk = Chunk {
            packets: vec![PlannedPacket { packet, keep: true }],
            wanted: vec![WantedFrame { ticks, time }],
            certain: true,
            until: None,
            select_first: false,
            ends_video: false,
        };
        Ok(Some(Plan::Whole { from: Some(time), chunk }))
    }
}
