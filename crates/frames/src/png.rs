//! Writes a picture as a PNG (ISO/IEC 15948).

use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter, PixelDimensions, Unit};
use serde::Serialize;

use crate::Error;
use crate::av::{Picture, PixelFormat};
use crate::select::Ratio;

/// How much time is spent on making the pictures small. The pixels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// A compressor made for PNG, and a match finder for the pictures that need one.
    #[default]
    Fast,
    /// Some ten times slower, a few percent smaller.
    Balanced,
    /// Slower again, as small as zlib makes it.
    Small,
}

/// Bytes of a PNG below which, in parts of its pixels' bytes, a picture counts as flat.
const FLAT: f64 = 0.25;

/// The PNG file of a picture that [`Converter`](crate::convert::Converter) made ready.
pub(crate) fn encode(picture: &Picture, aspect: Option<Ratio>, compression: Compression) -> Result<Vec<u8>, Error> {
    let pixels = pixels(picture);
    let with = |compression, filter| write(picture, aspect, &pixels, compression, filter);
    match compression {
        Compression::Fast => {
            let quick = with(DeflateCompression::FdeflateUltraFast, Filter::Adaptive)?;
            if quick.len() as f64 > FLAT * pixels.len() as f64 {
                return Ok(quick);
            }
            let searched = with(DeflateCompression::Level(4), Filter::NoFilter)?;
            Ok(if searched.len() < quick.len() { searched } else { quick })
        }
        Compression::Balanced => with(DeflateCompression::Level(6), Filter::Adaptive),
        Compression::Small => with(DeflateCompression::Level(9), Filter::Adaptive),
    }
}

/// The rows of the picture one after another, without padding.
fn pixels(picture: &Picture) -> Vec<u8> {
    picture.planes().first().map_or_else(Vec::new, |plane| plane.rows().collect::<Vec<_>>().concat())
}

fn write(
    picture: &Picture,
    aspect: Option<Ratio>,
    pixels: &[u8],
    compression: DeflateCompression,
    filter: Filter,
) -> Result<Vec<u8>, Error> {
    let (color, depth) = kind(picture.format());
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let mut encoder = Encoder::new(&mut file, picture.width(), picture.height());
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_deflate_compression(compression);
    encoder.set_filter(filter);
    if let Some(palette) = picture.palette() {
        encoder.set_palette(palette.iter().flat_map(|argb| argb.to_be_bytes().into_iter().skip(1)).collect::<Vec<u8>>());
        if palette.iter().any(|argb| argb >> 24 != 255) {
            encoder.set_trns(palette.iter().map(|argb| (argb >> 24) as u8).collect::<Vec<u8>>());
        }
    }
    // A sample twice as wide as high has half as many pixels a unit across as down (PNG, 11.3.4.3).
    if let Some(aspect) = aspect.filter(|aspect| aspect.num != aspect.den) {
        let [xppu, yppu] = [aspect.den, aspect.num].map(|number| u32::try_from(number).unwrap_or(1));
        encoder.set_pixel_dims(Some(PixelDimensions { xppu, yppu, unit: Unit::Unspecified }));
    }
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.map_err(|error| Error::OutOfMemory(format!("a picture cannot be encoded: {error}")))?;
    Ok(file)
}

/// How PNG names the kinds of pixels that [`av::png_format`](crate::av::png_format) gives.
fn kind(format: PixelFormat) -> (ColorType, BitDepth) {
    use PixelFormat as F;
    match format {
        F::AV_PIX_FMT_RGBA => (ColorType::Rgba, BitDepth::Eight),
        F::AV_PIX_FMT_RGB48BE => (ColorType::Rgb, BitDepth::Sixteen),
        F::AV_PIX_FMT_RGBA64BE => (ColorType::Rgba, BitDepth::Sixteen),
        F::AV_PIX_FMT_PAL8 => (ColorType::Indexed, BitDepth::Eight),
        F::AV_PIX_FMT_GRAY8 => (ColorType::Grayscale, BitDepth::Eight),
        F::AV_PIX_FMT_YA8 => (ColorType::GrayscaleAlpha, BitDepth::Eight),
        F::AV_PIX_FMT_GRAY16BE => (ColorType::Grayscale, BitDepth::Sixteen),
        F::AV_PIX_FMT_YA16BE => (ColorType::GrayscaleAlpha, BitDepth::Sixteen),
        F::AV_PIX_FMT_MONOBLACK => (ColorType::Grayscale, BitDepth::One),
        _ => (ColorType::Rgb, BitDepth::Eight),
    }
}
