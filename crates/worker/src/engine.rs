//! Options of the frame engine.

use std::num::NonZeroUsize;

use frames::{Decoding, Limits, Options, PreviewSink, Stop};
use jobs::Recipe;
use jobs::manifest::Compression;
use serde::{Deserialize, Serialize};

/// Limits of the engine that are settings of a worker.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct EngineLimits {
    /// Maximum size of the archive, in bytes.
    pub archive_bytes: u64,
    /// Maximum area of a frame, in pixels.
    pub frame_pixels: u64,
    /// Maximum number of frames in the archive.
    pub frames: u64,
}

/// Engine options of an attempt. Every field is set here: what the engine does depends on the job
/// and the worker's settings only, in a cell and in the worker's own process alike.
pub(crate) fn options(
    recipe: Recipe,
    threads: NonZeroUsize,
    limits: EngineLimits,
    stop: Stop,
    previews: PreviewSink,
) -> Options {
    let EngineLimits { archive_bytes, frame_pixels, frames } = limits;
    Options {
        recipe,
        compression: Compression::Fast,
        limits: Limits {
            max_archive_bytes: archive_bytes,
            max_pixels: frame_pixels,
            max_frames: frames,
            ..Limits::default()
        },
        threads,
        stop,
        decoding: Decoding::Selective,
        previews: Some(previews),
    }
}
