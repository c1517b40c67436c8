//! Plan of what is decoded: the packets of a stream are cut into spans that can be decoded
//! independently, and the packets of a span that no wanted frame depends on are left out.
//!
//! A span starts at a clean entry and ends before the next. The frames that are wanted from it are
//! known from the timestamps of the packets before anything is decoded: a frame is selected for the
//! ticks from its own up to that of its successor in presentation order.
//!
//! If the selection depends on the content of the frames, the stream is one span whose packets are
//! all decoded, in order. If the key frames are selected, each is a span.

// In dependency order.
mod wanted;
mod chunk;
mod frame_order;
mod long_span;
mod key_frames;
mod planner;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod gap_tests;

#[cfg(feature = "stages")]
pub(crate) use chunk::ClassifiedPacket;
pub(crate) use chunk::{Chunk, Continuation, PacketInfo, Plan};
pub(crate) use frame_order::MAX_REORDER;
pub(crate) use planner::Planner;
pub(crate) use wanted::WantedFrame;
