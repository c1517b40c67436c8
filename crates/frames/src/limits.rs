//! Limits on what a video may require, and the switch that ends an extraction early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use jobs::Recipe;

use crate::error::Error;

/// Limits on what a video may require.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Maximum number of streams in the container.
    pub max_streams: u32,
    /// Maximum width and height of a frame, in pixels.
    pub max_side: u32,
    /// Maximum area of a frame, in pixels. It limits the memory that a frame needs.
    pub max_pixels: u64,
    /// Maximum number of frames in the archive.
    pub max_frames: u64,
    /// Maximum size of the archive, in bytes.
    pub max_archive_bytes: u64,
    /// Maximum size of a single allocation of libav, in bytes. libav has one limit for the whole
    /// process: the highest value that was ever passed applies.
    pub max_allocation: usize,
}

impl Default for Limits {
    /// Limits for videos of unknown origin. The size of an archive depends on the disk space.
    fn default() -> Self {
        Self {
            max_streams: 64,
            max_side: MAX_SIDE,
            max_pixels: 40_000_000,
            max_frames: 24 * 60 * 60,
            max_archive_bytes: u64::MAX,
            max_allocation: 512 << 20,
        }
    }
}

/// Maximum width and height of the frames in JPEG files (ITU-T T.81, B.2.2), such as thumbnails.
const MAX_SIDE: u32 = 65_535;

impl Limits {
    /// Reject frames of this size if they exceed the limits.
    pub(crate) fn check_frame(&self, width: u32, height: u32) -> Result<(), Error> {
        let Self { max_side, max_pixels, .. } = *self;
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > max_side || pixels > max_pixels {
            return Err(Error::FrameTooLarge { width, height, max_side, max_pixels });
        }
        Ok(())
    }

    /// Reject a recipe that selects more frames than allowed of a video whose container lists
    /// frames of this duration in microseconds, in a file of `size` bytes. Without such a list, and
    /// if its duration cannot be true, the frames are counted while they are selected.
    pub(crate) fn check_recipe(
        &self,
        recipe: &Recipe,
        duration_us: Option<i64>,
        size: u64,
    ) -> Result<(), Error> {
        /// Longest duration that a file of each byte can have, in microseconds: frames of 16
        /// bytes, each shown for a second.
        const MAX_US_PER_BYTE: u64 = 1_000_000 / 16;
        let limit = self.max_frames;
        let duration_us = duration_us.and_then(|us| u64::try_from(us).ok());
        let duration_us = duration_us.filter(|us| *us <= size.saturating_mul(MAX_US_PER_BYTE));
        match recipe.forecast(duration_us) {
            Some(count) if count.exceeds(limit) => {
                Err(Error::TooManyFrames { expected: count.frames, limit })
            }
            _ => Ok(()),
        }
    }

    /// Reject a number of frames if it exceeds the limit.
    pub(crate) fn check_frame_count(&self, count: u64) -> Result<(), Error> {
        if count > self.max_frames {
            return Err(Error::TooLong { limit: self.max_frames });
        }
        Ok(())
    }
}

/// Ends an extraction from outside: by a call or at a deadline. Clones share one switch.
///
/// It is checked for every packet and in every read, because libav does not poll its own interrupt
/// callback when the caller supplies the reader.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Return a switch that also ends the extraction at `deadline`, with [`Error::Timeout`].
    #[must_use]
    pub fn at(deadline: Instant) -> Self {
        Self { cancelled: Arc::default(), deadline: Some(deadline) }
    }

    /// End the extraction with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Return an error if the extraction has to end.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Error::Timeout),
            _ => Ok(()),
        }
    }
}
