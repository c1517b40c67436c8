//! How far one video may go, and the way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::Error;

/// Bounds on what a video may ask for. The defaults suit user uploads, but for the size of the
/// archive, which depends on the room that there is.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Streams that a container may declare.
    pub max_streams: u32,
    /// Longest side of a picture, in pixels.
    pub max_side: u32,
    /// Pixels of a picture.
    pub max_pixels: u64,
    /// Pictures taken from one video.
    pub max_images: u64,
    /// Bytes of the archive.
    pub max_archive_bytes: u64,
    /// Largest single allocation that libav may make, in bytes; the largest asked for in this
    /// process holds for all of it.
    pub max_allocation: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_streams: 64,
            max_side: 8192,
            max_pixels: 40_000_000,
            max_images: 24 * 60 * 60,
            max_archive_bytes: u64::MAX,
            max_allocation: 512 << 20,
        }
    }
}

impl Limits {
    /// Refuse a picture of this size if it is past the limits.
    pub(crate) fn check_picture(&self, width: u32, height: u32) -> Result<(), Error> {
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > self.max_side || pixels > self.max_pixels {
            let megapixels = self.max_pixels / 1_000_000;
            let limit = format!("{0}x{0} and {megapixels} megapixels", self.max_side);
            return Err(Error::PictureTooLarge { width, height, limit });
        }
        Ok(())
    }
}

/// Ends an extraction from outside: by hand, or at a deadline. Clones share one switch.
///
/// It is looked at on every packet and inside every read, because libav does not poll its own
/// interrupt callback for a custom reader.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    cancelled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// A switch that also turns at `deadline`.
    #[must_use]
    pub fn at(deadline: Instant) -> Self {
        Self { cancelled: Arc::default(), deadline: Some(deadline) }
    }

    /// Ask the extraction to stop; it ends with [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

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
