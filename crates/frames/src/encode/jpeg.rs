//! Encoder for JPEG (ITU-T T.81) in JFIF files (ITU-T T.871).
//!
//! libavcodec's encoder needs 10 ms for a frame of 1920x1080, for which the crates `jpeg-encoder`
//! 0.7 and `image` 0.25 need 25 and 46 ms. It receives the quantization tables that the quality
//! means in libjpeg, except that the mean of a block is always quantized with 8.

use jobs::Ratio;
use jobs::recipe::Quality;
use parking_lot::Mutex;

use crate::av::{self, Frame, ImageCodec, ImageEncoder, PixelFormat, Plane, Scaler};
use crate::error::Error;

use super::encoder::Encoder;

/// Minimum quality at which chroma keeps its full resolution. Below, that would enlarge files for
/// a difference that their quantization hides.
const FULL_CHROMA_QUALITY: u8 = 90;

/// Quantization of luma at quality 50 (ITU-T T.81, table K.1).
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
/// Quantization of chroma at quality 50 (ITU-T T.81, table K.2).
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// Encoder for JPEG.
pub(super) struct JpegEncoder {
    encoder: ImageEncoder,
    /// Pixel format of the encoder.
    format: PixelFormat,
    /// Converters to that format that are not in use.
    scalers: Mutex<Vec<Scaler>>,
}

impl JpegEncoder {
    /// # Errors
    /// [`Error::EncoderUnavailable`].
    pub(super) fn new(quality: Quality) -> Result<Self, Error> {
        let number = quality.number();
        let tables = Box::new([LUMA, CHROMA].map(|table| scaled(table, number)));
        let format = if number < FULL_CHROMA_QUALITY {
            PixelFormat::AV_PIX_FMT_YUVJ420P
        } else {
            PixelFormat::AV_PIX_FMT_YUVJ444P
        };
        let encoder = ImageEncoder::find(ImageCodec::Jpeg { tables })?;
        Ok(Self { encoder, format, scalers: Mutex::default() })
    }
}

impl Encoder for JpegEncoder {
    /// No YUV, because its matrix and range differ from video to video.
    fn pixel_formats(&self) -> &'static [PixelFormat] {
        &[
            PixelFormat::AV_PIX_FMT_RGB24,
            PixelFormat::AV_PIX_FMT_RGBA,
            PixelFormat::AV_PIX_FMT_GRAY8,
        ]
    }

    /// Transparent frames are shown on white.
    fn encode(&self, frame: &Frame, aspect: Option<Ratio>) -> Result<Vec<u8>, Error> {
        let (width, height) = (frame.width(), frame.height());
        let max_side = av::JPEG_MAX_SIDE;
        if width.max(height) > max_side {
            return Err(Error::FrameTooLargeForFormat { format: "jpeg", width, height, max_side });
        }
        let blended = match frame.format() {
            PixelFormat::AV_PIX_FMT_RGBA => Some(on_white(frame)?),
            _ => None,
        };
        let opaque = blended.as_ref().unwrap_or(frame);
        let extended = (width % 2 == 1).then(|| opaque.with_extended_rows()).transpose()?;
        let mut scaler = self.scalers.lock().pop().unwrap_or_default();
        let converted =
            scaler.convert(extended.as_ref().unwrap_or(opaque), self.format, frame.size());
        self.scalers.lock().push(scaler);
        self.encoder.encode(&converted?, aspect)
    }
}

/// Quantization table for a quality, as libjpeg scales it (jcparam.c, `jpeg_quality_scaling` and
/// `jpeg_add_quant_table`).
fn scaled(table: [u16; 64], quality: u8) -> [u16; 64] {
    let quality = u32::from(quality);
    let percent = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    table.map(|number| ((u32::from(number) * percent + 50) / 100).clamp(1, 255) as u16)
}

/// Blend an RGBA frame with white.
fn on_white(frame: &Frame) -> Result<Frame, Error> {
    let mut opaque = Frame::blank(PixelFormat::AV_PIX_FMT_RGB24, frame.width(), frame.height())
        .ok_or_else(|| Error::OutOfMemory("a frame cannot be converted".into()))?;
    let planes = frame.planes();
    let rows: Vec<&[u8]> = planes.iter().flat_map(Plane::rows).collect();
    opaque.write_rows(|_, y, row| {
        for (blended, pixel) in row.chunks_exact_mut(3).zip(rows[y].chunks_exact(4)) {
            for (blended, color) in blended.iter_mut().zip(pixel) {
                let alpha = u32::from(pixel[3]);
                let sum = u32::from(*color) * alpha + 255 * (255 - alpha);
                *blended = ((sum + 127) / 255) as u8;
            }
        }
    });
    Ok(opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_are_shown_on_white() {
        let pixels = [10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128];
        let mut frame = Frame::blank(PixelFormat::AV_PIX_FMT_RGBA, 3, 1).expect("memory");
        frame.write_rows(|_, _, row| row.copy_from_slice(&pixels));
        let opaque = on_white(&frame).expect("memory");
        let bytes = opaque.planes()[0].bytes().into_owned();
        assert_eq!(bytes, [10, 20, 30, 255, 255, 255, 127, 177, 255]);
    }

    #[test]
    fn tables_are_those_of_libjpeg() {
        let first = |quality| scaled(LUMA, quality)[..4].to_vec();
        assert_eq!(first(1), [255, 255, 255, 255]);
        assert_eq!(first(25), [32, 22, 20, 32]);
        assert_eq!(first(50), [16, 11, 10, 16]);
        assert_eq!(first(85), [5, 3, 3, 5]);
        assert_eq!(first(100), [1, 1, 1, 1]);
    }
}
