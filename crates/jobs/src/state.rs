//! States of a job and the transitions between them. No other module decides which transitions are
//! legal.
//!
//! ```text
//! UPLOADED -> QUEUED -> PROCESSING -> DONE -> EXPIRED
//!                |       |  ^  |
//!                |       |  +--+ another attempt
//!                |       +-> FAILED -> QUEUED, by an operator
//!                +-------+-> CANCELLED
//! ```

use serde::{Deserialize, Serialize};

use crate::names::impl_names;

/// State of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// The video is stored. Lasts only within the transaction that accepts it.
    Uploaded,
    /// The job waits for its first attempt.
    Queued,
    /// A worker holds the job, or it waits for another attempt.
    Processing,
    /// The archive is stored.
    Done,
    /// The last attempt failed.
    Failed,
    /// The user cancelled the job.
    Cancelled,
    /// The archive was deleted at the end of its retention period.
    Expired,
}

impl State {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 7] = [
        Self::Uploaded,
        Self::Queued,
        Self::Processing,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Name in the database, in messages and in the HTTP API.
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

    /// Whether no worker will process the job again, unless an operator [queues it
    /// again](Transition::REQUEUE).
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled | Self::Expired)
    }
}

impl_names!(State, UnknownState, "`{0}` is not a state of a job");

/// Legal change from one state to another. The fields are private and the constants below are the
/// only values, so code cannot express an illegal change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    from: State,
    to: State,
}

impl Transition {
    /// The job is queued for the workers.
    pub const ENQUEUE: Self = Self { from: State::Uploaded, to: State::Queued };
    /// A worker starts the first attempt.
    pub const START: Self = Self { from: State::Queued, to: State::Processing };
    /// An attempt failed or was released and another follows, or the next attempt starts.
    pub const RETRY: Self = Self { from: State::Processing, to: State::Processing };
    /// An attempt stored the archive.
    pub const FINISH: Self = Self { from: State::Processing, to: State::Done };
    /// The last attempt failed.
    pub const FAIL: Self = Self { from: State::Processing, to: State::Failed };
    /// The user cancels a queued job.
    pub const CANCEL_QUEUED: Self = Self { from: State::Queued, to: State::Cancelled };
    /// The user cancels a job in processing.
    pub const CANCEL_RUNNING: Self = Self { from: State::Processing, to: State::Cancelled };
    /// The retention period of the archive ended.
    pub const EXPIRE: Self = Self { from: State::Done, to: State::Expired };
    /// An operator queues a failed job again, after removing the cause of the failure.
    pub const REQUEUE: Self = Self { from: State::Failed, to: State::Queued };

    /// All transitions. A trigger of the database rejects every other change.
    pub const ALL: [Self; 9] = [
        Self::ENQUEUE,
        Self::START,
        Self::RETRY,
        Self::FINISH,
        Self::FAIL,
        Self::CANCEL_QUEUED,
        Self::CANCEL_RUNNING,
        Self::EXPIRE,
        Self::REQUEUE,
    ];

    /// State before the transition.
    #[must_use]
    pub const fn from(self) -> State {
        self.from
    }

    /// State after the transition.
    #[must_use]
    pub const fn to(self) -> State {
        self.to
    }

    /// Transition that cancels a job in this state; `None` if it cannot be cancelled.
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
    fn names_round_trip() {
        for state in State::ALL {
            assert_eq!(state.name().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).ok(), Some(state.name().into()));
        }
        assert!("queued".parse::<State>().is_err());
    }

    #[test]
    fn only_expiry_and_requeue_leave_a_final_state() {
        for transition in Transition::ALL {
            let leaves_final = [Transition::EXPIRE, Transition::REQUEUE].contains(&transition);
            assert_eq!(transition.from().is_final(), leaves_final, "{transition:?}");
        }
    }

    #[test]
    fn every_state_is_reachable_from_uploaded() {
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
