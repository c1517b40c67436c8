//! Steps of a worker, from the message to its acknowledgment.

use jobs::{FailureCode, State};

use crate::rules::{LEASE, NotDue, Protocol, Rule};
use crate::system::{Change, Party, Phase, Renewal, Row, System};
use crate::transaction::{Commit, only_if};

/// Step of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerStep {
    /// Receive a message.
    Receive,
    /// Receive a message of another job.
    ReceiveOther,
    /// Claim the job, whose turn it is.
    Claim,
    /// Claim another job, whose turn it is, and process it.
    ClaimOther,
    /// Renew the lease, with a COMMIT that stalls. The renewals that do not are part of a tick.
    Renew,
    /// Complete the archive in the store.
    Store,
    /// Record that the attempt has failed.
    RecordFailure,
    /// Record that the job is done.
    Finish,
    /// Return the job to the queue, because the worker has to stop.
    Release,
    /// Give the lease up, because it could not be renewed in time.
    GiveUp,
    /// Read the row of the lost job, to decide about the archive.
    ReadLostJob,
    /// Delete the archive.
    Discard,
    /// Acknowledge the message.
    Acknowledge,
}

impl WorkerStep {
    /// All steps.
    pub(crate) const ALL: [Self; 13] = [
        Self::Receive,
        Self::ReceiveOther,
        Self::Claim,
        Self::ClaimOther,
        Self::Renew,
        Self::Store,
        Self::RecordFailure,
        Self::Finish,
        Self::Release,
        Self::GiveUp,
        Self::ReadLostJob,
        Self::Discard,
        Self::Acknowledge,
    ];
}

impl System {
    /// Take a step of a worker; `None` if it is not possible.
    pub(crate) fn work(
        &mut self,
        protocol: &Protocol,
        at: usize,
        step: WorkerStep,
        commit: Commit,
    ) -> Option<()> {
        only_if(!self.workers[at].is_paused)?;
        match step {
            WorkerStep::Receive => self.receive(at),
            WorkerStep::ReceiveOther => self.receive_other(protocol, at),
            WorkerStep::Claim => self.claim(protocol, at, commit),
            WorkerStep::ClaimOther => self.claim_other(protocol, at),
            WorkerStep::Renew => self.renew_slowly(protocol, at, commit),
            WorkerStep::Store => self.store(at),
            WorkerStep::RecordFailure => self.record_failure(protocol, at, commit),
            WorkerStep::Finish => self.finish(protocol, at, commit),
            WorkerStep::Release => self.release(protocol, at),
            WorkerStep::GiveUp => self.give_up(at),
            WorkerStep::ReadLostJob => self.read_lost_job(protocol, at),
            WorkerStep::Discard => self.discard(at),
            WorkerStep::Acknowledge => self.acknowledge(at),
        }
    }

