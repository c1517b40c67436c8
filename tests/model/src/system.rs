//! State of the whole system: the row of one job, its messages, two workers, the maintenance, and
//! the objects in the store.
//!
//! All times count from now, in ticks, so the number of states is finite. A time stops to count at
//! the value from which on it is past for every clock.

use jobs::State;

use crate::rules::{LOST_AFTER, Protocol, RETENTION, Rule, Start, Violation};

/// Number of workers.
pub(crate) const WORKERS: usize = 2;

/// Capacity of the outbox. The exploration panics if a bound allows more messages.
const OUTBOX: usize = 6;

/// State of the system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct System {
    /// Row of the job; `None` after its user has deleted the job.
    pub(crate) row: Option<Row>,
    /// Transaction whose COMMIT was sent and has not taken effect yet.
    pub(crate) doubt: Option<Doubt>,
    /// Messages of the job in the outbox, in order.
    pub(crate) outbox: [Option<Outgoing>; OUTBOX],
    /// Messages of the job in the broker that are not delivered.
    pub(crate) ready: u8,
    pub(crate) workers: [Worker; WORKERS],
    pub(crate) maintenance: Maintenance,
    /// Fences of the archives in the store, as a set of bits.
    pub(crate) archives: u8,
    /// Whether the store has the video.
    pub(crate) has_video: bool,
    /// Whether the database is away.
    pub(crate) is_away: bool,
    /// Number of faults that may still happen.
    pub(crate) faults: u8,
    /// Rule that a step has violated.
    pub(crate) violation: Option<Violation>,
}

/// Row of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub state: State,
    pub attempt: u8,
    pub fence: u8,
    /// Ticks until the lease expires.
    pub lease: Option<i8>,
    /// Ticks until the next attempt is due.
    pub due: i8,
    /// Ticks since the job was invited, negative if the invitation is due later.
    pub invited: i8,
    /// Fence of the archive that the row names.
    pub archive: Option<u8>,
    /// Ticks until the files of a job in a final state expire; 0 if they are kept for longer.
    pub retention: i8,
    /// Whether the files are removed, or are being removed.
    pub is_removed: bool,
}

/// Transaction in doubt. It locks the row, so the row after it does not depend on when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Doubt {
    pub by: Party,
    pub change: Change,
}

/// Effect of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    /// Row after the transaction; `None` if it deletes the row.
    pub row: Option<Row>,
    /// Ticks until the message that it writes into the outbox is due.
    pub message: Option<i8>,
}

/// Party that runs a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Party {
    Worker(usize),
    Maintenance,
    User,
}

/// Message in the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Outgoing {
    /// Ticks until the message is due.
    pub due: i8,
    /// Whether the broker has confirmed the message, so that its row will be deleted.
    pub is_published: bool,
}

/// Worker process with one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub phase: Phase,
    /// Fence of its attempt; 0 without one.
    pub fence: u8,
    /// Ticks by which its clock is ahead of the database's.
    pub clock: i8,
    /// Whether the broker waits for the settlement of its message.
    pub holds_message: bool,
    /// Whether it is stopped by SIGSTOP.
    pub is_paused: bool,
    /// Renewal of its lease at the last tick.
    pub renewal: Renewal,
}

/// Renewal of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Renewal {
    /// The lease is new or was renewed.
    Done,
    /// The database was away.
    Failed,
    /// The worker was paused or waited for a transaction in doubt, and has not renewed its lease
    /// since.
    Hindered,
}

/// Phase of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Idle,
    /// It has received a message.
    Received,
    /// It waits for the answer to the COMMIT of its claim.
    Claiming,
    /// It makes the archive.
    Working,
    /// The archive is stored.
    Stored,
    /// It waits for the answer to the COMMIT that finishes the job.
    Finishing,
    /// The attempt has failed.
    Failed,
    /// It waits for the answer to the COMMIT of the failure.
    Failing,
    /// It knows that it has lost its lease.
    Lost,
    /// It has decided to delete its archive.
    Discarding,
    /// It is going to acknowledge the message.
    Settling,
}

