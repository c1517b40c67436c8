//! Roles of packets, determined from their headers without decoding: whether decoding can start at
//! a packet, and whether others depend on it.

// In dependency order.
mod role;
mod bits;
mod nal;
mod sei;
mod h264_parameters;
mod h264_slice;
mod h264;
mod hevc_order;
mod hevc;
mod jpeg;
mod vpx;
mod av1;
mod classifier;

pub(crate) use classifier::Classifier;
pub(crate) use role::{Entry, FilmGrain, KeyFrame, ReferenceSlots, References, Role};
