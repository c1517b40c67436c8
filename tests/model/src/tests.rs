//! Explorations. Each prints what it found; `cargo test --package model -- --nocapture` shows it.

use std::time::Instant;

use crate::explorer::{Exploration, explore};
use crate::rules::{Bounds, FaultKind, NotDue, Protocol, Rule, Start, Violation};

/// A new job while there are no others. Nothing fails but the clocks, which each process knows
/// within half a minute.
const QUIET: Bounds =
    Bounds { start: Start::Accepted, clock_error: 1, faults: 0, kinds: &[], is_busy: false };

/// The same while other jobs keep the workers busy.
const BUSY: Bounds = Bounds { is_busy: true, ..QUIET };

/// A failed job whose files expire.
const EXPIRING: Bounds = Bounds { start: Start::Failed, ..QUIET };

/// Bounds with a number of faults, each of one of these kinds.
const fn with(faults: u8, kinds: &'static [FaultKind], bounds: Bounds) -> Bounds {
    Bounds { faults, kinds, ..bounds }
}

/// Bounds in which all clocks agree.
const fn exact(bounds: Bounds) -> Bounds {
    Bounds { clock_error: 0, ..bounds }
}

/// Bounds in which each process has its own clock, two minutes ahead or behind.
const fn with_own_clocks(bounds: Bounds) -> Bounds {
    Bounds { clock_error: 4, ..bounds }
}

/// Protocol without a rule.
fn without(rule: Rule, bounds: Bounds) -> Protocol {
    Protocol::new(bounds).without(rule)
}

/// Explore a protocol, and print the result.
fn explored(protocol: &Protocol) -> Exploration<Violation> {
    let started = Instant::now();
    let found = explore(protocol);
    let seconds = started.elapsed().as_secs_f64();
    let Protocol { rules, not_due, bounds, .. } = protocol;
    println!("\n{rules:?}, {not_due:?}, {bounds:?}\n{seconds:.1} s, {found}");
    found
}

/// Explore a protocol, print the result, and return the violation that was found.
fn violation(protocol: &Protocol) -> Option<Violation> {
    explored(protocol).counterexample.map(|found| found.violation)
}

#[track_caller]
fn assert_holds(bounds: Bounds) {
    assert_eq!(violation(&Protocol::new(bounds)), None);
}

#[test]
fn two_faults_of_any_kind_violate_nothing() {
    let found = explored(&Protocol::new(with(2, FaultKind::ALL, QUIET)));
    assert!(found.counterexample.is_none());
    // Every other action is possible at some time.
    assert_eq!(
        found.unused,
        [
            "worker A receives a message of another job",
            "worker A claims another job and processes it",
            "worker B receives a message of another job",
            "worker B claims another job and processes it",
            "maintenance finds that the files of the job have expired",
            "maintenance finds that the files of the job have expired; the COMMIT stalls",
            "maintenance deletes all files of the job",
            "an operator requeues the job",
            "an operator requeues the job; the COMMIT stalls",
        ]
    );
}

#[test]
fn two_faults_of_any_kind_violate_nothing_while_other_jobs_run() {
    assert_holds(with(2, FaultKind::ALL, BUSY));
}

#[test]
fn three_faults_of_processes_and_commits_violate_nothing() {
    let kinds = &[FaultKind::Crash, FaultKind::Pause, FaultKind::Stall];
    assert_holds(with(3, kinds, exact(QUIET)));
}

#[test]
fn three_faults_of_messages_violate_nothing() {
    let kinds =
        &[FaultKind::Failure, FaultKind::Loss, FaultKind::Repetition, FaultKind::RelayCrash];
    assert_holds(with(3, kinds, BUSY));
}

#[test]
fn removal_of_expired_files_violates_nothing() {
    let found = explored(&Protocol::new(with(1, FaultKind::ALL, EXPIRING)));
    assert!(found.counterexample.is_none());
    // Every other action is possible at some time.
    assert_eq!(
        found.unused,
        [
            "worker A receives a message of another job",
            "worker A claims another job and processes it",
            "worker A records its failure; the COMMIT stalls",
            "worker B receives a message of another job",
            "worker B claims another job and processes it",
            "worker B records its failure; the COMMIT stalls",
            "maintenance reaps the lease; the COMMIT stalls",
        ],
        "these need other jobs, or two faults"
    );
}

