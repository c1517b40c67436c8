//! Small copy of a frame, by which blank and repeated frames are recognized.

use crate::av::{Frame, PixelFormat, Plane, Scaler};
use crate::error::Error;
use crate::fit::Size;

/// Maximum size of the copy. In frames of 1920x1080, each sample of it is the mean of 12x12 pixels.
const SIZE: Size = Size { width: 160, height: 90 };

/// Range of luma within which the samples of a blank frame lie, in 8-bit levels.
const BLANK_BAND: usize = 16;
/// Share of the samples that have to lie in it, in percent.
const BLANK_PERCENT: usize = 98;

/// Maximum difference of two samples of repeated frames, in 8-bit levels. Noise and compression
/// change the mean of 12x12 pixels by less; a cursor or a changed letter by more.
const REPEATED_MAX: u8 = 8;
/// Maximum mean difference of their samples, in 8-bit levels: frames of a slow fade differ by more.
const REPEATED_MEAN: u64 = 1;

/// Small copy of a frame in YUV, 8 bits, 4:4:4.
#[derive(Clone)]
pub(crate) struct Thumbprint {
    /// Size of the frame.
    size: Size,
    /// Samples of luma, then of chroma.
    samples: Vec<u8>,
}

impl Thumbprint {
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub(crate) fn of(frame: &Frame, scaler: &mut Scaler) -> Result<Self, Error> {
        let Size { width, height } = frame.size();
        let size = Size { width: width.min(SIZE.width), height: height.min(SIZE.height) };
        let small = scaler.convert(frame, PixelFormat::AV_PIX_FMT_YUV444P, size)?;
        let samples: Vec<u8> =
            small.planes().iter().flat_map(Plane::rows).flatten().copied().collect();
        Ok(Self { size: frame.size(), samples })
    }

    /// Size in memory, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.samples.len()
    }

    /// Whether almost all of the frame has the same brightness.
    pub(crate) fn is_blank(&self) -> bool {
        let luma = &self.samples[..self.samples.len() / 3];
        let mut histogram = [0_usize; 256];
        for sample in luma {
            histogram[usize::from(*sample)] += 1;
        }
        let fullest = histogram.windows(BLANK_BAND).map(|band| band.iter().sum::<usize>()).max();
        fullest.is_some_and(|count| count * 100 >= luma.len() * BLANK_PERCENT)
    }

    /// Whether the frame hardly differs from another one.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        let differences = || self.samples.iter().zip(&other.samples).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = differences().map(u64::from).sum();
        self.size == other.size
            && differences().all(|difference| difference <= REPEATED_MAX)
            && sum <= REPEATED_MEAN * self.samples.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thumbprint of a frame of 1920x1080 in gray.
    fn thumbprint(sample: impl Fn(usize, usize) -> u8) -> Thumbprint {
        let mut frame = Frame::blank(PixelFormat::AV_PIX_FMT_GRAY8, 1920, 1080).expect("memory");
        frame.write_rows(|_, y, row| {
            for (x, byte) in row.iter_mut().enumerate() {
                *byte = sample(x, y);
            }
        });
        Thumbprint::of(&frame, &mut Scaler::default()).expect("memory")
    }

    #[test]
    fn blank_frames_are_flat_except_for_a_small_mark() {
        for level in [0, 120, 255] {
            assert!(thumbprint(|_, _| level).is_blank(), "{level}");
            // A timestamp in a corner.
            let mark = |x, y| if x < 200 && y < 60 { 255 - level } else { level };
            assert!(thumbprint(mark).is_blank(), "{level}");
        }
        assert!(!thumbprint(|x, _| (x / 8) as u8).is_blank(), "a gradient");
        assert!(!thumbprint(|x, _| if x < 960 { 0 } else { 40 }).is_blank(), "two halves");
    }

    #[test]
    fn frames_of_all_shapes_have_thumbprints() {
        for (width, height) in [(1, 1), (1, 16_384), (16_384, 1), (16_384, 2), (7_680, 4_320)] {
            let mut frame =
                Frame::blank(PixelFormat::AV_PIX_FMT_GRAY8, width, height).expect("memory");
            frame.write_rows(|_, _, row| row.fill(9));
            let thumbprint = Thumbprint::of(&frame, &mut Scaler::default());
            assert!(thumbprint.is_ok_and(|one| one.is_blank()), "{width}x{height}");
        }
    }

    #[test]
    fn repeated_frames_differ_by_noise_only() {
        let pattern = |x: usize, y: usize| (x / 40 * 37 + y / 40 * 91) as u8;
        let original = thumbprint(pattern);
        assert!(original.repeats(&original));
        let noise = |x: usize, y: usize| pattern(x, y).saturating_add(((x * 7 + y * 3) % 3) as u8);
        assert!(thumbprint(noise).repeats(&original));
        let cursor = |x: usize, y: usize| {
            if (600..603).contains(&x) && (300..330).contains(&y) {
                !pattern(x, y)
            } else {
                pattern(x, y)
            }
        };
        assert!(!thumbprint(cursor).repeats(&original));
        let fade = |x: usize, y: usize| pattern(x, y).saturating_add(6);
        assert!(!thumbprint(fade).repeats(&original));
    }
}
