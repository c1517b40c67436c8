//! Encoders of frames, one module per file format.

// In dependency order.
mod encoder;
mod jpeg;
mod png;
mod webp;

use jobs::Recipe;
use jobs::manifest::Compression;
use jobs::recipe::{Image, ImageFormat, Quality};

use crate::error::Error;

pub(crate) use encoder::Encoder;

/// Encoder for the form of frames that a recipe requests.
///
/// # Errors
/// [`Error::EncoderUnavailable`].
pub(crate) fn encoder(image: &Image, compression: Compression) -> Result<Box<dyn Encoder>, Error> {
    let quality = image.quality().unwrap_or_default();
    Ok(match image.format() {
        ImageFormat::Png => Box::new(png::PngEncoder { compression }),
        ImageFormat::Jpeg => return jpeg_encoder(quality),
        ImageFormat::Webp => Box::new(webp::WebpEncoder::new(quality)?),
    })
}

/// Check that this installation has the encoders that a recipe needs.
///
/// # Errors
/// [`Error::EncoderUnavailable`].
pub fn check_encoders(recipe: &Recipe) -> Result<(), Error> {
    encoder(&recipe.image, Compression::default())?;
    recipe.sheet.map_or(Ok(()), |_| jpeg_encoder(Quality::default()).map(drop))
}

/// Encoder for JPEG.
///
/// # Errors
/// [`Error::EncoderUnavailable`].
pub(crate) fn jpeg_encoder(quality: Quality) -> Result<Box<dyn Encoder>, Error> {
    Ok(Box::new(jpeg::JpegEncoder::new(quality)?))
}