/// The other rules do not rely on clocks that agree: they only delay.
#[test]
fn clocks_of_machines_violate_nothing() {
    assert_holds(with_own_clocks(with(1, FaultKind::ALL, QUIET)));
    assert_holds(with_own_clocks(with(1, FaultKind::ALL, BUSY)));
}

/// The COMMIT of a finished job stalls until its worker has given up the lease.
#[test]
fn inferring_loss_from_silence_deletes_an_archive() {
    let protocol = without(Rule::ProvenLoss, with(1, &[FaultKind::Stall], QUIET));
    assert_eq!(violation(&protocol), Some(Violation::ArchiveDeleted));
}

/// The relay is ahead of the worker, and publishes a message that the worker finds too early.
#[test]
fn acknowledging_messages_that_are_not_due_loses_a_job() {
    let mut protocol = without(Rule::AnyMessage, with(1, &[FaultKind::Failure], BUSY));
    protocol.not_due = NotDue::Acknowledge;
    assert_eq!(violation(&protocol), Some(Violation::LostJob));
    // The row in the outbox may be that of the message itself, published but not yet deleted.
    protocol.not_due = NotDue::WriteBackUnlessPresent;
    assert_eq!(violation(&protocol), Some(Violation::LostJob));
    for not_due in [NotDue::WriteBack, NotDue::WriteBackUnlessWaiting] {
        protocol.not_due = not_due;
        assert_eq!(violation(&protocol), None);
    }
}

/// Another job's message is in the queue whenever the maintenance looks, and leads to that job.
#[test]
fn claiming_only_the_job_of_the_message_loses_a_job() {
    let protocol = without(Rule::AnyMessage, with(1, &[FaultKind::Loss], BUSY));
    assert_eq!(violation(&protocol), Some(Violation::LostJob));
}

#[test]
fn comparing_clocks_of_machines_reaps_a_live_lease() {
    let protocol = without(Rule::ObservedLeases, with_own_clocks(QUIET));
    assert_eq!(violation(&protocol), Some(Violation::LiveLeaseReaped));
}

/// After an outage, the reaper may be the first to reach the database.
#[test]
fn counting_an_outage_of_the_database_reaps_a_live_lease() {
    let protocol = without(Rule::ObservedLeases, with(1, &[FaultKind::Outage], exact(QUIET)));
    assert_eq!(violation(&protocol), Some(Violation::LiveLeaseReaped));
}

/// A renewal stalls until the reaper has given the worker up, and takes effect before the reaper
/// acts.
#[test]
fn reaping_a_lease_that_has_changed_reaps_a_live_one() {
    let protocol = without(Rule::UnchangedLease, with(1, &[FaultKind::Stall], exact(QUIET)));
    assert_eq!(violation(&protocol), Some(Violation::LiveLeaseReaped));
}

/// Another fence would not prove loss if the COMMIT of an earlier claim could still take effect.
#[test]
fn outcomes_without_a_fence_delete_an_archive() {
    let kinds = &[FaultKind::Pause, FaultKind::Stall];
    let protocol = without(Rule::Fences, with(2, kinds, QUIET));
    assert_eq!(violation(&protocol), Some(Violation::ArchiveDeleted));
}

/// Nor would it if another transaction could raise the fence before that COMMIT has ended.
#[test]
fn transactions_without_row_locks_give_two_results_and_delete_an_archive() {
    let mut protocol = without(Rule::RowLocks, with(1, &[FaultKind::Stall], QUIET));
    for expected in [Violation::TwoResults, Violation::ArchiveDeleted] {
        protocol.sought = Some(expected);
        assert_eq!(violation(&protocol), Some(expected));
    }
}

/// The maintenance reads that a failed job has expired, and an operator whose clock is behind
/// requeues it before its files are deleted.
#[test]
fn removing_files_before_the_row_says_so_deletes_those_of_a_requeued_job() {
    let mut protocol = without(Rule::MarkedRemoval, EXPIRING);
    for expected in [Violation::VideoDeleted, Violation::ArchiveDeleted] {
        protocol.sought = Some(expected);
        assert_eq!(violation(&protocol), Some(expected));
    }
    // With equal clocks, a COMMIT that stalls has the same effect.
    protocol.bounds = with(1, &[FaultKind::Stall], exact(EXPIRING));
    assert_eq!(violation(&protocol), Some(Violation::ArchiveDeleted));
}