    fn receive(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Idle && self.ready > 0)?;
        self.ready -= 1;
        self.workers[at].holds_message = true;
        self.workers[at].phase = Phase::Received;
        Some(())
    }

    fn receive_other(&mut self, protocol: &Protocol, at: usize) -> Option<()> {
        only_if(protocol.bounds.is_busy && protocol.has(Rule::AnyMessage))?;
        only_if(self.workers[at].phase == Phase::Idle)?;
        self.workers[at].phase = Phase::Received;
        Some(())
    }

    /// The attempt at the other job has ended when the message is acknowledged.
    fn claim_other(&mut self, protocol: &Protocol, at: usize) -> Option<()> {
        only_if(protocol.bounds.is_busy && protocol.has(Rule::AnyMessage))?;
        only_if(self.workers[at].phase == Phase::Received)?;
        self.writes(protocol)?;
        match self.row.filter(|row| row.is_waiting() && row.due > self.workers[at].clock) {
            Some(row) if self.workers[at].holds_message => {
                self.postpone(protocol, at, row, Commit::Answered);
            }
            _ => self.workers[at].leave(),
        }
        Some(())
    }

    fn claim(&mut self, protocol: &Protocol, at: usize, commit: Commit) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Received)?;
        self.writes(protocol)?;
        let clock = self.workers[at].clock;
        let Some(row) = self.row.filter(Row::is_waiting) else {
            only_if(commit == Commit::Answered)?;
            self.workers[at].leave();
            return Some(());
        };
        if row.due > clock {
            if self.workers[at].holds_message {
                self.postpone(protocol, at, row, commit);
            } else {
                only_if(commit == Commit::Answered)?;
                self.workers[at].leave();
            }
            return Some(());
        }
        let claimed = Row {
            state: State::Processing,
            attempt: row.attempt + 1,
            fence: row.fence + 1,
            lease: Some(LEASE + clock),
            due: -protocol.bounds.clock_error,
            invited: 0,
            ..row
        };
        let change = Change { row: Some(claimed), message: None };
        self.transact(protocol, Party::Worker(at), change, commit)?;
        self.workers[at].phase = Phase::Claiming;
        if commit == Commit::Answered {
            self.workers[at].phase = Phase::Working;
            self.workers[at].fence = claimed.fence;
        }
        Some(())
    }

    /// Answer NotDue: the message becomes a new one in the outbox. A COMMIT that stalls takes
    /// effect here, and its client requeues the broker's message as well.
    fn postpone(&mut self, protocol: &Protocol, at: usize, row: Row, commit: Commit) {
        let mut others = self.outbox.iter().flatten();
        let writes_back = match protocol.not_due {
            NotDue::WriteBack => true,
            NotDue::WriteBackUnlessWaiting => others.all(|other| other.is_published),
            NotDue::WriteBackUnlessPresent => others.next().is_none(),
            NotDue::Acknowledge => false,
        };
        if writes_back {
            self.row = Some(row.invited_in(row.due));
            self.write_message(row.due);
        }
        match commit {
            Commit::Answered => self.workers[at].leave(),
            Commit::Stalled => self.requeue(at),
        }
    }

    fn renew_slowly(&mut self, protocol: &Protocol, at: usize, commit: Commit) -> Option<()> {
        let worker = self.workers[at];
        only_if(matches!(worker.phase, Phase::Working | Phase::Stored))?;
        let row = self.row.filter(|row| row.is_held_by(worker.fence))?;
        let renewed = Row { lease: Some(LEASE + worker.clock), ..row };
        let change = Change { row: Some(renewed), message: None };
        self.transact(protocol, Party::Worker(at), change, commit)
    }

    fn store(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Working)?;
        self.archives |= 1 << self.workers[at].fence;
        self.workers[at].phase = Phase::Stored;
        Some(())
    }

    /// The row, if the attempt of a worker may record its outcome.
    fn held(&self, protocol: &Protocol, at: usize) -> Option<Row> {
        let fence = self.workers[at].fence;
        self.row.filter(|row| {
            if protocol.has(Rule::Fences) {
                row.is_held_by(fence)
            } else {
                row.state == State::Processing
            }
        })
    }

    /// Record an outcome of an attempt, or notice that the attempt is lost.
    fn record(
        &mut self,
        protocol: &Protocol,
        at: usize,
        change: Option<Change>,
        commit: Commit,
        waiting: Phase,
    ) -> Option<()> {
        self.writes(protocol)?;
        let Some(change) = change else {
            only_if(commit == Commit::Answered)?;
            self.workers[at].lose();
            return Some(());
        };
        self.transact(protocol, Party::Worker(at), change, commit)?;
        match commit {
            Commit::Answered => self.workers[at].leave(),
            Commit::Stalled => self.workers[at].phase = waiting,
        }
        Some(())
    }

    fn record_failure(&mut self, protocol: &Protocol, at: usize, commit: Commit) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Failed)?;
        let (code, clock) = (FailureCode::DecoderCrashed, self.workers[at].clock);
        let change = self.held(protocol, at).map(|row| row.failed(protocol, code, clock));
        self.record(protocol, at, change, commit, Phase::Failing)
    }

    fn finish(&mut self, protocol: &Protocol, at: usize, commit: Commit) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Stored)?;
        let archive = Some(self.workers[at].fence);
        let change = self.held(protocol, at).map(|row| Change {
            row: Some(Row { archive, ..row.ended(State::Done, protocol) }),
            message: None,
        });
        self.record(protocol, at, change, commit, Phase::Finishing)
    }

    fn release(&mut self, protocol: &Protocol, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Working)?;
        let clock = self.workers[at].clock;
        let change = self.held(protocol, at).map(|row| Change {
            row: Some(Row { attempt: row.attempt - 1, ..row.invited_in(clock) }),
            message: Some(clock),
        });
        self.record(protocol, at, change, Commit::Answered, Phase::Working)
    }

    fn give_up(&mut self, at: usize) -> Option<()> {
        let worker = &mut self.workers[at];
        only_if(worker.phase.renews() && worker.renewal != Renewal::Done)?;
        worker.lose();
        Some(())
    }

    fn read_lost_job(&mut self, protocol: &Protocol, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Lost)?;
        self.reads()?;
        let fence = self.workers[at].fence;
        let names_archive = |row: Row| row.archive == Some(fence);
        let is_proven = |row: Row| row.fence != fence || row.state.is_final();
        let is_deleted = self.row.is_none_or(|row| {
            !names_archive(row) && (is_proven(row) || !protocol.has(Rule::ProvenLoss))
        });
        if is_deleted && self.archives & (1 << fence) != 0 {
            self.workers[at].phase = Phase::Discarding;
        } else {
            self.workers[at].leave();
        }
        Some(())
    }

    fn discard(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Discarding)?;
        self.archives &= !(1 << self.workers[at].fence);
        self.workers[at].leave();
        Some(())
    }

    fn acknowledge(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].phase == Phase::Settling)?;
        self.workers[at].holds_message = false;
        self.workers[at].phase = Phase::Idle;
        Some(())
    }
}

impl Row {
    /// Effect of a failed attempt: another attempt after a pause, or FAILED. `clock` is that of
    /// the process that records it.
    pub(crate) fn failed(self, protocol: &Protocol, code: FailureCode, clock: i8) -> Change {
        let Some(pause) = protocol.pause(code, self.attempt) else {
            let row = Some(self.ended(State::Failed, protocol));
            return Change { row, message: None };
        };
        let due = pause + clock;
        Change { row: Some(Row { due, ..self.invited_in(due) }), message: Some(due) }
    }
}
