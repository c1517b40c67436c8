//! Selection of frames.
//!
//! A [`FrameSelector`] decides which frames of a video are selected. There are two kinds:
//!
//! - *By time*, timestamps alone decide. The selection has [`Instants`], which number the requested
//!   times by ticks. The planner knows the selected frames from the timestamps of the packets,
//!   before anything is decoded, and leaves out the packets that no selected frame depends on; a
//!   [`SelectionPass`] makes the same selection from decoded frames.
//! - *By content*, the decoded frames decide. Nothing is planned: one pass decodes all packets in
//!   order, so its [`SelectionPass`] may keep any state from the first frame to the last.
//!   A video whose timestamps are unreliable is decoded in the same way. Of the key frames it is
//!   planned that each is decoded by itself.
//!
//! [`Numbering`] derives the numbers, names and missing ranges of both kinds from ticks.
//!
//! # How to add a selection
//!
//! 1. Add a variant to [`Selection`].
//! 2. By time: add a rule to [`Instants`], with a constructor. By content: add a file with a
//!    [`FrameSelector`] whose `instants` is `None`, and whose pass selects each frame for the range
//!    of one tick, counted from 0.
//! 3. Add an arm to [`selector`].

// In dependency order.
mod instants;
mod time_range;
mod frame_selector;
mod tick_selector;
mod by_time;
mod key_frames;
mod scenes;
mod sharpest;
mod numbering;

use std::num::NonZeroU32;

use jobs::recipe::{self, Selection};
use jobs::{Ratio, Recipe};

use by_time::ByTime;
use key_frames::KeyFrames;
use scenes::Scenes;
use sharpest::Sharpest;

pub(crate) use frame_selector::{
    DecodedFrame, FrameSelector, Measure, Selected, SelectionPass, SpanEnd, SpanStart,
};
pub(crate) use instants::Instants;
pub(crate) use numbering::{Coverage, FrameNumber, Numbering};
#[cfg(test)]
pub(crate) use tick_selector::TickSelector;
pub(crate) use time_range::TimeRange;

/// Selector of the frames that a recipe requests from a stream. Its timestamps are in units of
/// `time_base`; `duration_us` is its duration in microseconds, if it is known.
pub(crate) fn selector(
    recipe: &Recipe,
    time_base: Ratio,
    duration_us: Option<i64>,
) -> Box<dyn FrameSelector> {
    let Recipe { select, part, skip, max_frames, .. } = recipe;
    let range = TimeRange::new(*part, time_base);
    let instants = match *select {
        Selection::Every(interval) => Instants::every(interval, *part, duration_us),
        Selection::At(ref times) => Instants::at(times, *part, duration_us),
        Selection::Count(count) => Instants::spread(count.get(), *part, duration_us),
        Selection::KeyFrames(_) => return Box::new(KeyFrames { range }),
        Selection::Scenes(rule) => return Box::new(Scenes { rule, range, time_base }),
        Selection::Sharpest(recipe::Sharpest { every }) => {
            return Box::new(Sharpest { every, range, time_base, duration_us });
        }
    };
    // Frames that are left out make room for later ones.
    let max_count = max_frames.filter(|_| skip.is_none()).map(NonZeroU32::get);
    Box::new(ByTime { instants: instants.at_most(max_count), time_base })
}
