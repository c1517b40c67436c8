//! Thumbnails: frames scaled down to JPEGs.

use std::io::{self, BufRead, Seek};
use std::sync::Arc;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, ImageReader, Limits, RgbImage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// JPEG quality, of 100. At these sizes a higher one makes no visible difference.
const QUALITY: u8 = 80;
/// Memory per pixel of a decoded frame, in bytes: four channels of 16 bits.
const BYTES_PER_PIXEL: u64 = 8;
/// Memory of a decoder in addition to the frame, in bytes.
const DECODER_BYTES: u64 = 16 << 20;
/// Memory for all frames that are decoded at a time, in bytes: enough for one frame of 40
/// megapixels, the largest that is extracted.
const TOTAL_BYTES: u64 = 40_000_000 * BYTES_PER_PIXEL + DECODER_BYTES;
/// Unit in which memory is reserved, in bytes.
const UNIT: u64 = 1 << 20;

/// Memory for decoding frames, shared by all thumbnails that are made at a time.
pub struct ThumbnailMemory(Arc<Semaphore>);

/// Memory for decoding one frame, until it is dropped.
pub struct ReservedMemory {
    bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl Default for ThumbnailMemory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOTAL_BYTES.div_ceil(UNIT) as usize)))
    }
}

impl ThumbnailMemory {
    /// Reserve the memory for a frame of this size, as soon as it is available. A frame that is
    /// too large reserves all of it, and fails to decode.
    pub async fn reserve(&self, width: u32, height: u32) -> Result<ReservedMemory, Problem> {
        let frame = u64::from(width).saturating_mul(height.into()).saturating_mul(BYTES_PER_PIXEL);
        let bytes = frame.saturating_add(DECODER_BYTES).min(TOTAL_BYTES);
        let units = bytes.div_ceil(UNIT) as u32;
        let permit = Arc::clone(&self.0)
            .acquire_many_owned(units)
            .await
            .map_err(|error| Problem::internal(&error))?;
        Ok(ReservedMemory { bytes, _permit: permit })
    }
}

/// Scale a PNG down to a JPEG of this width. A PNG that is narrower keeps its width. Transparent
/// pixels are shown on white.
///
/// # Errors
/// The input is not a PNG, or decoding it needs more memory than was reserved.
pub fn thumbnail(
    png: impl BufRead + Seek,
    width: u32,
    memory: &ReservedMemory,
) -> io::Result<Vec<u8>> {
    let mut reader = ImageReader::with_format(png, ImageFormat::Png);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(memory.bytes);
    reader.limits(limits);
    let frame = reader.decode().map_err(invalid_data)?;
    let width = width.min(frame.width());
    let height = (u64::from(frame.height()) * u64::from(width) / u64::from(frame.width()))
        .clamp(1, frame.height().into()) as u32;
    let small = frame.thumbnail_exact(width, height);
    drop(frame);
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    opaque(small).write_with_encoder(encoder).map_err(invalid_data)?;
    Ok(jpeg)
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

fn invalid_data(error: image::ImageError) -> io::Error {
    match error {
        // Errors of the store keep their type.
        image::ImageError::IoError(error) => error,
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use image::{ColorType, GrayAlphaImage, Rgb, Rgba, RgbaImage};

    use super::*;

    fn png(frame: &DynamicImage) -> Cursor<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        frame.write_to(&mut bytes, ImageFormat::Png).expect("memory is writable");
        bytes.set_position(0);
        bytes
    }

    async fn memory(width: u32, height: u32) -> ReservedMemory {
        ThumbnailMemory::default().reserve(width, height).await.expect("the memory is free")
    }

    async fn jpeg_of(frame: DynamicImage, width: u32) -> DynamicImage {
        let memory = memory(frame.width(), frame.height()).await;
        let jpeg = thumbnail(png(&frame), width, &memory).expect("the input is a PNG");
        image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).expect("the output is a JPEG")
    }

    #[tokio::test]
    async fn scales_down_and_keeps_the_aspect_ratio() {
        for ((width, height), max_width, expected) in [
            ((640, 360), 320, (320, 180)),
            ((641, 361), 320, (320, 180)),
            ((10, 3), 320, (10, 3)),
            ((1000, 1), 16, (16, 1)),
            ((1, 1000), 16, (1, 1000)),
            ((361, 640), 160, (160, 283)),
        ] {
            let frame = RgbImage::from_pixel(width, height, Rgb([90; 3])).into();
            let jpeg = jpeg_of(frame, max_width).await;
            assert_eq!((jpeg.width(), jpeg.height()), expected, "{width}x{height} at {max_width}");
        }
    }

    #[tokio::test]
    async fn averages_pixels_and_shows_transparency_on_white() {
        let stripes = GrayImage::from_fn(64, 64, |x, _| [(x % 2 * 200) as u8].into());
        let jpeg = jpeg_of(stripes.into(), 32).await;
        assert_eq!(jpeg.color(), ColorType::L8);
        assert!(jpeg.into_luma8().pixels().all(|pixel| pixel.0[0].abs_diff(100) <= 2));

        let half = RgbaImage::from_pixel(64, 64, Rgba([0, 100, 200, 128])).into();
        let [red, green, blue] = jpeg_of(half, 32).await.into_rgb8().get_pixel(9, 9).0;
        assert!(red.abs_diff(127) <= 3 && green.abs_diff(177) <= 3 && blue.abs_diff(227) <= 3);

        let transparent = GrayAlphaImage::from_pixel(64, 64, [0, 0].into()).into();
        assert!(jpeg_of(transparent, 32).await.into_luma8().get_pixel(9, 9).0[0] >= 253);
    }

    #[tokio::test]
    async fn accepts_16_bits_per_channel() {
        let frame = image::ImageBuffer::<Rgb<u16>, _>::from_pixel(64, 64, Rgb([0x8000; 3]));
        let [red, ..] = jpeg_of(DynamicImage::from(frame), 32).await.into_rgb8().get_pixel(9, 9).0;
        assert!(red.abs_diff(128) <= 2, "{red}");
    }

    #[tokio::test]
    async fn rejects_what_is_not_a_png() {
        let whole = png(&RgbImage::from_pixel(64, 64, Rgb([7; 3])).into()).into_inner();
        let memory = memory(64, 64).await;
        for bytes in [&whole[..whole.len() / 2], b"no frame", b""] {
            assert!(thumbnail(Cursor::new(bytes), 32, &memory).is_err());
        }
    }

    #[tokio::test]
    async fn rejects_frames_that_need_more_memory_than_reserved() {
        let large = png(&RgbImage::new(4000, 3000).into());
        let memory = memory(1, 1).await;
        assert!(thumbnail(large, 32, &memory).is_err());
    }
}
