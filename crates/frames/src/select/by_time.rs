//! Selection by time: the instants that a recipe requests.

use jobs::Ratio;
use jobs::recipe::Selection;

use crate::time::{MICROSECONDS, rescale};

/// Ascending list of instants, numbered by *ticks*. The frame for an instant is the last one before
/// it, so a frame with timestamp `p` is selected for the ticks from [`Instants::tick`]`(p)` up to
/// the tick of the next frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instants {
    /// `(tick + 1/2) * interval`, as in `ffmpeg -vf fps=1/interval` (FFmpeg, libavfilter/vf_fps.c).
    Every(Ratio),
}

impl Instants {
    /// Instants of a recipe's selection.
    pub(crate) fn of(selection: &Selection) -> Self {
        match selection {
            Selection::Every(interval) => Self::Every(interval.seconds()),
        }
    }

    /// Tick of the first instant after `timestamp`, which is in units of `time_base` from the start
    /// of the video.
    pub(crate) fn tick(&self, timestamp: i64, time_base: Ratio) -> i64 {
        match self {
            Self::Every(interval) => rescale(timestamp, time_base, *interval),
        }
    }

    /// Instant of a tick, in seconds.
    pub(crate) fn instant(&self, tick: i64) -> f64 {
        match self {
            Self::Every(interval) => (tick as f64 + 0.5) * interval.as_f64(),
        }
    }

    /// Number of frames selected from a video of this duration that starts at 0.
    pub(crate) fn frame_count(&self, duration_us: i64) -> u64 {
        self.tick(duration_us, MICROSECONDS).max(1) as u64
    }
}
