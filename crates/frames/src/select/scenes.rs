//! Selection of the frames at which scenes start.

use jobs::Ratio;
use jobs::recipe;

use crate::av::{self, Frame, PixelFormat, Scaler};
use crate::error::Error;
use crate::fit::Size;
use crate::time::{MICROSECONDS, rescale};

use super::frame_selector::{
    DecodedFrame, FrameSelector, LastSelection, Measure, Selected, SelectionPass, SpanEnd,
    SpanStart,
};
use super::time_range::TimeRange;

/// Formats in which FFmpeg 5.1 compares frames (libavfilter/f_select.c, `query_formats`).
const FORMATS: [PixelFormat; 11] = [
    PixelFormat::AV_PIX_FMT_RGB24,
    PixelFormat::AV_PIX_FMT_BGR24,
    PixelFormat::AV_PIX_FMT_RGBA,
    PixelFormat::AV_PIX_FMT_ABGR,
    PixelFormat::AV_PIX_FMT_BGRA,
    PixelFormat::AV_PIX_FMT_GRAY8,
    PixelFormat::AV_PIX_FMT_YUV420P,
    PixelFormat::AV_PIX_FMT_YUVJ420P,
    PixelFormat::AV_PIX_FMT_YUV422P,
    PixelFormat::AV_PIX_FMT_YUVJ422P,
    PixelFormat::AV_PIX_FMT_YUV420P10LE,
];

/// Formats to which others are converted: those that its PNG encoder accepts, too.
const CONVERTED_FORMATS: [PixelFormat; 3] =
    [PixelFormat::AV_PIX_FMT_RGB24, PixelFormat::AV_PIX_FMT_RGBA, PixelFormat::AV_PIX_FMT_GRAY8];

/// Selector of the first frame of each scene.
pub(super) struct Scenes {
    pub rule: recipe::Scenes,
    pub range: TimeRange,
    pub time_base: Ratio,
}

impl FrameSelector for Scenes {
    fn start(&self, _: SpanStart) -> Box<dyn SelectionPass + '_> {
        Box::new(ScenesPass { selector: self, scores: Scores::default(), latest: None, next: 0 })
    }

    fn expected_count(&self) -> Option<u64> {
        None
    }
}

struct ScenesPass<'a> {
    selector: &'a Scenes,
    scores: Scores,
    /// Timestamp of the latest selected frame.
    latest: Option<i64>,
    next: i64,
}

impl ScenesPass<'_> {
    /// Whether a frame is far enough from the selected frame before it.
    fn is_far(&self, time: i64) -> bool {
        let minimum = self.selector.rule.min_seconds.microseconds();
        // Timestamps may go backward.
        let distance = |latest: i64| {
            let units = i64::try_from(time.abs_diff(latest)).unwrap_or(i64::MAX);
            rescale(units, self.selector.time_base, MICROSECONDS)
        };
        self.latest.is_none_or(|latest| distance(latest) >= minimum)
    }
}

impl SelectionPass for ScenesPass<'_> {
    fn next_tick(&self) -> Option<i64> {
        Some(self.next)
    }

    fn push(&mut self, frame: DecodedFrame) -> Result<Option<Selected<DecodedFrame>>, Error> {
        let score = self.scores.next(&frame.frame)?;
        let threshold = self.selector.rule.threshold.score();
        let is_scene = self.latest.is_none() || score.is_none_or(|score| score > threshold);
        if !is_scene || !self.selector.range.contains(frame.time) || !self.is_far(frame.time) {
            return Ok(None);
        }
        self.latest = Some(frame.time);
        self.next += 1;
        let measure = Measure::SceneScore(score.unwrap_or(0.0));
        Ok(Some(Selected::by_content(frame, self.next - 1, Some(measure))))
    }

    fn finish(&mut self, _: SpanEnd) -> LastSelection {
        LastSelection::default()
    }
}

/// Scene scores of consecutive frames, as FFmpeg 5.1 computes them (libavfilter/f_select.c,
/// `get_scene_score`).
#[derive(Default)]
struct Scores {
    scaler: Scaler,
    previous: Option<Previous>,
}

/// Frame before the current one.
struct Previous {
    /// Frame in one of [`FORMATS`].
    compared: Frame,
    /// Format and size before it was converted.
    form: (PixelFormat, Size),
    /// Mean absolute difference to the frame before it.
    difference: f64,
}

impl Scores {
    /// Score of the next frame. `None` if it cannot be compared, because it is the first one or
    /// differs in format or size from the one before it: there the ffmpeg command starts anew.
    fn next(&mut self, frame: &Frame) -> Result<Option<f64>, Error> {
        let form = (frame.format(), frame.size());
        let compared = if FORMATS.contains(&frame.format()) {
            frame.try_share()?
        } else {
            let format = av::closest_format(frame.format(), &CONVERTED_FORMATS);
            self.scaler.convert(frame, format, frame.size())?
        };
        let Some(previous) = self.previous.take().filter(|previous| previous.form == form) else {
            self.previous = Some(Previous { compared, form, difference: 0.0 });
            return Ok(None);
        };
        let difference = mean_difference(&previous.compared, &compared);
        let change = (difference - previous.difference).abs();
        self.previous = Some(Previous { compared, form, difference });
        // `av_clipf` has single precision.
        let score = ((difference.min(change) / 100.0) as f32).clamp(0.0, 1.0);
        Ok(Some(score.into()))
    }
}

/// Mean absolute difference of two frames of the same form, in units of 8-bit samples: of luma if
/// they are in YUV, else of all samples.
fn mean_difference(one: &Frame, other: &Frame) -> f64 {
    const WIDE: PixelFormat = PixelFormat::AV_PIX_FMT_YUV420P10LE;
    let is_wide = one.format() == WIDE;
    let (ones, others) = (one.planes(), other.planes());
    // In YUV the first plane is luma; the other formats have only one plane.
    let [Some(one), Some(other)] = [ones.first(), others.first()] else { return 0.0 };
    let mut sum = 0;
    let mut count = 0;
    for (one, other) in one.rows().zip(other.rows()) {
        count += one.len() as u64;
        sum += if is_wide { wide_sum(one, other) } else { sum_of_differences(one, other) };
    }
    let (count, unit) = if is_wide { (count / 2, 4.0) } else { (count, 1.0) };
    if count == 0 { 0.0 } else { sum as f64 / count as f64 / unit }
}

/// Sum of the absolute differences of bytes.
fn sum_of_differences(one: &[u8], other: &[u8]) -> u64 {
    // Sums of this many bytes fit 32 bits, in which vector code adds them.
    const CHUNK: usize = 1 << 16;
    let chunks = one.chunks(CHUNK).zip(other.chunks(CHUNK));
    let sum = |(one, other): (&[u8], &[u8])| {
        let differences = one.iter().zip(other).map(|(a, b)| u32::from(a.abs_diff(*b)));
        u64::from(differences.sum::<u32>())
    };
    chunks.map(sum).sum()
}

/// Sum of the absolute differences of 16-bit numbers in little-endian order.
fn wide_sum(one: &[u8], other: &[u8]) -> u64 {
    let numbers = |bytes: &[u8]| -> Vec<u16> {
        bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    let pairs = numbers(one).into_iter().zip(numbers(other));
    pairs.map(|(a, b)| u64::from(a.abs_diff(b))).sum()
}
