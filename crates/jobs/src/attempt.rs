//! Outcome of an attempt at a job.

use std::fmt;

/// Outcome of an attempt at a job, as the database recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The archive is stored and the job is done.
    Completed,
    /// The attempt failed and another one follows.
    Retrying,
    /// The attempt failed and was the last one; the job has failed.
    Failed,
    /// The worker returned the job to the queue without using up an attempt.
    Released,
    /// The job had been taken from the worker before: its lease expired, or the user cancelled or
    /// deleted the job. Nothing was changed.
    Lost,
}

impl AttemptOutcome {
    /// All outcomes.
    pub const ALL: [Self; 5] =
        [Self::Completed, Self::Retrying, Self::Failed, Self::Released, Self::Lost];

    /// Value of the label `outcome` in metrics and traces.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Completed => "done",
            Self::Retrying => "retried",
            Self::Failed => "failed",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for AttemptOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_stable() {
        let labels = AttemptOutcome::ALL.map(AttemptOutcome::label);
        assert_eq!(labels, ["done", "retried", "failed", "released", "lost"]);
    }
}
