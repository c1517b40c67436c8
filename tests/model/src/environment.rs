//! Everything around the processes of the service: time, faults, users, and what ends a fault.

use jobs::Transition;

use crate::rules::{FaultKind, LEASE, Protocol};
use crate::system::{Change, Party, Phase, Renewal, Row, System, Worker};
use crate::transaction::{Commit, only_if};

/// Fault of a process, the broker or the database. The stalls of a COMMIT are part of the steps
/// that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Kill a worker, and start it again.
    Crash(usize),
    /// Stop a worker with SIGSTOP.
    PauseWorker(usize),
    /// Stop the maintenance with SIGSTOP.
    PauseMaintenance,
    /// Let the attempt of a worker fail.
    FailAttempt(usize),
    /// Lose all messages of the broker.
    LoseMessages,
    /// Deliver a message once more.
    Duplicate,
    /// Redeliver the message of a worker that still handles it.
    Redeliver(usize),
    /// Kill the relay between the confirmation of a message and the deletion of its row.
    CrashRelay,
    /// Take the database away.
    TakeDatabaseAway,
}

/// End of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Continue a worker.
    ResumeWorker(usize),
    /// Continue the maintenance.
    ResumeMaintenance,
    /// Bring the database back.
    ReturnDatabase,
}

/// Request of the job's user or of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Cancel the job.
    Cancel,
    /// Delete the job.
    Delete,
    /// Requeue the failed job, as an operator.
    Requeue,
}

impl Recovery {
    /// All ends of faults.
    pub(crate) const ALL: [Self; 4] = [
        Self::ResumeWorker(0),
        Self::ResumeWorker(1),
        Self::ResumeMaintenance,
        Self::ReturnDatabase,
    ];
}

impl Request {
    /// All requests.
    pub(crate) const ALL: [Self; 3] = [Self::Cancel, Self::Delete, Self::Requeue];
}

impl Fault {
    /// All faults.
    pub(crate) const ALL: [Self; 13] = [
        Self::Crash(0),
        Self::Crash(1),
        Self::PauseWorker(0),
        Self::PauseWorker(1),
        Self::PauseMaintenance,
        Self::FailAttempt(0),
        Self::FailAttempt(1),
        Self::LoseMessages,
        Self::Duplicate,
        Self::Redeliver(0),
        Self::Redeliver(1),
        Self::CrashRelay,
        Self::TakeDatabaseAway,
    ];

    pub(crate) const fn kind(self) -> FaultKind {
        match self {
            Self::Crash(_) => FaultKind::Crash,
            Self::PauseWorker(_) | Self::PauseMaintenance => FaultKind::Pause,
            Self::FailAttempt(_) => FaultKind::Failure,
            Self::LoseMessages => FaultKind::Loss,
            Self::Duplicate | Self::Redeliver(_) => FaultKind::Repetition,
            Self::CrashRelay => FaultKind::RelayCrash,
            Self::TakeDatabaseAway => FaultKind::Outage,
        }
    }
}

impl System {
    /// Let a fault happen; `None` if it is not possible.
    pub(crate) fn suffer(&mut self, fault: Fault) -> Option<()> {
        match fault {
            Fault::Crash(at) => self.crash(at),
            Fault::PauseWorker(at) => self.pause_worker(at),
            Fault::PauseMaintenance => {
                only_if(!self.maintenance.is_paused)?;
                self.maintenance.is_paused = true;
                Some(())
            }
            Fault::FailAttempt(at) => {
                let worker = &mut self.workers[at];
                only_if(matches!(worker.phase, Phase::Working | Phase::Stored))?;
                only_if(!worker.is_paused)?;
                worker.phase = Phase::Failed;
                Some(())
            }
            Fault::LoseMessages => self.lose_messages(),
            Fault::Duplicate => {
                only_if(self.ready > 0)?;
                self.ready += 1;
                Some(())
            }
            Fault::Redeliver(at) => self.redeliver(at),
            Fault::CrashRelay => {
                self.outbox.iter_mut().flatten().find(|row| row.is_published)?.is_published = false;
                self.sort_outbox();
                Some(())
            }
            Fault::TakeDatabaseAway => {
                only_if(!self.is_away)?;
                self.is_away = true;
                Some(())
            }
        }
    }

