//! Words for states and actions, in which a counterexample is printed.

use std::fmt::{self, Display};

use crate::delivery::{Action, Step};
use crate::environment::{Fault, Recovery, Request};
use crate::maintenance::Chore;
use crate::rules::TICK;
use crate::system::{Outgoing, Party, Renewal, Row, System, Worker};
use crate::transaction::{Commit, End};
use crate::worker::WorkerStep;

impl Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            Step::Tick => formatter.write_str("half a minute passes; attempts renew their leases"),
            Step::Work(at, step) => write!(formatter, "worker {} {}", name(at), step_words(step)),
            Step::Maintain(chore) => write!(formatter, "maintenance {}", chore_words(chore)),
            Step::Ask(request) => formatter.write_str(match request {
                Request::Cancel => "the user cancels the job",
                Request::Delete => "the user deletes the job",
                Request::Requeue => "an operator requeues the job",
            }),
            Step::EndDoubt(end) => formatter.write_str(match end {
                End::Committed => "the COMMIT in doubt takes effect and is answered",
                End::CommittedUnanswered => "the COMMIT in doubt takes effect without an answer",
                End::Aborted => "the transaction in doubt is lost in a crash of the server",
            }),
            Step::Recover(Recovery::ResumeWorker(at)) => {
                write!(formatter, "worker {} continues", name(at))
            }
            Step::Recover(Recovery::ResumeMaintenance) => {
                formatter.write_str("maintenance continues")
            }
            Step::Recover(Recovery::ReturnDatabase) => formatter.write_str("the database is back"),
            Step::Suffer(fault) => write_fault(fault, formatter),
        }?;
        match self.commit {
            Commit::Answered => Ok(()),
            Commit::Stalled => formatter.write_str("; the COMMIT stalls"),
        }
    }
}

/// Name of a worker.
const fn name(at: usize) -> char {
    if at == 0 { 'A' } else { 'B' }
}

const fn step_words(step: WorkerStep) -> &'static str {
    match step {
        WorkerStep::Receive => "receives a message",
        WorkerStep::ReceiveOther => "receives a message of another job",
        WorkerStep::Claim => "claims the job",
        WorkerStep::ClaimOther => "claims another job and processes it",
        WorkerStep::Renew => "renews its lease",
        WorkerStep::Store => "completes its archive in the store",
        WorkerStep::RecordFailure => "records its failure",
        WorkerStep::Finish => "finishes the job",
        WorkerStep::Release => "releases the job, because it has to stop",
        WorkerStep::GiveUp => "gives up, because it could not renew its lease",
        WorkerStep::ReadLostJob => "reads the row, to decide about its archive",
        WorkerStep::Discard => "deletes its archive",
        WorkerStep::Acknowledge => "acknowledges the message",
    }
}

const fn chore_words(chore: Chore) -> &'static str {
    match chore {
        Chore::Publish => "publishes a message of the outbox",
        Chore::DeletePublished => "deletes the published message from the outbox",
        Chore::FindExpiredLease => "finds that the lease has expired",
        Chore::Reap => "reaps the lease",
        Chore::Invite => "invites the job again",
        Chore::FindOrphans => "finds archives without a row",
        Chore::DeleteOrphans => "deletes the archives that it found",
        Chore::Expire => "finds that the files of the job have expired",
        Chore::RemoveFiles => "deletes all files of the job",
    }
}

fn write_fault(fault: Fault, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match fault {
        Fault::Crash(at) => write!(formatter, "worker {} is killed and starts again", name(at)),
        Fault::PauseWorker(at) => write!(formatter, "worker {} is paused", name(at)),
        Fault::PauseMaintenance => formatter.write_str("maintenance is paused"),
        Fault::FailAttempt(at) => write!(formatter, "the attempt of worker {} fails", name(at)),
        Fault::LoseMessages => formatter.write_str("the broker loses all messages"),
        Fault::Duplicate => formatter.write_str("the broker duplicates a message"),
        Fault::Redeliver(at) => {
            write!(formatter, "the broker redelivers the message of worker {}", name(at))
        }
        Fault::CrashRelay => {
            formatter.write_str("the relay is killed before it deletes the published message")
        }
        Fault::TakeDatabaseAway => formatter.write_str("the database goes away"),
    }
}

