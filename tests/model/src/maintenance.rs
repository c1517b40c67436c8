//! Steps of the maintenance: the relay, the reaper, the search for lost messages, and the sweep.

use jobs::{FailureCode, State};

use crate::rules::{LEASE, LOST_AFTER, Protocol, Rule, Violation};
use crate::system::{Change, Outgoing, Party, Renewal, Row, System, Worker};
use crate::transaction::{Commit, only_if};

/// Step of the maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Publish the first message of the outbox that is due.
    Publish,
    /// Delete a message from the outbox that the broker has confirmed.
    DeletePublished,
    /// Find the attempt whose lease has expired.
    FindExpiredLease,
    /// Fail that attempt.
    Reap,
    /// Invite the job again, because its message is lost.
    Invite,
    /// Look for archives that the row does not refer to.
    FindOrphans,
    /// Delete them.
    DeleteOrphans,
    /// Expire the job whose files are not kept anymore.
    Expire,
    /// Delete all files of the expired job.
    RemoveFiles,
}

impl Chore {
    /// All steps.
    pub(crate) const ALL: [Self; 9] = [
        Self::Publish,
        Self::DeletePublished,
        Self::FindExpiredLease,
        Self::Reap,
        Self::Invite,
        Self::FindOrphans,
        Self::DeleteOrphans,
        Self::Expire,
        Self::RemoveFiles,
    ];
}

impl System {
    /// Take a step of the maintenance; `None` if it is not possible.
    pub(crate) fn maintain(
        &mut self,
        protocol: &Protocol,
        chore: Chore,
        commit: Commit,
    ) -> Option<()> {
        only_if(!self.maintenance.is_paused)?;
        match chore {
            Chore::Publish => self.publish(),
            Chore::DeletePublished => self.delete_published(),
            Chore::FindExpiredLease => self.find_expired_lease(protocol),
            Chore::Reap => self.reap(protocol, commit),
            Chore::Invite => self.invite(protocol),
            Chore::FindOrphans => self.find_orphans(),
            Chore::DeleteOrphans => self.delete_orphans(),
            Chore::Expire => self.expire(protocol, commit),
            Chore::RemoveFiles => self.remove_files(protocol),
        }
    }

    /// A relay deletes what it has published before it publishes more.
    fn publish(&mut self) -> Option<()> {
        self.reads()?;
        let clock = self.maintenance.clock;
        only_if(!self.outbox.iter().flatten().any(|row| row.is_published))?;
        self.outbox.iter_mut().flatten().find(|row| row.due <= clock)?.is_published = true;
        self.sort_outbox();
        self.ready += 1;
        Some(())
    }

    fn delete_published(&mut self) -> Option<()> {
        self.reads()?;
        let is_published = |row: &&mut Option<Outgoing>| row.is_some_and(|row| row.is_published);
        *self.outbox.iter_mut().find(is_published)? = None;
        self.sort_outbox();
        Some(())
    }

    /// Decide, from a read that waits for no lock, to reap a lease that has expired.
    fn find_expired_lease(&mut self, protocol: &Protocol) -> Option<()> {
        self.reads()?;
        only_if(self.maintenance.reaping.is_none())?;
        let row = self.row.filter(|row| row.state == State::Processing)?;
        only_if(row.lease? <= self.maintenance.clock)?;
        if protocol.has(Rule::ObservedLeases) {
            only_if(self.maintenance.observed? >= LEASE)?;
        }
        self.maintenance.reaping = Some(row.fence);
        Some(())
    }

    /// The update has no effect if the attempt has ended, or if the lease has changed.
    fn reap(&mut self, protocol: &Protocol, commit: Commit) -> Option<()> {
        let fence = self.maintenance.reaping?;
        let Some(row) = self.row.filter(|row| row.is_held_by(fence)) else {
            only_if(commit == Commit::Answered)?;
            self.writes(protocol)?;
            self.maintenance.reaping = None;
            return Some(());
        };
        let change = row.failed(protocol, FailureCode::WorkerLost, self.maintenance.clock);
        self.transact(protocol, Party::Maintenance, change, commit)?;
        self.maintenance.reaping = None;
        let is_blameless = |worker: &Worker| {
            let is_running = worker.phase.renews() && !worker.is_paused;
            is_running && worker.renewal != Renewal::Hindered && row.fence == worker.fence
        };
        if self.workers.iter().any(is_blameless) {
            self.violation = Some(Violation::LiveLeaseReaped);
        }
        Some(())
    }

    fn invite(&mut self, protocol: &Protocol) -> Option<()> {
        let clock = self.maintenance.clock;
        let row = self.row.filter(Row::is_waiting)?;
        only_if(self.outbox.iter().all(Option::is_none) && row.due <= clock)?;
        only_if(row.invited + clock >= LOST_AFTER)?;
        // Only while the queue is empty.
        only_if(!protocol.bounds.is_busy && self.messages() == 0)?;
        let change = Change { row: Some(row.invited_in(clock)), message: Some(clock) };
        self.transact(protocol, Party::Maintenance, change, Commit::Answered)
    }

    /// The answers of store and database are combined later than they were given.
    fn find_orphans(&mut self) -> Option<()> {
        self.reads()?;
        let orphans = self.archives & !self.archives_in_use();
        only_if(orphans != 0 && orphans != self.maintenance.orphans)?;
        self.maintenance.orphans = orphans;
        Some(())
    }

    fn delete_orphans(&mut self) -> Option<()> {
        only_if(self.maintenance.orphans != 0)?;
        self.archives &= !self.maintenance.orphans;
        self.maintenance.orphans = 0;
        Some(())
    }

    fn expire(&mut self, protocol: &Protocol, commit: Commit) -> Option<()> {
        only_if(protocol.removes_files() && !self.maintenance.removes_files)?;
        let row = self.row.filter(|row| row.state.is_final() && !row.is_removed)?;
        only_if(row.retention <= self.maintenance.clock)?;
        let state = if row.state == State::Done { State::Expired } else { row.state };
        let is_removed = protocol.has(Rule::MarkedRemoval);
        let expired = Row { state, is_removed, ..row };
        if expired == row {
            self.reads()?;
            only_if(commit == Commit::Answered)?;
        } else {
            let change = Change { row: Some(expired), message: None };
            self.transact(protocol, Party::Maintenance, change, commit)?;
        }
        // Without an answer, the next round finds the job again, or the sweep its files.
        self.maintenance.removes_files = commit == Commit::Answered;
        Some(())
    }

    fn remove_files(&mut self, protocol: &Protocol) -> Option<()> {
        only_if(self.maintenance.removes_files)?;
        self.maintenance.removes_files = false;
        self.archives = 0;
        self.has_video = false;
        let is_writable = self.writes(protocol).is_some();
        if let Some(row) = self.row.as_mut().filter(|_| is_writable) {
            row.is_removed = true;
        }
        Some(())
    }

    /// Look at the lease once per tick. A look that is missed begins the observation anew.
    pub(crate) fn observe_lease(&mut self) {
        let has_lease = self.row.is_some_and(|row| row.lease.is_some());
        let looks = !self.is_away && !self.maintenance.is_paused;
        self.maintenance.observed = (has_lease && looks)
            .then(|| self.maintenance.observed.map_or(0, |ticks| (ticks + 1).min(LEASE)));
    }
}