    /// End a fault; `None` if there is none.
    pub(crate) fn recover(&mut self, recovery: Recovery) -> Option<()> {
        let has_stopped = match recovery {
            Recovery::ResumeWorker(at) => &mut self.workers[at].is_paused,
            Recovery::ResumeMaintenance => &mut self.maintenance.is_paused,
            Recovery::ReturnDatabase => &mut self.is_away,
        };
        only_if(std::mem::take(has_stopped))
    }

    /// Handle a request; `None` if the job's state does not permit it. The clock of the API is that
    /// of the database.
    pub(crate) fn request(
        &mut self,
        protocol: &Protocol,
        request: Request,
        commit: Commit,
    ) -> Option<()> {
        let row = self.row?;
        let fence = row.fence + 1;
        let change = match request {
            Request::Cancel => {
                let state = Transition::cancel(row.state)?.to();
                Change { row: Some(Row { fence, ..row.ended(state, protocol) }), message: None }
            }
            Request::Delete => {
                only_if(row.state.is_final())?;
                Change { row: None, message: None }
            }
            Request::Requeue => {
                only_if(protocol.removes_files() && row.state == Transition::REQUEUE.from())?;
                only_if(!row.is_removed && row.retention > 0)?;
                let state = Transition::REQUEUE.to();
                let requeued = Row { state, fence, retention: 0, ..row.invited_in(0) };
                Change { row: Some(requeued), message: Some(0) }
            }
        };
        self.transact(protocol, Party::User, change, commit)
    }

    /// Let one tick pass. Workers that run renew their leases, and the reaper looks at them.
    pub(crate) fn tick(&mut self, protocol: &Protocol) {
        let mut rows: [Option<&mut Row>; 2] =
            [self.row.as_mut(), self.doubt.as_mut().and_then(|doubt| doubt.change.row.as_mut())];
        for row in rows.iter_mut().flatten() {
            **row = row.after_tick(protocol);
        }
        let error = protocol.bounds.clock_error;
        let in_doubt = self.doubt.as_mut().and_then(|doubt| doubt.change.message.as_mut());
        let outbox = self.outbox.iter_mut().flatten().map(|row| &mut row.due);
        for due in outbox.chain(in_doubt) {
            *due = (*due - 1).max(-error);
        }
        self.sort_outbox();
        for at in 0..self.workers.len() {
            if self.workers[at].phase.renews() {
                self.renew(protocol, at);
            }
        }
        self.observe_lease();
    }

    /// Let a worker renew its lease, or notice that it is lost.
    fn renew(&mut self, protocol: &Protocol, at: usize) {
        let is_locked = self.is_locked(protocol);
        let worker = &mut self.workers[at];
        if worker.is_paused || is_locked {
            worker.renewal = Renewal::Hindered;
            return;
        }
        if self.is_away {
            if worker.renewal == Renewal::Done {
                worker.renewal = Renewal::Failed;
            }
            return;
        }
        match &mut self.row {
            Some(row) if row.is_held_by(worker.fence) => {
                row.lease = Some(LEASE + worker.clock);
                worker.renewal = Renewal::Done;
                self.maintenance.forget_lease(protocol);
            }
            _ => worker.lose(),
        }
    }

    fn crash(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].phase != Phase::Idle)?;
        self.requeue(at);
        self.workers[at] = Worker::idle(self.workers[at].clock);
        Some(())
    }

    fn pause_worker(&mut self, at: usize) -> Option<()> {
        let worker = &mut self.workers[at];
        only_if(!worker.is_paused && worker.phase != Phase::Idle)?;
        worker.is_paused = true;
        Some(())
    }

    fn lose_messages(&mut self) -> Option<()> {
        only_if(self.messages() > 0)?;
        self.ready = 0;
        for worker in &mut self.workers {
            worker.holds_message = false;
        }
        Some(())
    }

    fn redeliver(&mut self, at: usize) -> Option<()> {
        only_if(self.workers[at].holds_message)?;
        self.workers[at].holds_message = false;
        self.ready += 1;
        Some(())
    }
}
