//! Options of the frame engine.

use std::num::NonZeroUsize;

use frames::{Decoding, Limits, Options, Stop};
use jobs::Recipe;
use jobs::manifest::Compression;

/// Engine options of an attempt. Every field is set here: what the engine does depends on the job
/// and the worker's settings only, in a cell and in the worker's own process alike.
pub(crate) fn options(
    recipe: Recipe,
    threads: NonZeroUsize,
    archive_bytes: u64,
    stop: Stop,
) -> Options {
    Options {
        recipe,
        compression: Compression::Fast,
        limits: Limits::of_service(archive_bytes),
        threads,
        stop,
        decoding: Decoding::Selective,
    }
}
