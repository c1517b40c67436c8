//! Rules of the protocol that can be switched off, and bounds of the exploration.

use std::fmt::{self, Debug};
use std::time::Duration;

use jobs::FailureCode;
use jobs::retry::RetryPolicy;

/// Duration of one tick of the model.
pub(crate) const TICK: Duration = Duration::from_secs(30);

/// Ticks of a lease: one minute.
pub(crate) const LEASE: i8 = 2;

/// Ticks for which files are kept where the exploration includes their removal: one minute.
pub(crate) const RETENTION: i8 = 2;

/// Ticks after which an invitation counts as lost if the queue is empty: one minute.
pub(crate) const LOST_AFTER: i8 = 2;

/// Rule of the protocol. Each can be switched off, to see what it prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A worker that has lost its lease deletes its archive only if a fresh read of the row proves
    /// that the job can never refer to it. Without: it deletes unless the row names the archive.
    ProvenLoss,
    /// A message lets a worker claim the next job in turn, whichever it names. Without: only the
    /// job that it names.
    AnyMessage,
    /// A lease is reaped only after it was seen unchanged for one lease of monotonic time. Without:
    /// as soon as it has expired.
    ObservedLeases,
    /// The update that reaps a lease needs it to be the one that was seen. Without: it needs the
    /// fence, and some lease.
    UnchangedLease,
    /// An attempt records its outcome only if its fence and its lease hold. Without: if the job is
    /// PROCESSING.
    Fences,
    /// The row of a job states that its files are removed before the first of them is deleted, in
    /// an update that needs the job to be in a final state. Without: a FAILED or CANCELLED job is
    /// read, its files are deleted, and its row is updated then.
    MarkedRemoval,
    /// A transaction locks the row of its job until it ends. This is a property of the database.
    RowLocks,
}

/// Answer to a claim of a job that is not due. The message is acknowledged in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotDue {
    /// The message is written back into the outbox.
    WriteBack,
    /// It is written back unless the outbox has another one that no relay has taken.
    WriteBackUnlessWaiting,
    /// It is written back unless the outbox has another one.
    WriteBackUnlessPresent,
    /// It is not written back.
    Acknowledge,
}

/// Set of rules in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rules(u8);

/// The rules that are switched off.
impl Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = Rule::ALL.into_iter().filter(|rule| !self.has(*rule));
        formatter.write_str("all without ")?;
        formatter.debug_list().entries(removed).finish()
    }
}

impl Rule {
    const ALL: [Self; 7] = [
        Self::ProvenLoss,
        Self::AnyMessage,
        Self::ObservedLeases,
        Self::UnchangedLease,
        Self::Fences,
        Self::MarkedRemoval,
        Self::RowLocks,
    ];
}

impl Rules {
    /// All rules.
    pub const ALL: Self = Self(u8::MAX);

    /// The rules without one of them.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u8))
    }

    pub(crate) const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u8) != 0
    }
}

/// Kind of fault. Each fault in a run uses up one of [`Bounds::faults`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A worker is killed, and started again.
    Crash,
    /// A worker or the maintenance is stopped (SIGSTOP), and continues later.
    Pause,
    /// The answer to a COMMIT does not arrive for a while, or never.
    Stall,
    /// An attempt fails, because of its video or of its environment.
    Failure,
    /// A worker is stopped (SIGTERM) and releases its job.
    Shutdown,
    /// The broker loses all of its messages.
    Loss,
    /// The broker delivers a message twice, or redelivers one that is being handled.
    Repetition,
    /// The relay is killed after it has published a message and before it has deleted its row.
    RelayCrash,
    /// The database is away for a while.
    Outage,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::Crash,
        Self::Pause,
        Self::Stall,
        Self::Failure,
        Self::Shutdown,
        Self::Loss,
        Self::Repetition,
        Self::RelayCrash,
        Self::Outage,
    ];
}

/// Kind of violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A job in a final state got another state, or a transition that is not legal.
    TwoResults,
    /// The archive of a job that is DONE does not exist.
    ArchiveDeleted,
    /// The video of a job that waits or runs does not exist.
    VideoDeleted,
    /// A lease was reaped although its worker runs and renews it as well as the database allows.
    LiveLeaseReaped,
    /// No fair steps lead the job to a final state.
    LostJob,
    /// No fair steps lead to a state in which the row refers to all stored archives.
    ArchiveLeft,
}

/// State in which the exploration begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The job was just accepted. Its files are kept for longer than the exploration.
    Accepted,
    /// The job has FAILED. Files of a job in a final state are kept for another minute, and an
    /// operator may requeue the job.
    Failed,
}

/// Bounds of the exploration.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// First state.
    pub start: Start,
    /// Maximum difference between the clock of a process and that of the database, in ticks. Each
    /// process has a clock that is ahead or behind by this difference.
    pub clock_error: i8,
    /// Maximum number of faults in a run.
    pub faults: u8,
    /// Kinds of these faults.
    pub kinds: &'static [FaultKind],
    /// Whether the broker's queue always holds messages of other jobs.
    pub is_busy: bool,
}

/// Protocol in force, within bounds.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// Rules in force.
    pub rules: Rules,
    /// Answer to a claim that comes too early.
    pub not_due: NotDue,
    /// Bounds of the exploration.
    pub bounds: Bounds,
    /// Violation to look for; any if `None`.
    pub sought: Option<Violation>,
    retries: RetryPolicy,
}

impl Protocol {
    /// Protocol of the service, with the default pauses between attempts.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self {
            rules: Rules::ALL,
            not_due: NotDue::WriteBack,
            bounds,
            sought: None,
            retries: RetryPolicy::default(),
        }
    }

    /// The same protocol without a rule.
    #[must_use]
    pub fn without(self, rule: Rule) -> Self {
        Self { rules: self.rules.without(rule), ..self }
    }

    pub(crate) const fn has(&self, rule: Rule) -> bool {
        self.rules.has(rule)
    }

    /// Whether the exploration includes the removal of files.
    pub(crate) fn removes_files(&self) -> bool {
        self.bounds.start == Start::Failed
    }

    /// Pause after an attempt that failed with this code, in ticks; `None` if it was the last one.
    pub(crate) fn pause(&self, code: FailureCode, attempt: u8) -> Option<i8> {
        // Each failure counts, which gives the shortest histories.
        let pause = self.retries.pause(code, attempt.into(), attempt.into(), 0.5)?;
        Some((pause.as_secs() / TICK.as_secs()) as i8)
    }
}
