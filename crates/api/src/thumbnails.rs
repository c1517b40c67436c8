//! Thumbnails: frames scaled down to JPEGs.

mod shrink;

use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};

use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage, RgbaImage,
};
use jobs::manifest::FrameEntry;
use png::{ColorType, Transformations};

use shrink::Shrink;

/// JPEG quality, of 100. At these sizes a higher one makes no visible difference.
const QUALITY: u8 = 80;
/// Memory of a PNG decoder without its rows, in bytes.
const DECODER_BYTES: usize = 4 << 20;
/// Memory per pixel of a row, in bytes: the decoder holds several rows of up to 8 bytes per pixel,
/// and [`Shrink`] a sum of 8 bytes for each sample.
const ROW_PIXEL_BYTES: u64 = 64;
/// Memory per pixel of a decoded JPEG, in bytes.
const JPEG_PIXEL_BYTES: u64 = 3;
/// Memory per pixel of a decoded WebP, in bytes: color and transparency, and the planes before.
const WEBP_PIXEL_BYTES: u64 = 8;
/// Memory per pixel of a thumbnail, in bytes: with transparency and without.
const THUMBNAIL_PIXEL_BYTES: u64 = 4 + 3;

/// Maximum width and height of a frame, in pixels (the limit of JPEG and of the engine).
const MAX_SIDE: u32 = 65_535;

const OTHER_SIZE: &str = "the frame has another size than in the manifest";

/// Check the size that a manifest states for a frame. The manifest comes from a decoder, which a
/// hostile video may have compromised, and a frame of a few bytes can state any size.
///
/// # Errors
/// A side is empty or too long, or the frame has more than `max_pixels`.
pub fn check_size(frame: &FrameEntry, max_pixels: u64) -> io::Result<()> {
    let (width, height) = (frame.width, frame.height);
    let are_sides_valid = [width, height].iter().all(|side| (1..=MAX_SIDE).contains(side));
    if are_sides_valid && u64::from(width) * u64::from(height) <= max_pixels {
        return Ok(());
    }
    Err(invalid(&format!("frame {} has {width}x{height} pixels by its manifest", frame.number)))
}

/// Maximum memory for making a thumbnail of this width, in bytes, without that of the reader.
pub fn memory(frame: &FrameEntry, max_width: u32) -> u64 {
    let (width, height) = thumbnail_size(frame.width, frame.height, max_width);
    let thumbnail = u64::from(width).saturating_mul(height.into());
    let decoder = if has_format(frame, ImageFormat::Png) {
        DECODER_BYTES as u64 + u64::from(frame.width) * ROW_PIXEL_BYTES
    } else {
        decoded_bytes(frame).saturating_add(frame.length)
    };
    thumbnail.saturating_mul(THUMBNAIL_PIXEL_BYTES).saturating_add(decoder)
}

/// Scale the first of these frames of an archive that is not blank, or else the first, down to a
/// JPEG of this width, and of at most four times this height. A smaller frame keeps its size.
/// Transparent pixels are shown on white.
///
/// A PNG is decoded row by row. Frames of other formats are decoded whole.
///
/// # Errors
/// There are no frames, or one of them is not as the manifest describes it.
pub fn thumbnail(
    mut archive: impl Read + Seek,
    frames: &[FrameEntry],
    max_width: u32,
) -> io::Result<Vec<u8>> {
    let mut first = None;
    for frame in frames {
        archive.seek(SeekFrom::Start(frame.offset))?;
        let small = scaled_down(BufReader::new(&mut archive), frame, max_width)?;
        if !is_blank(&small) {
            return encode(&small);
        }
        first.get_or_insert(small);
    }
    encode(&first.ok_or_else(|| invalid("the archive has no frames"))?)
}

/// Scale a frame, a PNG, JPEG or WebP, down to this width.
fn scaled_down(
    mut file: impl BufRead + Seek,
    frame: &FrameEntry,
    max_width: u32,
) -> io::Result<DynamicImage> {
    let format = image::guess_format(file.fill_buf()?).map_err(invalid_data)?;
    if !has_format(frame, format) {
        return Err(invalid("the file has another format than its name"));
    }
    let (width, height) = thumbnail_size(frame.width, frame.height, max_width);
    let small = match format {
        ImageFormat::Png => shrink_png(file, frame, width, height)?,
        ImageFormat::Jpeg | ImageFormat::WebP => {
            shrink_decoded(&decode_whole(file, frame, format)?, width, height)?
        }
        _ => return Err(invalid("the format is not supported")),
    };
    Ok(opaque(small))
}

fn encode(frame: &DynamicImage) -> io::Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    frame.write_with_encoder(encoder).map_err(invalid_data)?;
    Ok(jpeg)
}

/// Return whether almost all of a thumbnail has the same brightness, by the measure of the engine.
fn is_blank(thumbnail: &DynamicImage) -> bool {
    /// Range of luma within which the pixels of a blank frame lie, in levels.
    const BAND: usize = 16;
    /// Share of the pixels that have to lie in it, in percent.
    const PERCENT: usize = 98;
    let luma = thumbnail.to_luma8().into_raw();
    let mut histogram = [0_usize; 256];
    for level in &luma {
        histogram[usize::from(*level)] += 1;
    }
    let fullest = histogram.windows(BAND).map(|band| band.iter().sum::<usize>()).max();
    fullest.is_some_and(|count| count * 100 >= luma.len() * PERCENT)
}

/// Return whether the suffix of a frame's name is one of this format.
fn has_format(frame: &FrameEntry, format: ImageFormat) -> bool {
    ImageFormat::from_path(&frame.name).is_ok_and(|named| named == format)
}

/// Maximum ratio of the height of a thumbnail to its maximum width.
const MAX_HEIGHT_RATIO: u32 = 4;

