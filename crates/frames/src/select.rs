//! Which pictures are taken: a recipe's instants, and for each the last picture before it.

use serde::Serialize;

/// A fraction of a second or a number of seconds, as libav counts time. The denominator is above
/// zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ratio {
    /// Numerator.
    pub num: i64,
    /// Denominator.
    pub den: i64,
}

impl Ratio {
    /// `num / den`; a denominator below one counts as one, as untrusted files may hold any number.
    #[must_use]
    pub const fn new(num: i64, den: i64) -> Self {
        Self { num, den: if den < 1 { 1 } else { den } }
    }

    /// As a floating point number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

/// Microseconds, the unit of libav's container times (`AV_TIME_BASE`).
pub(crate) const MICROSECONDS: Ratio = Ratio::new(1, 1_000_000);

/// `value` units of `from`, counted in units of `to`, rounded to the nearest, half away from zero.
///
/// This is `av_rescale_q_rnd` with `AV_ROUND_NEAR_INF`; what does not fit saturates.
#[must_use]
pub(crate) fn rescale(value: i64, from: Ratio, to: Ratio) -> i64 {
    let numerator = i128::from(value) * i128::from(from.num) * i128::from(to.den);
    let denominator = i128::from(from.den) * i128::from(to.num).max(1);
    let half = denominator / 2;
    let rounded = if numerator < 0 {
        (numerator - half) / denominator
    } else {
        (numerator + half) / denominator
    };
    rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// Which pictures of a video are wanted.
///
/// A recipe is a rising list of instants. An instant is answered by the last picture before it, so
/// a picture with timestamp `p` answers the instants from [`Recipe::slot`]`(p)` up to that of the
/// next picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// The instants `(n + 1/2) * interval`: what `ffmpeg -vf fps=1/interval` takes (FFmpeg,
    /// libavfilter/vf_fps.c).
    Every(Ratio),
}

impl Default for Recipe {
    /// One picture a second.
    fn default() -> Self {
        Self::Every(Ratio::new(1, 1))
    }
}

impl Recipe {
    /// Index of the first instant after `timestamp`, counted in `time_base` from the start of the
    /// video.
    #[must_use]
    pub fn slot(&self, timestamp: i64, time_base: Ratio) -> i64 {
        match self {
            Self::Every(interval) => rescale(timestamp, time_base, *interval),
        }
    }

    /// The instant with this index, in seconds.
    #[must_use]
    pub fn instant(&self, slot: i64) -> f64 {
        match self {
            Self::Every(interval) => (slot as f64 + 0.5) * interval.as_f64(),
        }
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

    #[test]
    fn halves_round_away_from_zero() {
        for (ms, slot) in [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (-499, 0), (-500, -1)]
        {
            assert_eq!(Recipe::default().slot(ms, MILLISECONDS), slot, "{ms} ms");
        }
    }

    #[test]
    fn rescale_saturates_on_absurd_times() {
        assert_eq!(
            rescale(i64::MAX, Ratio::new(i64::from(i32::MAX), 1), Ratio::new(1, 1)),
            i64::MAX
        );
        assert_eq!(
            rescale(i64::MIN, Ratio::new(i64::from(i32::MAX), 1), Ratio::new(1, 1)),
            i64::MIN
        );
    }

    /// The rule as the documentation words it: image n is the last picture with p < n + 1/2, for n
    /// from the first slot to the end.
    fn naive(times: &[i64], end: i64) -> Vec<(i64, usize)> {
        let recipe = Recipe::default();
        let (first, end) = (recipe.slot(times[0], MILLISECONDS), recipe.slot(end, MILLISECONDS));
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
        let recipe = Recipe::default();
        let mut selector = Selector::new(None);
        let mut images = Vec::new();
        for (i, p) in times.iter().enumerate() {
            if let Some((picture, slots)) = selector.push(recipe.slot(*p, MILLISECONDS), i) {
                images.extend(slots.map(|n| (n, picture)));
            }
        }
        if let Some((picture, slots)) = selector.finish(recipe.slot(end, MILLISECONDS)) {
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
