//! Selections by the content of frames.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::interval::Interval;
use super::position::Position;

/// Selection of key frames. It has no members yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct KeyFrames {}

/// Selection of the frames at which scenes start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Scenes {
    /// Scene score that the first frame of a scene exceeds.
    pub threshold: Threshold,
    /// Minimum time from one selected frame to the next.
    #[serde(skip_serializing_if = "Scenes::is_start")]
    pub min_seconds: Position,
}

impl Scenes {
    /// Whether a time is 0.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_start(time: &Position) -> bool {
        *time == Position::START
    }
}

/// Selection of the frame with the most detail in each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sharpest {
    /// Length of the intervals, which start at multiples of it.
    pub every: Interval,
}

impl Default for Sharpest {
    fn default() -> Self {
        Self { every: Interval::ONE_SECOND }
    }
}

/// Scene score, from 0 to 1, with at most six decimals. The default is 0.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "f64")]
pub struct Threshold {
    millionths: u32,
}

impl Threshold {
    /// Value of 1 in millionths.
    const ONE: u32 = 1_000_000;

    /// The score as the number that is closest to its decimal notation.
    #[must_use]
    pub fn score(self) -> f64 {
        f64::from(self.millionths) / f64::from(Self::ONE)
    }
}

impl Default for Threshold {
    fn default() -> Self {
        Self { millionths: 300_000 }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.score())
    }
}

impl FromStr for Threshold {
    type Err = InvalidThreshold;

    fn from_str(text: &str) -> Result<Self, InvalidThreshold> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = text.parse().ok().filter(|_| is_plain).ok_or(InvalidThreshold)?;
        number.try_into()
    }
}

impl TryFrom<f64> for Threshold {
    type Error = InvalidThreshold;

    fn try_from(number: f64) -> Result<Self, InvalidThreshold> {
        let millionths = (number * f64::from(Self::ONE)).round();
        let threshold = Self { millionths: millionths as u32 };
        // Only a number with at most six decimals is the closest one to its millionths.
        if (0.0..=1.0).contains(&number) && threshold.score().to_bits() == number.abs().to_bits() {
            Ok(threshold)
        } else {
            Err(InvalidThreshold)
        }
    }
}

impl From<Threshold> for f64 {
    fn from(threshold: Threshold) -> Self {
        threshold.score()
    }
}

/// A number is not a [`Threshold`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scene threshold is a number from 0 to 1 with at most six decimals")]
pub struct InvalidThreshold;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_numbers_from_0_to_1() {
        for (text, score) in [("0", 0.0), ("0.3", 0.3), ("0.000001", 1e-6), ("1", 1.0), (".5", 0.5)]
        {
            assert_eq!(text.parse::<Threshold>().map(Threshold::score), Ok(score), "{text}");
        }
        for text in ["", "-0.1", "1.1", "NaN", "inf", "0.0000001", "1e-3", "+0.3", "0,3", "."] {
            assert_eq!(text.parse::<Threshold>(), Err(InvalidThreshold), "{text}");
        }
    }
}
