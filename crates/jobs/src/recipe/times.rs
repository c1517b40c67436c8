//! Lists of times in a video.

use serde::Serialize;

use super::position::Position;

/// Times in a video: ascending, without repetitions, at least one, at most [`Times::MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "Vec<Position>")]
pub struct Times(Vec<Position>);

impl Times {
    /// Maximum number of times: a job's message and row hold all of them.
    pub const MAX: usize = 1_000;

    /// The times in ascending order.
    #[must_use]
    pub fn as_slice(&self) -> &[Position] {
        &self.0
    }
}

impl TryFrom<Vec<Position>> for Times {
    type Error = InvalidTimes;

    fn try_from(mut times: Vec<Position>) -> Result<Self, InvalidTimes> {
        times.sort_unstable();
        times.dedup();
        match times.len() {
            0 => Err(InvalidTimes::None),
            1..=Self::MAX => Ok(Self(times)),
            _ => Err(InvalidTimes::TooMany),
        }
    }
}

impl From<Times> for Vec<Position> {
    fn from(times: Times) -> Self {
        times.0
    }
}

/// Reason why positions are not [`Times`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimes {
    /// The list is empty.
    #[error("it must list at least one time")]
    None,
    /// The list is too long.
    #[error("it must list at most {} times; use `every` for regular ones", Times::MAX)]
    TooMany,
}
