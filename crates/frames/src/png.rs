//! Writes a picture as a PNG (ISO/IEC 15948).

use jobs::Ratio;
use jobs::manifest::Compression;
use png::{BitDepth, ColorType, DeflateCompression, Encoder, Filter, PixelDimensions, Unit};

use crate::Error;
use crate::av::{Picture, PixelFormat, Plane};

/// How pixels are filtered and compressed.
type Way = (DeflateCompression, Filter);

/// For film: one good filter, and a compressor that codes and does not search. Trying all filters
/// gains nothing on such pictures.
const FILM: Way = (DeflateCompression::FdeflateUltraFast, Filter::Paeth);
/// For flat pictures with soft edges, such as surveillance: a match finder behind the filter that
/// leaves most to be found. Small pictures cost little time and gain most from a thorough search.
const SMOOTH: Way = (DeflateCompression::Level(2), Filter::Up);
const SMALL_SMOOTH: Way = (DeflateCompression::Level(5), Filter::Adaptive);
/// For drawn pictures, such as screens and palettes: a match finder on the pixels themselves.
const DRAWN: Way = (DeflateCompression::Level(5), Filter::NoFilter);

/// The PNG file of a picture that [`Converter`](crate::convert::Converter) made ready.
pub(crate) fn encode(
    picture: &Picture,
    aspect: Option<Ratio>,
    compression: Compression,
) -> Result<Vec<u8>, Error> {
    let planes = picture.planes();
    let pixels = planes.first().map(Plane::bytes).unwrap_or_default();
    let way = match compression {
        Compression::Fast => choose(picture, &pixels)?,
        Compression::Balanced => (DeflateCompression::Level(6), Filter::Adaptive),
        Compression::Small => (DeflateCompression::Level(9), Filter::Adaptive),
    };
    write(picture, picture.height(), aspect, &pixels, way)
}

/// The way that suits the picture: decided by trying them on three strips of it, if a look at a few
/// rows says that it may be flat.
fn choose(picture: &Picture, pixels: &[u8]) -> Result<Way, Error> {
    /// Rows of a strip.
    const STRIP: usize = 16;
    /// Share of a flat picture's bytes that equal those of a neighbour.
    const FLAT: f64 = 0.75;
    /// To what a slower way must shrink a picture to be worth its time.
    const WORTH: f64 = 0.93;
    /// Bytes of a small picture's pixels.
    const SMALL: usize = 700 << 10;

    let (color, depth) = kind(picture.format());
    if color == ColorType::Indexed || depth == BitDepth::One {
        return Ok(DRAWN);
    }
    let height = picture.height() as usize;
    let row = pixels.len() / height.max(1);
    let pixel = row / (picture.width() as usize).max(1);
    if height < STRIP || equal_share(pixels, row, pixel) < FLAT {
        return Ok(FILM);
    }
    let rows = STRIP.min(height / 3);
    let strips: Vec<u8> = [1, 3, 5]
        .iter()
        .flat_map(|sixth| &pixels[(height * sixth / 6 - rows / 2) * row..][..rows * row])
        .copied()
        .collect();
    let size = |way| write(picture, 3 * rows as u32, None, &strips, way).map(|file| file.len());
    let smooth_way = if pixels.len() < SMALL { SMALL_SMOOTH } else { SMOOTH };
    let (film, smooth, drawn) = (size(FILM)?, size(smooth_way)?, size(DRAWN)?);
    let saves = |less: usize, more: usize| (less as f64) < WORTH * more as f64;
    // The search behind a filter is the quicker one.
    let (searched, way) = if saves(drawn, smooth) { (drawn, DRAWN) } else { (smooth, smooth_way) };
    Ok(if saves(searched, film) { way } else { FILM })
}

/// On every sixteenth row, the share of bytes that equal those of the pixel to the left or above.
fn equal_share(pixels: &[u8], row: usize, pixel: usize) -> f64 {
    let (mut equal, mut looked_at) = (0, 0);
    for pair in pixels.chunks_exact(2 * row).step_by(8) {
        let (above, here) = pair.split_at(row);
        let neighbours = here[pixel..].iter().zip(here).zip(&above[pixel..]);
        equal += neighbours.filter(|((byte, left), above)| byte == left || byte == above).count();
        looked_at += row - pixel;
    }
    equal as f64 / looked_at.max(1) as f64
}

/// A PNG of `height` rows of the picture's kind.
fn write(
    picture: &Picture,
    height: u32,
    aspect: Option<Ratio>,
    pixels: &[u8],
    way: Way,
) -> Result<Vec<u8>, Error> {
    let (color, depth) = kind(picture.format());
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let mut encoder = Encoder::new(&mut file, picture.width(), height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_deflate_compression(way.0);
    encoder.set_filter(way.1);
    if let Some(palette) = picture.palette() {
        encoder.set_palette(
            palette
                .iter()
                .flat_map(|argb| argb.to_be_bytes().into_iter().skip(1))
                .collect::<Vec<u8>>(),
        );
        if palette.iter().any(|argb| argb >> 24 != 255) {
            encoder.set_trns(palette.iter().map(|argb| (argb >> 24) as u8).collect::<Vec<u8>>());
        }
    }
    // A sample twice as wide as high has half as many pixels a unit across as down (PNG, 11.3.4.3).
    if let Some(aspect) = aspect.filter(|aspect| aspect.num != aspect.den) {
        let [xppu, yppu] =
            [aspect.den, aspect.num].map(|number| u32::try_from(number).unwrap_or(1));
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
