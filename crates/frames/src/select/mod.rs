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
//!   A video whose timestamps are unreliable is decoded in the same way.
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
mod frame_selector;
mod tick_selector;
mod by_time;
mod numbering;

use std::num::NonZeroU32;

use jobs::recipe::Selection;
use jobs::{Ratio, Recipe};

use by_time::ByTime;

pub(crate) use frame_selector::{
    DecodedFrame, FrameSelector, Selected, SelectionPass, SpanEnd, SpanStart,
};
pub(crate) use instants::Instants;
pub(crate) use numbering::{Coverage, Numbering};
#[cfg(test)]
pub(crate) use tick_selector::TickSelector;

/// Selector of the frames that a recipe requests from a stream. Its timestamps are in units of
/// `time_base`; `duration_us` is its duration in microseconds, if it is known.
pub(crate) fn selector(
    recipe: &Recipe,
    time_base: Ratio,
    duration_us: Option<i64>,
) -> Box<dyn FrameSelector> {
    let Recipe { select, part, max_frames, .. } = recipe;
    let instants = match select {
        Selection::Every(interval) => Instants::every(*interval, *part, duration_us),
        Selection::At(times) => Instants::at(times, *part, duration_us),
        Selection::Count(count) => Instants::spread(count.get(), *part, duration_us),
    };
    let instants = instants.at_most(max_frames.map(NonZeroU32::get));
    Box::new(ByTime { instants, time_base })
}