/// The alternate form includes the clocks, which do not change.
impl Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = vec![row_words(self.row)];
        if formatter.alternate() {
            parts.push(self.clocks());
        }
        if let Some(doubt) = self.doubt {
            let by = match doubt.by {
                Party::Worker(at) => format!("worker {}", name(at)),
                Party::Maintenance => "maintenance".to_owned(),
                Party::User => "a request".to_owned(),
            };
            parts.push(format!("in doubt by {by}: {}", row_words(doubt.change.row)));
        }
        if self.is_away {
            parts.push("no database".to_owned());
        }
        for Outgoing { due, is_published } in self.outbox.iter().flatten() {
            let published = if *is_published { ", published" } else { "" };
            parts.push(format!("outbox: due {}{published}", time(*due)));
        }
        if self.ready > 0 {
            parts.push(format!("queue: {}", self.ready));
        }
        let is_busy = |worker: &Worker| *worker != Worker::idle(worker.clock);
        for (at, worker) in self.workers.iter().enumerate().filter(|(_, worker)| is_busy(worker)) {
            parts.push(format!("{}: {}", name(at), worker_words(*worker)));
        }
        parts.extend(self.maintenance_words());
        let archives: Vec<_> = (0..8).filter(|fence| self.archives & (1 << fence) != 0).collect();
        if !archives.is_empty() {
            parts.push(format!("archives: {archives:?}"));
        }
        if !self.has_video {
            parts.push("no video".to_owned());
        }
        formatter.write_str(&parts.join(" | "))
    }
}

impl System {
    fn clocks(&self) -> String {
        let [first, second] = self.workers.map(|worker| seconds(worker.clock));
        let maintenance = seconds(self.maintenance.clock);
        format!("clocks: A {first:+} s, B {second:+} s, maintenance {maintenance:+} s")
    }

    fn maintenance_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.maintenance.is_paused {
            words.push("maintenance paused".to_owned());
        }
        if let Some(ticks) = self.maintenance.observed {
            words.push(format!("lease seen unchanged for {} s", seconds(ticks)));
        }
        words
    }
}

fn worker_words(worker: Worker) -> String {
    let mut parts = vec![format!("{:?}", worker.phase).to_lowercase()];
    if worker.fence > 0 {
        parts.push(format!("fence {}", worker.fence));
    }
    for (is_set, words) in [
        (worker.holds_message, "message unacknowledged"),
        (worker.renewal != Renewal::Done, "lease not renewed"),
        (worker.is_paused, "paused"),
    ] {
        if is_set {
            parts.push(words.to_owned());
        }
    }
    parts.join(", ")
}

fn row_words(row: Option<Row>) -> String {
    let Some(row) = row else { return "no row".to_owned() };
    let mut parts = vec![row.state.to_string()];
    for (number, word) in [(row.attempt, "attempt"), (row.fence, "fence")] {
        if number > 0 {
            parts.push(format!("{word} {number}"));
        }
    }
    if let Some(lease) = row.lease {
        parts.push(format!("lease ends {}", time(lease)));
    }
    if row.is_waiting() {
        parts.push(format!("due {}, invited {}", time(row.due), time(-row.invited)));
    }
    if let Some(fence) = row.archive {
        parts.push(format!("archive {fence}"));
    }
    if row.is_removed {
        parts.push("files removed".to_owned());
    }
    parts.join(", ")
}

/// Time relative to now, by the database's clock.
fn time(ticks: i8) -> String {
    match seconds(ticks) {
        0 => "now".to_owned(),
        ahead @ 1.. => format!("in {ahead} s"),
        ago => format!("{} s ago", -ago),
    }
}

fn seconds(ticks: i8) -> i64 {
    i64::from(ticks) * TICK.as_secs() as i64
}