/// Process that runs the maintenance and the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Maintenance {
    /// Ticks by which its clock is ahead of the database's.
    pub clock: i8,
    /// Whether it is stopped by SIGSTOP.
    pub is_paused: bool,
    /// Ticks for which it has seen the present lease unchanged.
    pub observed: Option<i8>,
    /// Fence of the attempt whose lease it is going to reap.
    pub reaping: Option<u8>,
    /// Archives that the sweep has decided to delete, as a set of bits.
    pub orphans: u8,
    /// Whether it is going to delete all files of the job.
    pub removes_files: bool,
}

impl Phase {
    /// Whether the worker renews a lease.
    pub(crate) const fn renews(self) -> bool {
        matches!(
            self,
            Self::Working | Self::Stored | Self::Finishing | Self::Failed | Self::Failing
        )
    }
}

impl Worker {
    /// Worker that waits for a message.
    pub(crate) const fn idle(clock: i8) -> Self {
        Self {
            phase: Phase::Idle,
            fence: 0,
            clock,
            holds_message: false,
            is_paused: false,
            renewal: Renewal::Done,
        }
    }

    /// Notice that the lease is lost.
    pub(crate) const fn lose(&mut self) {
        self.phase = Phase::Lost;
        self.renewal = Renewal::Done;
    }

    /// Leave the attempt; the message is still to be settled.
    pub(crate) const fn leave(&mut self) {
        self.lose();
        self.phase = Phase::Settling;
        self.fence = 0;
    }
}

impl Maintenance {
    /// Notice that the lease has changed, at the next look or in the update that reaps it.
    pub(crate) fn forget_lease(&mut self, protocol: &Protocol) {
        self.observed = None;
        if protocol.has(Rule::UnchangedLease) {
            self.reaping = None;
        }
    }
}

impl Row {
    /// Row of a job that was just accepted.
    fn accepted(protocol: &Protocol) -> Self {
        Self {
            state: State::Queued,
            attempt: 0,
            fence: 0,
            lease: None,
            due: -protocol.bounds.clock_error,
            invited: 0,
            archive: None,
            retention: 0,
            is_removed: false,
        }
    }

    /// Whether the job waits for a worker.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.lease.is_none() && !self.state.is_final()
    }

    /// Whether an attempt holds the job.
    pub(crate) fn is_held_by(&self, fence: u8) -> bool {
        self.state == State::Processing && self.fence == fence && self.lease.is_some()
    }

    /// Row in a final state. Values that no rule reads anymore are reset, which joins states.
    pub(crate) fn ended(self, state: State, protocol: &Protocol) -> Self {
        Self {
            state,
            attempt: 0,
            lease: None,
            due: -protocol.bounds.clock_error,
            invited: 0,
            retention: if protocol.removes_files() { RETENTION } else { 0 },
            ..self
        }
    }

    /// Row of a job that waits and is invited in some ticks.
    pub(crate) const fn invited_in(self, due: i8) -> Self {
        Self { lease: None, invited: -due, ..self }
    }

    /// Row after one tick.
    pub(crate) fn after_tick(self, protocol: &Protocol) -> Self {
        let error = protocol.bounds.clock_error;
        let invited = if self.is_waiting() { self.invited + 1 } else { self.invited };
        let is_expiring = self.state.is_final() && protocol.removes_files();
        let retention = if is_expiring { self.retention - 1 } else { self.retention };
        Self {
            retention: retention.max(-error),
            lease: self.lease.map(|left| (left - 1).max(-error)),
            due: (self.due - 1).max(-error),
            invited: invited.min(LOST_AFTER + error),
            ..self
        }
    }
}

