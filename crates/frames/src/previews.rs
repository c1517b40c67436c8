//! Previews: small JPEGs of some of the frames, for those who watch an extraction.
//!
//! They cost next to nothing: none in the first second, then two in a second, and fewer the longer
//! it takes. What fails about a preview never fails the extraction.

use std::time::{Duration, Instant};

use jobs::Ratio;
use jobs::manifest::Orientation;
use jobs::recipe::Quality;
use parking_lot::Mutex;

use crate::av::Frame;
use crate::convert::{Converter, Target};
use crate::encode::{Encoder, jpeg_encoder};
use crate::fit::Fit;
use crate::limits::Limits;
use crate::options::MAX_PREVIEW_BYTES;

/// Maximum width and height of a preview, in pixels.
const MAX_SIDE: u16 = 320;
/// Time before the first preview. Most jobs are finished by then.
const FIRST: Duration = Duration::from_secs(1);
/// Time between two previews, at first.
const INTERVAL: Duration = Duration::from_millis(500);
/// Number of previews after which the interval doubles for the first time; then after half as many.
const FULL: u32 = 64;

/// Makes the previews of one extraction, on several threads at once.
pub(crate) struct Previews {
    encoder: Box<dyn Encoder>,
    pace: Mutex<Pace>,
}

/// Time of the next preview.
struct Pace {
    next: Instant,
    interval: Duration,
    /// Number of previews until the interval doubles.
    left: u32,
}

impl Pace {
    fn starting(now: Instant) -> Self {
        Self { next: now + FIRST, interval: INTERVAL, left: FULL }
    }

    /// Return whether a preview is due, which is then expected to be made.
    fn is_due(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + self.interval;
        self.left -= 1;
        if self.left == 0 {
            self.interval *= 2;
            self.left = FULL / 2;
        }
        true
    }
}

impl Previews {
    /// `None` if this installation cannot make any.
    pub(crate) fn new() -> Option<Self> {
        let encoder = jpeg_encoder(Quality::DEFAULT).ok()?;
        Some(Self { encoder, pace: Mutex::new(Pace::starting(Instant::now())) })
    }

    /// JPEG of a frame, if a preview is due.
    pub(crate) fn of(
        &self,
        frame: &Frame,
        converter: &mut Converter,
        (rotation, aspect): (Orientation, Option<Ratio>),
        limits: &Limits,
    ) -> Option<Vec<u8>> {
        if !self.pace.lock().is_due(Instant::now()) {
            return None;
        }
        let fit = Fit::within(MAX_SIDE, MAX_SIDE);
        let target = Target { formats: self.encoder.pixel_formats(), fit, limits };
        let small =
            frame.try_share().and_then(|frame| converter.convert(frame, rotation, aspect, target));
        let jpeg = small.and_then(|small| self.encoder.encode(&small.frame, None));
        jpeg.ok().filter(|jpeg| jpeg.len() <= MAX_PREVIEW_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_become_rarer() {
        let start = Instant::now();
        let mut pace = Pace::starting(start);
        let day = 24 * 60 * 60;
        let mut due = (0..10 * day).filter(|tenths: &u64| {
            let now = start + Duration::from_millis(100 * tenths);
            pace.is_due(now)
        });
        assert_eq!(due.by_ref().take(3).collect::<Vec<_>>(), [10, 15, 20], "in tenths of a second");
        let rest = due.count();
        assert!((200..500).contains(&rest), "{rest} in a day");
    }
}
