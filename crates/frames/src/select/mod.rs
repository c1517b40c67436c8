//! Selection of frames.
//!
//! A selection is *by time* if timestamps alone decide which frames it selects. It has
//! [`Instants`], which number the requested times by ticks. The planner knows the selected frames
//! from the timestamps of the packets, before anything is decoded, and leaves out the packets that
//! no selected frame depends on; [`TickSelector`] makes the same selection from decoded frames.
//!
//! A selection *by content* needs the decoded frames in order. The planner already supports spans
//! of which nothing is known in advance, and keeps all of their packets.

// In dependency order.
mod by_time;
mod selector;

pub(crate) use by_time::Instants;
pub(crate) use selector::TickSelector;
