//! Encoder for PNG (ISO/IEC 15948).

use jobs::Ratio;
use jobs::manifest::Compression;
use png::{BitDepth, ColorType, DeflateCompression, Filter, PixelDimensions, Unit};

use crate::av::{Frame, PixelFormat, Plane};
use crate::error::Error;

use super::encoder::Encoder;

/// Encoder for PNG.
pub(super) struct PngEncoder {
    pub compression: Compression,
}

/// Filter and compressor of the pixels.
#[derive(Debug, Clone, Copy)]
struct Method {
    compression: DeflateCompression,
    filter: Filter,
}

/// Method for film: one good filter, and a compressor that does not search for matches. Trying all
/// filters gains nothing on such frames.
const FILM: Method =
    Method { compression: DeflateCompression::FdeflateUltraFast, filter: Filter::Paeth };
/// Method for flat frames with soft edges, such as surveillance: a match finder after the filter
/// that leaves most matches.
const SMOOTH: Method = Method { compression: DeflateCompression::Level(2), filter: Filter::Up };
/// [`SMOOTH`] with a thorough search, for small frames, which need little time.
const SMALL_SMOOTH: Method =
    Method { compression: DeflateCompression::Level(5), filter: Filter::Adaptive };
/// Method for drawn frames, such as screens and palettes: a match finder on the pixels themselves.
const DRAWN: Method =
    Method { compression: DeflateCompression::Level(5), filter: Filter::NoFilter };
/// Method for [`Compression::Balanced`].
const BALANCED: Method =
    Method { compression: DeflateCompression::Level(6), filter: Filter::Adaptive };
/// Method for [`Compression::Small`].
const SMALL: Method =
    Method { compression: DeflateCompression::Level(9), filter: Filter::Adaptive };

impl Encoder for PngEncoder {
    fn compression(&self) -> Option<Compression> {
        Some(self.compression)
    }

    /// Formats of FFmpeg's PNG encoder (libavcodec/pngenc.c).
    fn pixel_formats(&self) -> &'static [PixelFormat] {
        &[
            PixelFormat::AV_PIX_FMT_RGB24,
            PixelFormat::AV_PIX_FMT_RGBA,
            PixelFormat::AV_PIX_FMT_RGB48BE,
            PixelFormat::AV_PIX_FMT_RGBA64BE,
            PixelFormat::AV_PIX_FMT_PAL8,
            PixelFormat::AV_PIX_FMT_GRAY8,
            PixelFormat::AV_PIX_FMT_YA8,
            PixelFormat::AV_PIX_FMT_GRAY16BE,
            PixelFormat::AV_PIX_FMT_YA16BE,
            PixelFormat::AV_PIX_FMT_MONOBLACK,
        ]
    }

    fn encode(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Vec<u8>, Error> {
        let planes = frame.planes();
        let pixels = planes.first().map(Plane::bytes).unwrap_or_default();
        let method = match self.compression {
            Compression::Fast => choose_method(frame, &pixels)?,
            Compression::Balanced => BALANCED,
            Compression::Small => SMALL,
        };
        write(frame, frame.height(), aspect, &pixels, method)
    }
}

/// Choose the method for a frame: by encoding three strips of it with each, if a sample of its rows
/// suggests that it is flat.
fn choose_method(frame: &Frame, pixels: &[u8]) -> Result<Method, Error> {
    /// Number of rows of a strip.
    const STRIP: usize = 16;
    /// Minimum share of a flat frame's bytes that equal those of a neighbor.
    const FLAT: f64 = 0.75;
    /// Maximum relative size at which a slower method is worth its time.
    const WORTHWHILE: f64 = 0.93;
    /// Maximum size of the pixels of a small frame, in bytes.
    const SMALL_FRAME: usize = 700 << 10;

    let (color, depth) = color_type(frame.format());
    if color == ColorType::Indexed || depth == BitDepth::One {
        return Ok(DRAWN);
    }
    let height = frame.height() as usize;
    let row_bytes = pixels.len() / height.max(1);
    let pixel_bytes = row_bytes / (frame.width() as usize).max(1);
    if height < STRIP || equal_share(pixels, row_bytes, pixel_bytes) < FLAT {
        return Ok(FILM);
    }
    let rows = STRIP.min(height / 3);
    let strips: Vec<u8> = [1, 3, 5]
        .iter()
        .flat_map(|sixth| {
            &pixels[(height * sixth / 6 - rows / 2) * row_bytes..][..rows * row_bytes]
        })
        .copied()
        .collect();
    let size =
        |method| write(frame, 3 * rows as u32, None, &strips, method).map(|file| file.len() as f64);
    let smooth = if pixels.len() < SMALL_FRAME { SMALL_SMOOTH } else { SMOOTH };
    let (film_size, smooth_size, drawn_size) = (size(FILM)?, size(smooth)?, size(DRAWN)?);
    // Of the two methods with a match finder, the one with a filter is faster.
    let (size, method) = if drawn_size < WORTHWHILE * smooth_size {
        (drawn_size, DRAWN)
    } else {
        (smooth_size, smooth)
    };
    Ok(if size < WORTHWHILE * film_size { method } else { FILM })
}

/// Share of bytes that equal those of the pixel to the left or above, in every sixteenth row.
fn equal_share(pixels: &[u8], row_bytes: usize, pixel_bytes: usize) -> f64 {
    let (mut equal, mut total) = (0, 0);
    for pair in pixels.chunks_exact(2 * row_bytes).step_by(8) {
        let (above, row) = pair.split_at(row_bytes);
        let neighbors = row[pixel_bytes..].iter().zip(row).zip(&above[pixel_bytes..]);
        equal += neighbors.filter(|((byte, left), above)| byte == left || byte == above).count();
        total += row_bytes - pixel_bytes;
    }
    equal as f64 / total.max(1) as f64
}

/// Write `height` rows of pixels in the frame's format as a PNG.
fn write(
    frame: &Frame,
    height: u32,
    aspect: Option<Ratio>,
    pixels: &[u8],
    method: Method,
) -> Result<Vec<u8>, Error> {
    let (color, depth) = color_type(frame.format());
    let mut file = Vec::with_capacity(pixels.len() / 2);
    let mut encoder = png::Encoder::new(&mut file, frame.width(), height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    encoder.set_deflate_compression(method.compression);
    encoder.set_filter(method.filter);
    if let Some(palette) = frame.palette() {
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
    // A sample that is twice as wide as high has half as many pixels per unit horizontally as
    // vertically (PNG, 11.3.4.3).
    if let Some(aspect) = aspect.filter(|aspect| aspect.num != aspect.den) {
        let [xppu, yppu] =
            [aspect.den, aspect.num].map(|number| u32::try_from(number).unwrap_or(1));
        encoder.set_pixel_dims(Some(PixelDimensions { xppu, yppu, unit: Unit::Unspecified }));
    }
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(pixels)?;
        writer.finish()
    });
    written.map_err(|error| Error::OutOfMemory(format!("a frame cannot be encoded: {error}")))?;
    Ok(file)
}

/// PNG's color type and bit depth for one of [`PngEncoder::pixel_formats`].
fn color_type(format: PixelFormat) -> (ColorType, BitDepth) {
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
