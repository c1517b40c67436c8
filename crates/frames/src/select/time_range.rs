//! Part of a video in the units of its stream.

use std::cmp::Ordering;

use jobs::Ratio;
use jobs::recipe::Part;

use crate::time::compare_microseconds;

/// Part of a video whose timestamps are in units of a time base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeRange {
    part: Part,
    time_base: Ratio,
}

impl TimeRange {
    pub(super) fn new(part: Part, time_base: Ratio) -> Self {
        Self { part, time_base }
    }

    /// Whether a timestamp lies in the part.
    pub(crate) fn contains(&self, time: i64) -> bool {
        !self.is_before(time) && !self.is_over(time)
    }

    /// Whether the part starts after a timestamp.
    fn is_before(&self, time: i64) -> bool {
        let from = self.part.from();
        from.is_some_and(|from| self.compare(time, from.microseconds()) == Ordering::Less)
    }

    /// Whether the part ends at a timestamp, or before.
    pub(crate) fn is_over(&self, time: i64) -> bool {
        let to = self.part.to();
        to.is_some_and(|to| self.compare(time, to.microseconds()) != Ordering::Less)
    }

    fn compare(&self, time: i64, microseconds: i64) -> Ordering {
        compare_microseconds(time, self.time_base, microseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_includes_its_start_and_not_its_end() {
        let position = |text: &str| text.parse().ok();
        let part = Part::new(position("1.5"), position("3")).expect("it ends after its start");
        let range = TimeRange::new(part, Ratio::new(1, 2));
        let contained: Vec<i64> = (-2..9).filter(|time| range.contains(*time)).collect();
        assert_eq!(contained, [3, 4, 5]);
        let all = TimeRange::new(Part::default(), Ratio::new(1, 2));
        assert!(all.contains(i64::MIN) && all.contains(i64::MAX));
    }
}
