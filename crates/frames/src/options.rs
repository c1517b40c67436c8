//! Input and result of an extraction, apart from the bytes.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jobs::manifest::Compression;
use jobs::{Recipe, Warning};
use serde::{Deserialize, Serialize};

use crate::limits::{Limits, Stop};

/// Options of an extraction.
#[derive(Debug, Clone)]
pub struct Options {
    /// Frames to extract, and their form.
    pub recipe: Recipe,
    /// Effort spent on compressing the frames.
    pub compression: Compression,
    /// Limits on what the video may require.
    pub limits: Limits,
    /// Number of threads that decode and encode. The archive is the same for any number.
    pub threads: NonZeroUsize,
    /// Switch and deadline that end the extraction early.
    pub stop: Stop,
    /// Part of the video that is read and decoded.
    pub decoding: Decoding,
    /// Receiver of previews; none are made without one.
    pub previews: Option<PreviewSink>,
}

impl Default for Options {
    /// The default recipe and compression, on all cores available to this process.
    fn default() -> Self {
        Self {
            recipe: Recipe::default(),
            compression: Compression::default(),
            limits: Limits::default(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            stop: Stop::default(),
            decoding: Decoding::default(),
            previews: None,
        }
    }
}

/// Part of a video that is read and decoded. The resulting frames are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Decoding {
    /// The selected frames and those that they depend on. If the index of the video leads to them
    /// and most of the file is not needed, that is not read.
    #[default]
    Selective,
    /// The selected frames and those that they depend on, in a file that is read as a whole.
    /// Reference for tests of [`Decoding::Selective`].
    Sequential,
    /// All frames, in order. Reference for tests of [`Decoding::Selective`].
    Linear,
}

/// Maximum size of the JPEG of a [`Preview`], in bytes.
pub const MAX_PREVIEW_BYTES: usize = 48 << 10;

/// Small JPEG of a frame that is in the archive by now.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// Number of the frame.
    pub number: u64,
    /// Presentation timestamp of the frame, in seconds from the start of the video.
    pub timestamp_s: f64,
    /// At most 320 pixels wide and high, at most [`MAX_PREVIEW_BYTES`].
    pub jpeg: Vec<u8>,
}

/// Receiver of previews. It is called on the writing thread, so it has to return at once.
#[derive(Clone)]
pub struct PreviewSink(Arc<dyn Fn(Preview) + Send + Sync>);

impl PreviewSink {
    /// Receive previews by a function.
    pub fn new(receive: impl Fn(Preview) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    pub(crate) fn send(&self, preview: Preview) {
        (self.0)(preview);
    }
}

impl fmt::Debug for PreviewSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PreviewSink")
    }
}

/// Progress of an extraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Number of frames in the archive so far.
    pub done: u64,
    /// Number of frames to expect from the duration that the container states, if it states one.
    pub expected: Option<u64>,
}

/// Result of an extraction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Number of frames in the archive.
    pub frames: u64,
    /// Expected number of frames, from the timestamps and the duration of the video.
    pub expected: u64,
    /// Whether every expected frame is in the archive and was decoded without error.
    pub complete: bool,
    /// Number of selected frames that were left out because they are blank or repeated.
    pub skipped: u64,
    /// Number of further frames that the recipe's `max_frames` left out.
    pub omitted: u64,
    /// Duration of the video in seconds, as its container states it.
    pub duration_s: Option<f64>,
    /// Size of the archive in bytes.
    pub zip_bytes: u64,
    /// Number of bytes that were read of the video. Bytes that were read twice count twice.
    #[serde(default)]
    pub bytes_read: u64,
    /// Time spent in the decoder in seconds, summed over all threads.
    pub decode_s: f64,
    /// Time spent on converting and encoding frames in seconds, summed over all threads.
    pub encode_s: f64,
    /// Other facts that affect the use of the archive.
    pub warnings: Vec<Warning>,
}
