//! Intervals between frames.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::number_text;
use crate::excerpt::Excerpt;
use crate::ratio::Ratio;

/// Time from one selected frame to the next: above zero, at most a day, no finer than a
/// microsecond in decimal notation.
///
/// In JSON it is a number of seconds or a string: `1`, `0.5`, `"1/3"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "IntervalJson")]
pub struct Interval(Ratio);

impl Interval {
    /// One second.
    pub const ONE_SECOND: Self = Self(Ratio::new(1, 1));

    /// Longest interval, in seconds: the longest video that is accepted.
    const MAX_SECONDS: i64 = 86_400;

    /// Interval in seconds.
    #[must_use]
    pub const fn seconds(self) -> Ratio {
        self.0
    }
}

impl fmt::Display for Interval {
    /// The shortest text that [`FromStr`] accepts: `1` or `1/3`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ratio { num, den: 1 } => write!(formatter, "{num}"),
            Ratio { num, den } => write!(formatter, "{num}/{den}"),
        }
    }
}

impl FromStr for Interval {
    type Err = InvalidInterval;

    /// Parse a whole number, a decimal number or a fraction of seconds.
    fn from_str(text: &str) -> Result<Self, InvalidInterval> {
        let invalid = || InvalidInterval::NotPositive(Excerpt::of(text));
        let digits = |digits: &str| {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|_| is_number).map(i64::from).ok_or_else(invalid)
        };
        let (num, den) = if let Some((num, den)) = text.split_once('/') {
            (digits(num)?, digits(den)?)
        } else if let Some((seconds, decimals)) = text.split_once('.') {
            if decimals.len() > 6 {
                return Err(InvalidInterval::TooFine(Excerpt::of(text)));
            }
            let unit = 10_i64.pow(decimals.len() as u32);
            (digits(seconds)? * unit + digits(decimals)?, unit)
        } else {
            (digits(text)?, 1)
        };
        if num < 1 || den < 1 {
            return Err(invalid());
        }
        if num > Self::MAX_SECONDS * den {
            return Err(InvalidInterval::TooLong(Excerpt::of(text)));
        }
        let divisor = greatest_common_divisor(num, den);
        Ok(Self(Ratio::new(num / divisor, den / divisor)))
    }
}

/// Greatest common divisor of two positive numbers (Euclid).
fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Reason why a text is not an [`Interval`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInterval {
    /// Not a number, zero or negative.
    #[error("`{0}` is not a number of seconds above zero, such as 1, 0.5 or 1/3")]
    NotPositive(Excerpt),
    /// Longer than a day.
    #[error("`{0}` is longer than a day (86400 seconds)")]
    TooLong(Excerpt),
    /// More than six decimals.
    #[error("`{0}` is finer than a microsecond")]
    TooFine(Excerpt),
}

/// JSON form of an interval.
#[derive(Serialize)]
#[serde(untagged)]
enum IntervalJson {
    Whole(u32),
    Text(String),
}

impl TryFrom<Value> for Interval {
    type Error = InvalidInterval;

    fn try_from(value: Value) -> Result<Self, InvalidInterval> {
        number_text(&value)
            .ok_or_else(|| InvalidInterval::NotPositive(Excerpt::of(&value)))?
            .parse()
    }
}

impl From<Interval> for IntervalJson {
    fn from(interval: Interval) -> Self {
        match (u32::try_from(interval.0.num), interval.0.den) {
            (Ok(seconds), 1) => Self::Whole(seconds),
            _ => Self::Text(interval.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn intervals_are_exact_fractions() {
        for (text, num, den) in [("1", 1, 1), ("0.5", 1, 2), ("1/3", 1, 3), ("86400", 86_400, 1)] {
            assert_eq!(text.parse(), Ok(Interval(Ratio::new(num, den))), "{text}");
        }
        for text in [
            "0",
            "-1",
            "",
            "1/0",
            "0.0",
            "x",
            "1e9",
            "0.0000001",
            "90000",
            ".",
            "1.-5",
            "864001/10",
            "+1",
            "1/+3",
            "1.+5",
        ] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn intervals_round_trip_through_text_and_json(num in 1_u32.., den in 1_u32..) {
            let text = format!("{num}/{den}");
            let parsed = text.parse::<Interval>();
            let max = 86_400 * u64::from(den);
            prop_assert_eq!(parsed.is_ok(), u64::from(num) <= max, "{}", text);
            let Ok(interval) = parsed else { return Ok(()) };
            let Ratio { num: reduced, den: denominator } = interval.seconds();
            let product = |a: i64, b: u32| i128::from(a) * i128::from(b);
            prop_assert_eq!(product(reduced, den), product(denominator, num));
            prop_assert_eq!(interval.to_string().parse(), Ok(interval));
            let json = serde_json::to_string(&interval).expect("intervals are JSON");
            prop_assert_eq!(serde_json::from_str::<Interval>(&json).expect("the same"), interval);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,20}", number in r"[0-9./]{0,12}") {
            for text in [text, number] {
                if let Ok(interval) = text.parse::<Interval>() {
                    prop_assert!(interval.seconds().as_f64() > 0.0);
                }
            }
        }
    }
}
