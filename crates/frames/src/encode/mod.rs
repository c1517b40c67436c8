//! Encoders of frames, one module per file format.

// In dependency order.
mod encoder;
mod png;

use jobs::manifest::Compression;
use jobs::recipe::{Image, ImageFormat};

pub(crate) use encoder::Encoder;

/// Encoder for the form of frames that a recipe requests.
pub(crate) fn encoder(image: &Image, compression: Compression) -> Box<dyn Encoder> {
    match image.format {
        ImageFormat::Png => Box::new(png::PngEncoder { compression }),
    }
}
