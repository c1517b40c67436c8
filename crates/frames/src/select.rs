//! Selection of frames by time: the instants of a recipe, and for each the last frame before it.

use jobs::Ratio;
use jobs::recipe::Selection;

use crate::time::{MICROSECONDS, rescale};

/// Ascending list of instants, numbered by *ticks*. The frame for an instant is the last one before
/// it, so a frame with timestamp `p` is the answer for the ticks from [`Instants::tick`]`(p)` up to
/// the tick of the next frame.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Instants {
    /// `(tick + 1/2) * interval`, as in `ffmpeg -vf fps=1/interval` (FFmpeg, libavfilter/vf_fps.c).
    Every(Ratio),
}

impl Instants {
    /// Instants of a selection.
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

    /// Number of frames of a video of this duration that starts at 0.
    pub(crate) fn frame_count(&self, duration_us: i64) -> u64 {
        self.tick(duration_us, MICROSECONDS).max(1) as u64
    }
}

/// Follows pictures in presentation order and says which instants each one answers.
///
/// It does what the fps filter does: a picture is put out for every instant that lies before its
/// successor.
#[derive(Debug)]
pub(crate) struct Selector<P> {
    next: Option<i64>,
    held: Option<P>,
}

impl<P> Selector<P> {
    /// Start at slot `from`, or where that is not known, at the slot of the first picture.
    pub(crate) fn new(from: Option<i64>) -> Self {
        Self { next: from, held: None }
    }

    /// The next instant without an answer, once there is one.
    pub(crate) fn next(&self) -> Option<i64> {
        self.next
    }

    /// Take the picture that follows; gives back its predecessor with the instants that it answers,
    /// if it answers any.
    pub(crate) fn push(&mut self, slot: i64, picture: P) -> Option<(P, std::ops::Range<i64>)> {
        let next = *self.next.get_or_insert(slot);
        let before = self.held.replace(picture);
        if slot <= next {
            return None;
        }
        self.next = Some(slot);
        before.map(|picture| (picture, next..slot))
    }

    /// The pictures have ended and `until` is the first slot that is no longer theirs.
    pub(crate) fn finish(&mut self, until: i64) -> Option<(P, std::ops::Range<i64>)> {
        let next = self.next?;
        self.next = Some(next.max(until));
        let last = self.held.take()?;
        (until > next).then_some((last, next..until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECONDS: Ratio = Ratio::new(1, 1000);

    /// The rule as the documentation words it: image n is the last picture with p < n + 1/2, for n
    /// from the first slot to the end.
    fn naive(times: &[i64], end: i64) -> Vec<(i64, usize)> {
        let instants = Instants::of(&Selection::default());
        let (first, end) =
            (instants.tick(times[0], MILLISECONDS), instants.tick(end, MILLISECONDS));
        (first..end)
            .map(|n| {
                (
                    n,
                    times
                        .iter()
                        .rposition(|p| *p < n * 1000 + 500)
                        .expect("the first picture precedes its slot's instant"),
                )
            })
            .collect()
    }

    fn selected(times: &[i64], end: i64) -> Vec<(i64, usize)> {
        let instants = Instants::of(&Selection::default());
        let mut selector = Selector::new(None);
        let mut images = Vec::new();
        for (i, p) in times.iter().enumerate() {
            if let Some((picture, slots)) = selector.push(instants.tick(*p, MILLISECONDS), i) {
                images.extend(slots.map(|n| (n, picture)));
            }
        }
        if let Some((picture, slots)) = selector.finish(instants.tick(end, MILLISECONDS)) {
            images.extend(slots.map(|n| (n, picture)));
        }
        images
    }

    #[test]
    fn the_selector_agrees_with_the_rule_on_random_times() {
        // A small multiplicative generator (Lehmer, MINSTD) keeps the cases the same on every run.
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state * 48_271 % 2_147_483_647;
            (state % below) as i64
        };
        for _ in 0..2_000 {
            let mut time = random(7_000);
            let mut times = vec![time];
            for _ in 0..random(60) {
                time += [33, 40, 1 + random(20), 250 + random(4_000)][random(4) as usize];
                times.push(time);
            }
            let end = time + 1 + random(90);
            assert_eq!(selected(&times, end), naive(&times, end), "times {times:?}, end {end}");
        }
    }

    #[test]
    fn ten_seconds_and_46_hundredths_are_ten_images_and_half_a_second_makes_eleven() {
        let times = |count: i64| (0..count).map(|i| i * 1000 / 30).collect::<Vec<_>>();
        assert_eq!(selected(&times(314), 10_466).len(), 10);
        assert_eq!(selected(&times(315), 10_500).len(), 11);
    }
}
