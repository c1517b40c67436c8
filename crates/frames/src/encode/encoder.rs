//! Interface of the encoders.

use jobs::Ratio;
use jobs::manifest::Compression;

use crate::av::{Frame, PixelFormat};
use crate::error::Error;

/// Encoder of frames in one file format.
pub(crate) trait Encoder: Send + Sync {
    /// Compression, if the file format has a choice.
    fn compression(&self) -> Option<Compression> {
        None
    }

    /// Pixel formats that [`Encoder::encode`] accepts. The closest to the decoded format is used.
    fn pixel_formats(&self) -> &'static [PixelFormat];

    /// Encode a frame in one of the accepted formats. `aspect` is the width to height of one
    /// sample, if known.
    fn encode(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Vec<u8>, Error>;
}
