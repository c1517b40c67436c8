//! Selection of the frame with the most detail in each interval.

use jobs::Ratio;
use jobs::recipe::Interval;

use crate::av::{Frame, Layout, Scaler};
use crate::error::Error;
use crate::time::MICROSECONDS;

use super::frame_selector::{
    DecodedFrame, FrameSelector, LastSelection, Measure, Selected, SelectionPass, SpanEnd,
    SpanStart,
};
use super::time_range::TimeRange;

/// Maximum size of the longer side of the picture in which detail is measured, in pixels.
const MAX_SIDE: usize = 640;
/// Unit of the means of its pixels: parts of an 8-bit level.
const UNIT: u64 = 16;

/// Selector of the sharpest frame of each interval.
pub(super) struct Sharpest {
    pub every: Interval,
    pub range: TimeRange,
    pub time_base: Ratio,
    /// Duration of the video in microseconds, if it is known.
    pub duration_us: Option<i64>,
}

impl Sharpest {
    /// Number of the interval that a time in units of `unit` lies in.
    fn interval(&self, time: i64, unit: Ratio) -> i64 {
        let every = self.every.seconds();
        let numerator = i128::from(time) * i128::from(unit.num) * i128::from(every.den);
        let denominator = i128::from(unit.den) * i128::from(every.num);
        let interval = numerator.div_euclid(denominator.max(1));
        interval.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

impl FrameSelector for Sharpest {
    fn start(&self, _: SpanStart) -> Box<dyn SelectionPass + '_> {
        Box::new(SharpestPass { selector: self, scaler: Scaler::default(), best: None, next: 0 })
    }

    fn expected_count(&self) -> Option<u64> {
        let last = self.duration_us?.checked_sub(1)?;
        Some((self.interval(last.max(0), MICROSECONDS) as u64).saturating_add(1))
    }
}

struct SharpestPass<'a> {
    selector: &'a Sharpest,
    scaler: Scaler,
    /// Sharpest frame of the current interval so far.
    best: Option<Best>,
    next: i64,
}

struct Best {
    frame: DecodedFrame,
    interval: i64,
    sharpness: f64,
}

impl SharpestPass<'_> {
    fn select(&mut self, best: Best) -> Selected<DecodedFrame> {
        self.next += 1;
        let measure = Measure::Sharpness(best.sharpness);
        Selected::by_content(best.frame, self.next - 1, Some(measure))
    }
}

impl SelectionPass for SharpestPass<'_> {
    fn next_tick(&self) -> Option<i64> {
        Some(self.next)
    }

    fn push(&mut self, frame: DecodedFrame) -> Result<Option<Selected<DecodedFrame>>, Error> {
        if !self.selector.range.contains(frame.time) {
            return Ok(None);
        }
        let interval = self.selector.interval(frame.time, self.selector.time_base);
        let sharpness = sharpness(&self.scaler.luma(&frame.frame)?);
        let before = match &self.best {
            Some(best) if best.interval == interval && sharpness <= best.sharpness => {
                return Ok(None);
            }
            Some(best) if best.interval == interval => None,
            _ => self.best.take(),
        };
        self.best = Some(Best { frame, interval, sharpness });
        Ok(before.map(|best| self.select(best)))
    }

    fn finish(&mut self, _: SpanEnd) -> LastSelection {
        let best = self.best.take();
        LastSelection { selected: best.map(|best| self.select(best)), until: None }
    }
}

/// Variance of the Laplacian of luma, which is the first plane of `luma`, in squares of 8-bit
/// levels. The frame is first reduced by a
/// whole factor, so that its longer side has at most [`MAX_SIDE`] pixels, each the mean of a block;
/// what is left at the right and at the bottom does not count.
fn sharpness(luma: &Frame) -> f64 {
    let planes = luma.planes();
    let Some(plane) = planes.first() else { return 0.0 };
    let Layout { width, height, .. } = plane.layout;
    let factor = width.max(height).div_ceil(MAX_SIDE).max(1);
    let (width, height) = (width / factor, height / factor);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let samples = (factor * factor) as u64;
    let mut picture = Vec::with_capacity(width * height);
    let mut sums = vec![0_u64; width];
    for (y, row) in plane.rows().take(height * factor).enumerate() {
        for (sum, block) in sums.iter_mut().zip(row.chunks_exact(factor)) {
            *sum += block.iter().map(|sample| u64::from(*sample)).sum::<u64>();
        }
        if y % factor == factor - 1 {
            picture
                .extend(sums.iter_mut().map(|sum| (std::mem::take(sum) * UNIT / samples) as i64));
        }
    }
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for y in 1..height - 1 {
        let row = |y: usize| &picture[y * width..(y + 1) * width];
        let (above, row, below) = (row(y - 1), row(y), row(y + 1));
        for x in 1..width - 1 {
            let laplacian = 4 * row[x] - row[x - 1] - row[x + 1] - above[x] - below[x];
            sum += laplacian;
            squares += laplacian * laplacian;
        }
    }
    let count = ((width - 2) * (height - 2)) as f64;
    let mean = sum as f64 / count;
    (squares as f64 / count - mean * mean) / (UNIT * UNIT) as f64
}

#[cfg(test)]
mod tests {
    use crate::av::PixelFormat;

    use super::*;

    fn gray(width: u32, height: u32, sample: impl Fn(usize, usize) -> u8) -> Frame {
        let mut frame = Frame::blank(PixelFormat::AV_PIX_FMT_GRAY8, width, height).expect("memory");
        frame.write_rows(|_, y, row| {
            for (x, byte) in row.iter_mut().enumerate() {
                *byte = sample(x, y);
            }
        });
        frame
    }

    #[test]
    fn flat_and_tiny_frames_have_no_detail() {
        for (width, height) in [(1, 1), (2, 90), (64, 64), (1921, 1081)] {
            let flat = gray(width, height, |_, _| 77);
            assert!(sharpness(&flat).abs() < f64::EPSILON, "{width}x{height}");
        }
    }

    #[test]
    fn a_blurred_edge_has_less_detail() {
        let edge = |width: usize| {
            move |x: usize, _: usize| (x.saturating_sub(100).min(width) * 200 / width) as u8
        };
        let sharpness = [1, 4, 16, 64].map(|width| sharpness(&gray(320, 200, edge(width))));
        assert!(sharpness.windows(2).all(|pair| pair[0] > pair[1]), "{sharpness:?}");
    }

    /// A single pixel of 16 above black has a Laplacian of 64 there and of -16 at its neighbors.
    #[test]
    fn the_measure_is_the_variance_of_the_laplacian() {
        let dot = gray(12, 12, |x, y| if (x, y) == (5, 5) { 16 } else { 0 });
        let expected = (64.0 * 64.0 + 4.0 * 16.0 * 16.0) / 100.0;
        assert!((sharpness(&dot) - expected).abs() < 1e-9);
    }
}
