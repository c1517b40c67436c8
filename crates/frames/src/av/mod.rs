//! Safe interface to libav. This module holds all `unsafe` code of the project, each block with the
//! reason why it is sound.
//!
//! `demuxer` reads the packets of a stream, whose properties are in `stream_info` and whose times
//! `packet_times` corrects, `index` lets it continue elsewhere, `decoder` decodes them into frames
//! by one of the decoders in `codecs`, `packet` and `frame` give access to their content, `scaler`
//! converts frames, and `image_encoder` encodes them.

#![expect(unsafe_code, reason = "libav is a C library; this module makes it safe")]

// In dependency order.
mod frame;
mod marks;
mod watch;
mod memory;
mod messages;
mod library;
mod packet;
mod packet_times;
mod stream_info;
mod codecs;
mod demuxer;
mod index;
#[cfg(feature = "injections")]
mod injections;
mod decoder;
mod scaler;
mod image_encoder;
#[cfg(test)]
mod components;

pub(crate) use decoder::{DecodeError, Decoder, Threads};
pub(crate) use demuxer::{DemuxError, Demuxer, OpenedStream};
pub(crate) use frame::{Frame, Layout, PixelFormat, Plane, is_rotatable, is_transposable};
pub(crate) use image_encoder::{
    ImageCodec, ImageEncoder, JPEG_MAX_SIDE, WEBP_MAX_SIDE, WEBP_PIXELS,
};
pub(crate) use index::IndexEntry;
pub use library::{LibavBuild, build, clear_environment, versions};
pub(crate) use packet::{Packet, Place};
pub(crate) use scaler::{Scaler, closest_format, formats, scaled_aspect};
pub(crate) use stream_info::StreamInfo;
