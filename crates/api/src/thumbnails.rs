//! Pictures made small enough for a page that shows many.

use std::io::{self, BufRead, Seek};

use jpeg_encoder::{ColorType as JpegColor, Encoder};
use png::{BitDepth, ColorType, Decoder, Limits, Transformations};

/// Of 100. Nothing is seen at this size that a higher one keeps.
const QUALITY: u8 = 80;
/// Bytes that the decoder may take, which holds a few rows of the widest picture.
const MEMORY: usize = 16 << 20;

/// A JPEG of a PNG, of this width or the PNG's own if that is less. What shines through stands on
/// white.
///
/// The picture is read row by row, and each row is added to the one of the JPEG that it belongs to:
/// however large the picture is, little more than the JPEG is in memory.
pub fn thumbnail(png: impl BufRead + Seek, width: u32) -> io::Result<Vec<u8>> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut decoder = Decoder::new_with_limits(png, Limits { bytes: MEMORY });
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let mut png = decoder.read_info()?;
    let (from_width, from_height, interlaced) =
        (png.info().width, png.info().height, png.info().interlaced);
    let (color, depth) = png.output_color_type();
    // The engine writes no others.
    if interlaced || depth != BitDepth::Eight {
        return Err(wrong("the picture is none of ours"));
    }
    let width = width.min(from_width);
    let height = (u64::from(from_height) * u64::from(width) / u64::from(from_width))
        .clamp(1, from_height.into()) as u32;
    let mut small = Small::new(width, height, color);
    let columns = bounds(from_width, width);
    for rows in bounds(from_height, height).windows(2) {
        for _ in rows[0]..rows[1] {
            let row = png.next_row()?.ok_or_else(|| wrong("the picture breaks off"))?;
            small.add(row.data(), &columns);
        }
        small.end_row(rows[1] - rows[0], &columns);
    }
    small.jpeg()
}

/// Where each of `to` parts of a side of `from` pixels begins, and where the last one ends.
fn bounds(from: u32, to: u32) -> Vec<usize> {
    (0..=u64::from(to)).map(|part| (part * u64::from(from) / u64::from(to)) as usize).collect()
}

/// A picture that grows row by row, each pixel the mean of those that it stands for.
struct Small {
    width: u32,
    height: u32,
    color: ColorType,
    sums: Vec<u64>,
    pixels: Vec<u8>,
}

impl Small {
    fn new(width: u32, height: u32, color: ColorType) -> Self {
        Self {
            width,
            height,
            color,
            sums: vec![0; width as usize * color.samples()],
            pixels: Vec::new(),
        }
    }

    fn add(&mut self, row: &[u8], columns: &[usize]) {
        let samples = self.color.samples();
        for (sums, column) in self.sums.chunks_exact_mut(samples).zip(columns.windows(2)) {
            for pixel in row[column[0] * samples..column[1] * samples].chunks_exact(samples) {
                for (sum, sample) in sums.iter_mut().zip(pixel) {
                    *sum += u64::from(*sample);
                }
            }
        }
    }

    fn end_row(&mut self, rows: usize, columns: &[usize]) {
        let colors = if matches!(self.color, ColorType::Grayscale | ColorType::GrayscaleAlpha) {
            1
        } else {
            3
        };
        for (sums, column) in
            self.sums.chunks_exact_mut(self.color.samples()).zip(columns.windows(2))
        {
            let pixels = (rows * (column[1] - column[0])) as u64;
            let alpha = sums.get(colors).map_or(255, |alpha| alpha / pixels);
            let on_white = |sum: &u64| ((sum / pixels * alpha + 255 * (255 - alpha)) / 255) as u8;
            self.pixels.extend(sums[..colors].iter().map(on_white));
            sums.fill(0);
        }
    }

    fn jpeg(self) -> io::Result<Vec<u8>> {
        let color = if self.pixels.len() == (self.width * self.height) as usize {
            JpegColor::Luma
        } else {
            JpegColor::Rgb
        };
        let mut jpeg = Vec::new();
        // Sides are those of a picture of ours or less, which is far below the 65,535 of the
        // format.
        let encoded = Encoder::new(&mut jpeg, QUALITY).encode(
            &self.pixels,
            self.width as u16,
            self.height as u16,
            color,
        );
        encoded.map_err(io::Error::other)?;
        Ok(jpeg)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// A PNG of these pixels.
    fn png(width: u32, height: u32, color: ColorType, pixels: &[u8]) -> Cursor<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(color);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header().expect("memory takes everything");
        writer.write_image_data(pixels).expect("they are as many as they have to be");
        writer.finish().expect("memory takes everything");
        Cursor::new(bytes)
    }

    /// Width and height, as the header of a frame tells them (ITU-T T.81, B.2.2).
    fn size(jpeg: &[u8]) -> (u16, u16) {
        let frame =
            jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]).expect("there is a frame");
        let number = |at: usize| u16::from_be_bytes([jpeg[frame + at], jpeg[frame + at + 1]]);
        (number(7), number(5))
    }

    #[test]
    fn pictures_shrink_and_keep_their_form() {
        let picture = |width, height| {
            png(width, height, ColorType::Rgb, &vec![90; (width * height * 3) as usize])
        };
        for ((width, height), asked, expected) in [
            ((640, 360), 320, (320, 180)),
            ((641, 361), 320, (320, 180)),
            ((10, 3), 320, (10, 3)),
            ((1000, 1), 16, (16, 1)),
            ((1, 1000), 16, (1, 1000)),
            ((361, 640), 160, (160, 283)),
        ] {
            let jpeg = thumbnail(picture(width, height), asked).expect("it is a PNG");
            assert!(jpeg.starts_with(&[0xFF, 0xD8, 0xFF]));
            assert_eq!(size(&jpeg), expected, "{width} by {height} at {asked}");
        }
    }

    #[test]
    fn each_pixel_is_the_mean_of_those_that_it_stands_for() {
        let mut small = Small::new(2, 1, ColorType::GrayscaleAlpha);
        let columns = bounds(4, 2);
        small.add(&[0, 255, 100, 255, 200, 0, 200, 0], &columns);
        small.add(&[100, 255, 200, 255, 200, 0, 200, 0], &columns);
        small.end_row(2, &columns);
        assert_eq!(small.pixels, [100, 255], "the right half shines through altogether");
        assert_eq!(bounds(10, 3), [0, 3, 6, 10]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let whole = png(64, 64, ColorType::Rgb, &vec![7; 64 * 64 * 3]).into_inner();
        for bytes in [&whole[..whole.len() / 2], b"no picture", b""] {
            assert!(thumbnail(Cursor::new(bytes), 32).is_err());
        }
    }
}
