//! Safe interface to libav. This module holds all `unsafe` code of the project, each block with the
//! reason why it is sound.
//!
//! `demuxer` reads packets, `decoder` decodes them into frames, `frame` gives access to their
//! pixels, `scaler` converts these.

#![expect(unsafe_code, reason = "libav is a C library; this module makes it safe")]

// In dependency order.
mod library;
mod frame;
mod demuxer;
#[cfg(feature = "injections")]
mod injections;
mod decoder;
mod scaler;

pub(crate) use decoder::{DecodeError, Decoder, Threads, set_extradata, with_data};
pub(crate) use demuxer::{DemuxError, Demuxer, StreamInfo, is_hidden};
pub(crate) use frame::{Frame, PixelFormat, Plane, is_transposable};
pub use library::versions;
pub(crate) use scaler::{Scaler, closest_format};
