//! Encoders of frames, one module per file format.

// In dependency order.
mod encoder;
mod png;

use jobs::manifest::Compression;
use jobs::recipe::{Image, ImageFormat};

pub(crate) use encoder::Encoder;
pub use encoder::FileType;

/// Encoder for the form of frames that a recipe requests.
pub(crate) fn encoder(image: &Image, compression: Compression) -> Box<dyn Encoder> {
    match image.format {
        ImageFormat::Png => Box::new(png::PngEncoder { compression }),
    }
}

/// File type of the frames that a recipe requests.
#[must_use]
pub fn file_type(image: &Image) -> FileType {
    encoder(image, Compression::default()).file_type()
}
