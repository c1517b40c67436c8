//! Conversion between units of time.

use std::cmp::Ordering;

use jobs::Ratio;

/// Microseconds, the unit of libav's container times (`AV_TIME_BASE`).
pub(crate) const MICROSECONDS: Ratio = Ratio::new(1, 1_000_000);

/// Convert `value` from units of `from` to units of `to`, rounded to the nearest, half away from
/// zero.
///
/// Equivalent to `av_rescale_q_rnd` with `AV_ROUND_NEAR_INF` (FFmpeg, libavutil/mathematics.c),
/// except that results out of range saturate.
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

/// Compare a time in units of `unit` with a number of microseconds.
pub(crate) fn compare_microseconds(time: i64, unit: Ratio, microseconds: i64) -> Ordering {
    let time = i128::from(time) * i128::from(unit.num) * 1_000_000;
    time.cmp(&(i128::from(microseconds) * i128::from(unit.den)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_on_values_out_of_range() {
        let (second, unit) = (Ratio::new(1, 1), Ratio::new(i64::from(i32::MAX), 1));
        assert_eq!(rescale(i64::MAX, unit, second), i64::MAX);
        assert_eq!(rescale(i64::MIN, unit, second), i64::MIN);
    }

    #[test]
    fn rounds_half_away_from_zero() {
        let (millisecond, second) = (Ratio::new(1, 1000), Ratio::new(1, 1));
        for (ms, seconds) in
            [(0, 0), (499, 0), (500, 1), (1499, 1), (1500, 2), (-499, 0), (-500, -1)]
        {
            assert_eq!(rescale(ms, millisecond, second), seconds, "{ms} ms");
        }
    }
}
