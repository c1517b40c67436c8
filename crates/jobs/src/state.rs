//! The states of a job, and the only place that says which may follow which.
//!
//! ```text
//! UPLOADED -> QUEUED -> PROCESSING -> DONE -> EXPIRED
//!                |       |  ^  |
//!                |       |  +--+ another attempt
//!                |       +-> FAILED -> QUEUED, by an operator
//!                +-------+-> CANCELLED
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// The video is in storage.
    Uploaded,
    /// The job waits for a worker.
    Queued,
    /// A worker has the job, or it waits for another attempt.
    Processing,
    /// The archive can be fetched.
    Done,
    /// There will be no archive.
    Failed,
    /// The user did not want it any more.
    Cancelled,
    /// There was an archive; its time is over.
    Expired,
}

impl State {
    /// All of them, in the order in which a job may meet them.
    pub const ALL: [Self; 7] = [
        Self::Uploaded,
        Self::Queued,
        Self::Processing,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name in the database, in messages and in the HTTP interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uploaded => "UPLOADED",
            Self::Queued => "QUEUED",
            Self::Processing => "PROCESSING",
            Self::Done => "DONE",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Expired => "EXPIRED",
        }
    }

    /// Whether no worker will touch the job again, unless an operator [puts it
    /// back](Transition::PUT_BACK).
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of a job")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.name() == name)
            .ok_or_else(|| UnknownState(name.to_owned()))
    }
}

/// A legal change from one state to another. There are no others than the constants below, so an
/// illegal change cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    from: State,
    to: State,
}

impl Transition {
    /// The job is handed to the workers.
    pub const ENQUEUE: Self = Self { from: State::Uploaded, to: State::Queued };
    /// A worker begins.
    pub const START: Self = Self { from: State::Queued, to: State::Processing };
    /// An attempt ended without an archive and another follows; or the other begins.
    pub const RETRY: Self = Self { from: State::Processing, to: State::Processing };
    /// The archive is in storage.
    pub const FINISH: Self = Self { from: State::Processing, to: State::Done };
    /// The last attempt failed.
    pub const FAIL: Self = Self { from: State::Processing, to: State::Failed };
    /// The user cancels a job that waits.
    pub const CANCEL_QUEUED: Self = Self { from: State::Queued, to: State::Cancelled };
    /// The user cancels a job that runs.
    pub const CANCEL_RUNNING: Self = Self { from: State::Processing, to: State::Cancelled };
    /// The time of the archive is over.
    pub const EXPIRE: Self = Self { from: State::Done, to: State::Expired };
    /// What the job failed of is mended, and an operator hands it to the workers again.
    pub const PUT_BACK: Self = Self { from: State::Failed, to: State::Queued };

    /// All of them. The database refuses every other change.
    pub const ALL: [Self; 9] = [
        Self::ENQUEUE,
        Self::START,
        Self::RETRY,
        Self::FINISH,
        Self::FAIL,
        Self::CANCEL_QUEUED,
        Self::CANCEL_RUNNING,
        Self::EXPIRE,
        Self::PUT_BACK,
    ];

    /// The state before.
    #[must_use]
    pub const fn from(self) -> State {
        self.from
    }

    /// The state after.
    #[must_use]
    pub const fn to(self) -> State {
        self.to
    }

    /// How a job in this state is cancelled; a final one cannot be.
    #[must_use]
    pub const fn cancel(state: State) -> Option<Self> {
        match state {
            State::Queued => Some(Self::CANCEL_QUEUED),
            State::Processing => Some(Self::CANCEL_RUNNING),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_back() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).ok(), Some(state.name().into()));
        }
        assert!("queued".parse::<State>().is_err());
    }

    #[test]
    fn only_time_and_operators_end_a_final_state() {
        for transition in Transition::ALL {
            let ends = [Transition::EXPIRE, Transition::PUT_BACK].contains(&transition);
            assert_eq!(transition.from().is_final(), ends, "{transition:?}");
        }
    }

    #[test]
    fn every_state_is_reached_from_uploaded() {
        let mut reached = vec![State::Uploaded];
        for _ in State::ALL {
            for transition in Transition::ALL {
                if reached.contains(&transition.from()) && !reached.contains(&transition.to()) {
                    reached.push(transition.to());
                }
            }
        }
        assert_eq!(reached.len(), State::ALL.len());
    }
}
