//! Transactions on the row of the job: row locks, and COMMITs whose answer does not arrive.

use jobs::Transition;

use crate::rules::{Protocol, Rule, Violation};
use crate::system::{Change, Doubt, Party, Phase, Row, System};

/// Course of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// It takes effect at once, and is answered.
    Answered,
    /// It is in doubt until the server [ends](End) it.
    Stalled,
}

/// End of a transaction in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It takes effect, and a client that still waits receives the answer.
    Committed,
    /// It takes effect, and the connection is lost.
    CommittedUnanswered,
    /// It never takes effect, because the server crashed before, and the connection is lost.
    Aborted,
}

impl End {
    /// All ends.
    pub(crate) const ALL: [Self; 3] = [Self::Committed, Self::CommittedUnanswered, Self::Aborted];
}

/// `Some` if a step is possible. Lets a step state its conditions with `?`.
pub(crate) fn only_if(condition: bool) -> Option<()> {
    condition.then_some(())
}

impl System {
    /// The database has to answer a read. Reads do not wait for transactions in doubt.
    pub(crate) fn reads(&self) -> Option<()> {
        only_if(!self.is_away)
    }

    /// The database has to answer a write of the row.
    pub(crate) fn writes(&self, protocol: &Protocol) -> Option<()> {
        only_if(!self.is_away && !self.is_locked(protocol))
    }

    /// Whether a transaction in doubt locks the row.
    pub(crate) fn is_locked(&self, protocol: &Protocol) -> bool {
        self.doubt.is_some() && protocol.has(Rule::RowLocks)
    }

    /// Run a transaction.
    pub(crate) fn transact(
        &mut self,
        protocol: &Protocol,
        by: Party,
        change: Change,
        commit: Commit,
    ) -> Option<()> {
        self.writes(protocol)?;
        match commit {
            Commit::Answered => self.apply(protocol, change),
            Commit::Stalled => {
                only_if(self.doubt.is_none())?;
                self.doubt = Some(Doubt { by, change });
            }
        }
        Some(())
    }

    /// End the transaction in doubt.
    pub(crate) fn end_doubt(&mut self, protocol: &Protocol, end: End) -> Option<()> {
        let Doubt { by, change } = self.doubt.take()?;
        if end != End::Aborted {
            self.apply(protocol, change);
        }
        if let Party::Worker(worker) = by {
            self.answer(worker, end, change);
        }
        Some(())
    }

    /// Make the effect of a transaction visible.
    fn apply(&mut self, protocol: &Protocol, change: Change) {
        if let (Some(before), Some(after)) = (self.row, change.row)
            && !is_legal(before, after)
        {
            self.violation = Some(Violation::TwoResults);
        }
        let lease = |row: Option<Row>| row.map(|row| (row.fence, row.lease));
        if lease(self.row) != lease(change.row) {
            self.maintenance.forget_lease(protocol);
        }
        self.row = change.row;
        if let Some(due) = change.message {
            self.write_message(due);
        }
    }

    /// Let a worker that still waits for its COMMIT go on. Without an answer, it records the
    /// outcome again, or requeues the message of its claim.
    fn answer(&mut self, worker: usize, end: End, change: Change) {
        let waiting = &mut self.workers[worker];
        match (waiting.phase, end) {
            (Phase::Claiming, End::Committed) => {
                waiting.phase = Phase::Working;
                waiting.fence = change.row.map_or(0, |row| row.fence);
            }
            (Phase::Finishing | Phase::Failing, End::Committed) => waiting.leave(),
            (Phase::Finishing, _) => waiting.phase = Phase::Stored,
            (Phase::Failing, _) => waiting.phase = Phase::Failed,
            (Phase::Claiming, _) => self.requeue(worker),
            _ => {}
        }
    }

    /// Return the message of a worker to the broker.
    pub(crate) fn requeue(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        if worker.holds_message {
            worker.holds_message = false;
            self.ready += 1;
        }
        worker.phase = Phase::Idle;
    }
}

/// Whether a row may change so. An update without a transition keeps the state and the result.
fn is_legal(before: Row, after: Row) -> bool {
    let is_transition = Transition::ALL
        .into_iter()
        .any(|transition| (transition.from(), transition.to()) == (before.state, after.state));
    is_transition || (before.state, before.archive) == (after.state, after.archive)
}