/// Width and height of a thumbnail, at least 1.
fn thumbnail_size(width: u32, height: u32, max_width: u32) -> (u32, u32) {
    let (width, height) = (width.max(1), height.max(1));
    let max_height = max_width.saturating_mul(MAX_HEIGHT_RATIO);
    let scaled = |side: u32, to: u32, from: u32| {
        (u64::from(side) * u64::from(to) / u64::from(from)).clamp(1, side.into()) as u32
    };
    let small_width = width.min(max_width);
    let small_height = scaled(height, small_width, width);
    if small_height <= max_height {
        return (small_width, small_height);
    }
    (scaled(width, max_height, height), max_height)
}

fn decoded_bytes(frame: &FrameEntry) -> u64 {
    let is_webp = has_format(frame, ImageFormat::WebP);
    let pixel_bytes = if is_webp { WEBP_PIXEL_BYTES } else { JPEG_PIXEL_BYTES };
    pixel_bytes.saturating_mul(frame.width.into()).saturating_mul(frame.height.into())
}

fn decode_whole(
    file: impl Read,
    frame: &FrameEntry,
    format: ImageFormat,
) -> io::Result<DynamicImage> {
    let mut bytes = Vec::new();
    file.take(frame.length).read_to_end(&mut bytes)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(frame.width);
    limits.max_image_height = Some(frame.height);
    limits.max_alloc = Some(decoded_bytes(frame));
    reader.limits(limits);
    let decoded = reader.decode().map_err(invalid_data)?;
    if (decoded.width(), decoded.height()) != (frame.width, frame.height) {
        return Err(invalid(OTHER_SIZE));
    }
    Ok(decoded)
}

/// Decode a PNG and scale it down to this size at the same time.
fn shrink_png(
    file: impl BufRead + Seek,
    frame: &FrameEntry,
    width: u32,
    height: u32,
) -> io::Result<DynamicImage> {
    let mut decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: DECODER_BYTES });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    // Only the header is read before its size is compared.
    if decoder.read_header_info().map_err(invalid_png)?.size() != (frame.width, frame.height) {
        return Err(invalid(OTHER_SIZE));
    }
    let mut reader = decoder.read_info().map_err(invalid_png)?;
    if reader.info().interlaced {
        return Err(invalid("the frame is interlaced"));
    }
    let (color, _) = reader.output_color_type();
    let mut shrink = Shrink::new((frame.width, frame.height), (width, height), color.samples());
    while let Some(row) = reader.next_row().map_err(invalid_png)? {
        shrink.add_row(row.data());
    }
    image_of(color, shrink.finish(), width, height)
}

/// Scale a decoded image down to this size.
fn shrink_decoded(image: &DynamicImage, width: u32, height: u32) -> io::Result<DynamicImage> {
    let color = match image.color() {
        image::ColorType::L8 => ColorType::Grayscale,
        image::ColorType::La8 => ColorType::GrayscaleAlpha,
        image::ColorType::Rgb8 => ColorType::Rgb,
        image::ColorType::Rgba8 => ColorType::Rgba,
        _ => return Err(invalid("the frame has more than 8 bits per sample")),
    };
    let size = (image.width(), image.height());
    let mut shrink = Shrink::new(size, (width, height), color.samples());
    image
        .as_bytes()
        .chunks_exact(size.0 as usize * color.samples())
        .for_each(|row| shrink.add_row(row));
    image_of(color, shrink.finish(), width, height)
}

/// Image of these samples, of 8 bits each.
fn image_of(
    color: ColorType,
    samples: Vec<u8>,
    width: u32,
    height: u32,
) -> io::Result<DynamicImage> {
    let image = match color {
        ColorType::Grayscale => GrayImage::from_raw(width, height, samples).map(Into::into),
        ColorType::GrayscaleAlpha => {
            GrayAlphaImage::from_raw(width, height, samples).map(Into::into)
        }
        ColorType::Rgb => RgbImage::from_raw(width, height, samples).map(Into::into),
        ColorType::Rgba => RgbaImage::from_raw(width, height, samples).map(Into::into),
        // Palettes are expanded.
        ColorType::Indexed => None,
    };
    image.ok_or_else(|| invalid("the rows have another length than the header states"))
}

/// Frame with 8 bits per channel and without transparency, as JPEG stores it.
fn opaque(frame: DynamicImage) -> DynamicImage {
    /// Show a sample on white.
    fn blend(sample: u8, alpha: u8) -> u8 {
        let (sample, alpha) = (u32::from(sample), u32::from(alpha));
        ((sample * alpha + 255 * (255 - alpha)) / 255) as u8
    }
    let (width, height) = (frame.width(), frame.height());
    let color = frame.color();
    match (color.has_color(), color.has_alpha()) {
        (false, false) => frame.into_luma8().into(),
        (true, false) => frame.into_rgb8().into(),
        (false, true) => {
            let frame = frame.into_luma_alpha8();
            GrayImage::from_fn(width, height, |x, y| {
                let [luma, alpha] = frame.get_pixel(x, y).0;
                [blend(luma, alpha)].into()
            })
            .into()
        }
        (true, true) => {
            let frame = frame.into_rgba8();
            RgbImage::from_fn(width, height, |x, y| {
                let [red, green, blue, alpha] = frame.get_pixel(x, y).0;
                [red, green, blue].map(|sample| blend(sample, alpha)).into()
            })
            .into()
        }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn invalid_data(error: image::ImageError) -> io::Error {
    match error {
        // Errors of the store keep their type.
        image::ImageError::IoError(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn invalid_png(error: png::DecodingError) -> io::Error {
    match error {
        // Errors of the store keep their type.
        png::DecodingError::IoError(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[cfg(test)]
mod tests;
