//! Interface of the encoders.

use jobs::Ratio;

use crate::av::{Frame, PixelFormat};
use crate::error::Error;

/// File type of encoded frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileType {
    /// Suffix of file names, without the dot.
    pub suffix: &'static str,
    /// Media type (RFC 6838).
    pub media_type: &'static str,
}

/// Encoder of frames in one file format.
pub(crate) trait Encoder: Send + Sync {
    fn file_type(&self) -> FileType;

    /// Pixel formats that [`Encoder::encode`] accepts. The closest to the decoded format is used.
    fn pixel_formats(&self) -> &'static [PixelFormat];

    /// Encode a frame in one of the accepted formats. `aspect` is the width to height of one
    /// sample, if known.
    fn encode(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Vec<u8>, Error>;
}
