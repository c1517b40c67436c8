//! Guide to the parts of a video that a recipe needs: its index, and its end.

use jobs::recipe::{Part, Selection};
use jobs::{Ratio, Recipe};

use crate::av::{DemuxError, Demuxer, StreamInfo};
use crate::context::end;
use crate::error::Error;
use crate::index::VideoIndex;
use crate::limits::Stop;
use crate::preparation::{Preparation, packet_info};
use crate::select::{Instants, selector};
use crate::source::SharedSource;
use crate::time::{MICROSECONDS, rescale};

/// End of a video, from its last packets. Times are in units of the time base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VideoEnd {
    /// End of the last frame.
    pub frames: i64,
    /// End of the last packet.
    pub packets: i64,
    /// Latest timestamp of a packet.
    pub latest: i64,
}

/// Index of a video, with which a part of it suffices, and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guide {
    pub index: VideoIndex,
    pub end: VideoEnd,
}

impl Guide {
    /// Find the guide to a video of which nothing was read. `None` if it has no index, if its index
    /// is not to be trusted, or if the recipe needs most of the video. The demuxer may be anywhere
    /// then.
    pub(crate) fn find(
        demuxer: &mut Demuxer,
        info: &StreamInfo,
        source: &SharedSource,
        recipe: &Recipe,
        stop: &Stop,
    ) -> Result<Option<Self>, Error> {
        let Some(index) = VideoIndex::load(demuxer, info, source)? else { return Ok(None) };
        let unit = info.source.time_base;
        let pays = |duration_us| {
            let selector = selector(recipe, unit, Some(duration_us));
            selector.instants().is_some_and(|instants| pays(&index, instants, unit))
        };
        let estimate = rescale(index.keys()[index.keys().len() - 1].time, unit, MICROSECONDS);
        if !pays(info.duration_us.unwrap_or(estimate)) {
            return Ok(None);
        }
        let selector = selector(recipe, unit, None);
        let end = |time, duration| end(info, selector.as_ref(), time, duration);
        let end = measure_end(demuxer, &index, info, end, stop)?;
        let end = end.filter(|end| pays(end.microseconds(info)));
        Ok(end.map(|end| Self { index, end }))
    }

    /// Whether a recipe may need only parts of a video: one that selects by time.
    pub(crate) fn may_help(recipe: &Recipe) -> bool {
        if !matches!(recipe.select, Selection::Every(_) | Selection::At(_) | Selection::Count(_)) {
            return false;
        }
        let Recipe { select, part, max_frames, .. } = recipe;
        (select, part, max_frames) != (&Selection::default(), &Part::default(), &None)
    }
}

impl VideoEnd {
    /// Duration of the video in microseconds.
    pub(crate) fn microseconds(self, info: &StreamInfo) -> i64 {
        rescale(self.packets.max(0), info.source.time_base, MICROSECONDS)
    }
}

/// Measure the end of a video by its last part. `end` computes it from the timestamp and the
/// duration of the last frame. `None` if the packets there are damaged or contradict the index.
fn measure_end(
    demuxer: &mut Demuxer,
    index: &VideoIndex,
    info: &StreamInfo,
    end: impl Fn(i64, i64) -> i64,
    stop: &Stop,
) -> Result<Option<VideoEnd>, Error> {
    let last = index.keys().len() - 1;
    let mut number = index.keys()[last].number;
    let mut preparation = Preparation::new(info);
    let (mut packets, mut latest) = (i64::MIN, i64::MIN);
    let mut last_frame = None;
    let mut next = index.seek(demuxer, last);
    while let Some(packet) = next.take() {
        stop.check()?;
        if packet.is_corrupt() || !index.agrees(number, demuxer.place()) {
            return Ok(None);
        }
        number += 1;
        let (prepared, role) = preparation.prepare(packet);
        let one = packet_info(info, role, &prepared.packet);
        let Some(time) = one.time else { return Ok(None) };
        latest = latest.max(time);
        packets = packets.max(end(time, one.duration));
        last_frame = last_frame.max(one.displayed_time().map(|time| (time, one.duration)));
        match demuxer.read() {
            Ok(packet) => next = Some(packet),
            Err(DemuxError::End) if index.packet_count().is_none_or(|count| count == number) => {
                return Ok(last_frame.map(|(time, duration)| VideoEnd {
                    frames: end(time, duration),
                    packets,
                    latest,
                }));
            }
            Err(DemuxError::End | DemuxError::Damaged(_)) => return Ok(None),
        }
    }
    Ok(None)
}

/// Whether it pays to read only the parts of a video that hold the frames for some instants.
fn pays(index: &VideoIndex, instants: &Instants, time_base: Ratio) -> bool {
    let tick = |key: usize| instants.tick(index.keys()[key].time, time_base);
    let limit = instants.limit(tick(0));
    let tick_of = |key| tick(key).min(limit);
    let last = index.keys().len() - 1;
    index.is_minority(|key| key == 0 || key == last || tick_of(key) < tick_of(key + 1))
}