impl System {
    /// First state, with these clocks of both workers and of the maintenance.
    pub(crate) fn first(protocol: &Protocol, clocks: [i8; 3]) -> Self {
        let [first, second, maintenance] = clocks;
        let row = Row::accepted(protocol);
        let (row, message) = match protocol.bounds.start {
            Start::Accepted => (row, Some(Outgoing { due: 0, is_published: false })),
            Start::Failed => (Row { fence: 1, ..row.ended(State::Failed, protocol) }, None),
        };
        let mut outbox = [None; OUTBOX];
        outbox[0] = message;
        Self {
            row: Some(row),
            doubt: None,
            outbox,
            ready: 0,
            workers: [Worker::idle(first), Worker::idle(second)],
            maintenance: Maintenance {
                clock: maintenance,
                is_paused: false,
                observed: None,
                reaping: None,
                orphans: 0,
                removes_files: false,
            },
            archives: 0,
            has_video: true,
            is_away: false,
            faults: protocol.bounds.faults,
            violation: None,
        }
    }

    /// Number of messages of the job in the broker, delivered or not.
    pub(crate) fn messages(&self) -> usize {
        let delivered = self.workers.iter().filter(|worker| worker.holds_message).count();
        usize::from(self.ready) + delivered
    }

    /// Write a message into the outbox.
    ///
    /// # Panics
    /// If the outbox is full, because the exploration would not be complete.
    pub(crate) fn write_message(&mut self, due: i8) {
        let free = self.outbox.iter_mut().find(|row| row.is_none());
        *free.expect("the outbox holds all messages within the bounds") =
            Some(Outgoing { due, is_published: false });
        self.sort_outbox();
    }

    /// Sort the outbox, so that equal outboxes are equal states.
    pub(crate) fn sort_outbox(&mut self) {
        self.outbox.sort_unstable_by_key(|row| (row.is_none(), *row));
    }

    /// Whether a row refers to an archive or may still come to do so, as the sweep sees it.
    pub(crate) fn archives_in_use(&self) -> u8 {
        match self.row {
            None => 0,
            Some(row) if row.state == State::Processing => u8::MAX,
            Some(row) if row.is_removed || row.state == State::Expired => 0,
            Some(row) => row.archive.map_or(0, |fence| 1 << fence),
        }
    }

    /// Whether the job has a result, or its user has deleted it.
    pub(crate) fn has_ended(&self) -> bool {
        self.row.is_none_or(|row| row.state.is_final())
    }

    /// Forget messages and clocks after the end of the job. They have no effect anymore: no worker
    /// can claim the job. This joins states that differ in nothing else.
    pub(crate) fn forget_messages(&mut self, protocol: &Protocol) {
        if protocol.removes_files() || self.doubt.is_some() || !self.has_ended() {
            return;
        }
        (self.outbox, self.ready) = ([None; OUTBOX], 0);
        for worker in &mut self.workers {
            worker.holds_message = false;
            if matches!(worker.phase, Phase::Received | Phase::Settling) {
                *worker = Worker::idle(0);
            }
            worker.clock = 0;
        }
        self.maintenance.clock = 0;
        self.maintenance.reaping = None;
    }

    /// Whether the job has ended, and all stored archives belong to it.
    pub(crate) fn is_clean(&self) -> bool {
        self.has_ended() && self.archives & !self.archives_in_use() == 0
    }

    /// Violations of this state and of the step that led to it.
    pub(crate) fn violations(&self) -> impl Iterator<Item = Violation> {
        let is_gone = |fence: u8| self.archives & (1 << fence) == 0;
        let is_done = |row: &Row| row.state == State::Done;
        let archive = self.row.filter(is_done).and_then(|row| row.archive);
        let is_archive_deleted = archive.is_some_and(is_gone);
        let is_video_deleted = !self.has_video && !self.has_ended();
        let of_state = [
            is_archive_deleted.then_some(Violation::ArchiveDeleted),
            is_video_deleted.then_some(Violation::VideoDeleted),
        ];
        of_state.into_iter().chain([self.violation]).flatten()
    }
}
