//! Times in a video, and the part of it between two of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::number_text;
use crate::excerpt::Excerpt;

/// Time from the start of a video: at most a day, no finer than a microsecond.
///
/// In JSON it is a number of seconds, or a string with seconds, minutes and seconds, or hours,
/// minutes and seconds: `5`, `62.5`, `"1:02.5"`, `"1:00:00"`. The default is the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "PositionJson")]
pub struct Position {
    microseconds: i64,
}

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

impl Position {
    /// Start of a video.
    pub const START: Self = Self { microseconds: 0 };

    /// Longest time, in seconds: the longest video that is accepted.
    const MAX_SECONDS: i64 = 86_400;

    /// Microseconds from the start of the video.
    #[must_use]
    pub const fn microseconds(self) -> i64 {
        self.microseconds
    }

    /// Seconds from the start of the video.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.microseconds as f64 / SECOND as f64
    }
}

impl fmt::Display for Position {
    /// The number of seconds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.seconds())
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let invalid = || InvalidPosition::NotATime(Excerpt::of(text));
        let number = |digits: &str| {
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<u32>().ok().filter(|_| is_number).map(i64::from).ok_or_else(invalid)
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        if decimals.len() > 6 {
            return Err(InvalidPosition::TooFine(Excerpt::of(text)));
        }
        let fraction = number(decimals)? * 10_i64.pow(6 - decimals.len() as u32);
        let parts = whole.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
        let seconds = match parts[..] {
            [seconds] => seconds,
            [minutes, seconds @ ..60] => 60 * minutes + seconds,
            [hours, minutes @ ..60, seconds @ ..60] => 3_600 * hours + 60 * minutes + seconds,
            _ => return Err(invalid()),
        };
        let microseconds = seconds.saturating_mul(SECOND).saturating_add(fraction);
        if microseconds > Self::MAX_SECONDS * SECOND {
            return Err(InvalidPosition::TooLate(Excerpt::of(text)));
        }
        Ok(Self { microseconds })
    }
}

/// Reason why a text is not a [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPosition {
    /// Not a number of seconds and not a clock time.
    #[error("`{0}` is not a time such as 5, 62.5, 1:02.5 or 1:00:00")]
    NotATime(Excerpt),
    /// More than a day.
    #[error("`{0}` is later than a day (86400 seconds)")]
    TooLate(Excerpt),
    /// More than six decimals.
    #[error("`{0}` is finer than a microsecond")]
    TooFine(Excerpt),
}

/// JSON form of a position.
#[derive(Serialize)]
#[serde(untagged)]
enum PositionJson {
    Whole(u32),
    Decimal(f64),
}

impl TryFrom<Value> for Position {
    type Error = InvalidPosition;

    fn try_from(value: Value) -> Result<Self, InvalidPosition> {
        number_text(&value).ok_or_else(|| InvalidPosition::NotATime(Excerpt::of(&value)))?.parse()
    }
}

impl From<Position> for PositionJson {
    fn from(position: Position) -> Self {
        match u32::try_from(position.microseconds / SECOND) {
            Ok(seconds) if position.microseconds % SECOND == 0 => Self::Whole(seconds),
            _ => Self::Decimal(position.seconds()),
        }
    }
}

/// Part of a video: from a time up to, but not including, another one. The default is all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    from: Option<Position>,
    to: Option<Position>,
}

impl Part {
    /// Part of a video, from its start and to its end if they are not stated.
    ///
    /// # Errors
    /// It does not end after its start.
    pub fn new(from: Option<Position>, to: Option<Position>) -> Result<Self, InvalidPart> {
        match to {
            Some(to) if to <= from.unwrap_or(Position::START) => Err(InvalidPart),
            _ => Ok(Self { from, to }),
        }
    }

    /// Start, if it is stated.
    #[must_use]
    pub const fn from(self) -> Option<Position> {
        self.from
    }

    /// End, if it is stated.
    #[must_use]
    pub const fn to(self) -> Option<Position> {
        self.to
    }

    /// Whether it is a whole video.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a time lies in it.
    #[must_use]
    pub fn contains(self, position: Position) -> bool {
        self.from.is_none_or(|from| from <= position) && self.to.is_none_or(|to| position < to)
    }
}

/// The end of a part is not after its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be later than `from`, and later than 0")]
pub struct InvalidPart;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn positions_are_seconds_or_clock_times() {
        for (text, microseconds) in [
            ("0", 0),
            ("5", 5_000_000),
            ("62.5", 62_500_000),
            ("1:02.5", 62_500_000),
            ("01:00:00", 3_600_000_000),
            ("24:00:00", 86_400_000_000),
            ("0.000001", 1),
        ] {
            assert_eq!(text.parse(), Ok(Position { microseconds }), "{text}");
        }
        for text in [
            "",
            "-1",
            "1:60",
            "1:60:00",
            "1:2:3:4",
            "x",
            "1e3",
            "1.",
            ".5",
            ":5",
            "+5",
            "86401",
            "24:00:00.1",
            "0.0000001",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_at_most_a_day() {
        for text in ["24:00:00.000001", "86401", "4294967295:00:00", "71582788:15:00"] {
            let parsed = text.parse::<Position>();
            assert!(matches!(parsed, Err(InvalidPosition::TooLate(_))), "{text}: {parsed:?}");
        }
        assert_eq!("24:00:00".parse(), Ok(Position { microseconds: 86_400 * SECOND }));
    }

    #[test]
    fn a_part_ends_after_its_start() {
        let position = |seconds: i64| Position { microseconds: seconds * SECOND };
        assert!(Part::new(Some(position(2)), Some(position(2))).is_err());
        assert!(Part::new(None, Some(position(0))).is_err());
        let part = Part::new(Some(position(2)), Some(position(4))).expect("it ends later");
        assert_eq!([1, 2, 3, 4].map(|at| part.contains(position(at))), [false, true, true, false]);
    }

    proptest! {
        #[test]
        fn positions_round_trip_through_text_and_json(microseconds in 0..=86_400_000_000_i64) {
            let position = Position { microseconds };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            let json = serde_json::to_string(&position).expect("positions are JSON");
            prop_assert_eq!(serde_json::from_str::<Position>(&json).expect("the same"), position);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,20}", number in r"[0-9.:]{0,14}") {
            for text in [text, number] {
                let _ = text.parse::<Position>();
            }
        }
    }
}
