//! Model of the delivery of one job, and its exhaustive exploration within small bounds.
//!
//! The [explorer](explore) visits every state that the model can reach, in all interleavings, and
//! finds the shortest way to a [violation](Violation): two results, a lost job, a deleted archive.
//! Each [rule](Rule) of the protocol can be switched off. The tests show that the protocol permits
//! no violation, and that each rule prevents one; `cargo test --package model -- --nocapture`
//! prints the counterexamples.
//!
//! # Contents
//!
//! - The row of one job with state, attempt, fence, lease, due time, time of invitation, archive
//!   and retention. Its transitions are those of [`jobs::Transition`], the number of attempts and
//!   the pauses between them those of [`jobs::retry::RetryPolicy`].
//! - Transactions that lock the row. A COMMIT may stall: its effect is seen later or never, and its
//!   client may give up before, or never learn the result.
//! - The outbox, a relay that publishes each message at least once, and a broker that redelivers,
//!   duplicates, or loses its messages.
//! - Two workers that claim, renew, store, fail, finish, release, lose and discard.
//! - A reaper, the search for lost messages, the sweep, and the removal of expired files.
//! - The store's archives and the video; requests that cancel, delete or requeue the job.
//! - Clocks: time passes in ticks of half a minute, and each process has its own clock.
//! - [Faults](FaultKind) at every step.
//!
//! | Rule | Implementation |
//! |---|---|
//! | [`Rule::ProvenLoss`] | crates/worker/src/attempt.rs, lease.rs |
//! | [`NotDue`] | crates/database/src/claim.rs, queue.rs; crates/worker/src/worker.rs |
//! | [`Rule::AnyMessage`] | crates/database/src/claim.rs; crates/worker/src/worker.rs |
//! | [`Rule::ObservedLeases`] | crates/database/src/recovery.rs; crates/worker/src/maintenance.rs |
//! | [`Rule::UnchangedLease`] | crates/database/src/recovery.rs |
//! | [`Rule::Fences`] | crates/database/src/attempt.rs, change.rs, cancel.rs |
//! | [`Rule::MarkedRemoval`] | crates/database/src/retention.rs, operator.rs |
//! | [`Rule::RowLocks`] | PostgreSQL; SQLite has a single writer |
//! | [`Bounds::clock_error`] | crates/database/src/connection.rs; crates/jobs/src/clock.rs |
//! | relay | crates/worker/src/relay.rs; crates/database/src/outbox.rs |
//! | sweep | crates/database/src/retention.rs; crates/worker/src/maintenance.rs |
//!
//! # Meaning of time
//!
//! A tick is half a minute: a lease lasts two ticks, and the pauses between attempts one and two.
//! Any step may happen at any time, so a worker that does nothing for hours is included. Only
//! renewals follow the clock: with each tick, every worker that runs and reaches the row renews its
//! lease, as the service does 120 times per lease. So a lease that expires has a cause.
//!
//! # Loss
//!
//! A job is lost in a state from which no sequence of fair steps leads to a final state. Fair steps
//! are those of all processes and the ends of faults, not new faults or requests. If a job can be
//! lost, the counterexample ends where nothing happens anymore.
//!
//! # Bounds and abstractions
//!
//! - There are at most two faults of any kind in a run, or three of some kinds. All tests together
//!   visit 3.5 million states, in about a quarter of a minute on one core.
//! - Other jobs are not modelled, but their effect is ([`Bounds::is_busy`]): the queue is never
//!   empty, so the job is not invited again; a worker may receive a message of another job at any
//!   time, and may claim another job because of any message. Each job comes to its turn, because
//!   rounds of the users bound the number of jobs before it (crates/database/src/rounds.rs), so
//!   claiming the job is a fair step.
//! - One worker's clock is ahead by the largest error and the other's is behind; that of the
//!   maintenance is either. Errors do not change during a run.
//! - The sweep ignores the age of archives, and may act on what it read long before.
//! - After the end of the job, its messages are forgotten. They cannot claim it anymore.
//! - One transaction at a time is in doubt.
//! - A worker may give up its lease as soon as it has missed a renewal.
//!
//! # Left out
//!
//! Acceptance, uploads and the removal of unfinished ones; notifications, which follow the outbox
//! like other messages; the restart of a process that has the database for itself; a store that is
//! away; the loss of transactions that took effect (restored backup, standby that was behind).

// In dependency order: a module uses only modules above it.
mod numbering;
mod explorer;
mod rules;
mod system;
mod transaction;
mod worker;
mod maintenance;
mod environment;
mod delivery;
mod words;

pub use delivery::Action;
pub use explorer::{Counterexample, Exploration, Goal, Model, explore};
pub use rules::{Bounds, FaultKind, NotDue, Protocol, Rule, Rules, Start, Violation};
pub use system::System;

#[cfg(test)]
mod tests;
