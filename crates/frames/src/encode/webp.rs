//! Encoder for WebP (RFC 9649), lossy and with transparency.
//!
//! libwebp receives RGB and converts it to the matrix and range that the format prescribes. Frames
//! in YUV cannot be passed on, because their matrix and range differ from video to video.

use jobs::Ratio;
use jobs::recipe::Quality;

use crate::av::{self, Frame, ImageCodec, ImageEncoder, PixelFormat};
use crate::error::Error;

use super::encoder::Encoder;

/// Effort of libwebp, from 0 to 6. Its default of 4 makes files 5% smaller in three times the time.
const EFFORT: u8 = 2;

/// Encoder for WebP.
pub(super) struct WebpEncoder(ImageEncoder);

impl WebpEncoder {
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub(super) fn new(quality: Quality) -> Result<Self, Error> {
        let settings = ImageCodec::Webp { quality: quality.number(), effort: EFFORT };
        ImageEncoder::find(settings).map(Self)
    }
}

impl Encoder for WebpEncoder {
    fn pixel_formats(&self) -> &'static [PixelFormat] {
        &[av::WEBP_PIXELS]
    }

    /// The format cannot state an aspect ratio.
    fn encode(&self, frame: &Frame, _: Option<Ratio>) -> Result<Vec<u8>, Error> {
        let (width, height) = (frame.width(), frame.height());
        let max_side = av::WEBP_MAX_SIDE;
        if width.max(height) > max_side {
            return Err(Error::FrameTooLargeForFormat { format: "webp", width, height, max_side });
        }
        self.0.encode(frame, None)
    }
}
