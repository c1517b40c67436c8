//! Rows and transactions, on PostgreSQL or SQLite. The database is the truth about every job;
//! messages and files follow it.
//!
//! Each module is one thing that happens to a job or a user, as one transaction: [`users`],
//! [`sessions`], [`accept`] an upload, [`outbox`], an [`attempt`] of a worker from claim to finish,
//! [`cancel`], [`reading`] for users, [`notifications`], [`recovery`], [`retention`], and what an
//! [`operator`] does. What may follow what is decided by [`jobs::Transition`] and refused by a
//! trigger of the database besides.

// In the order in which a job meets them.
mod connection;
mod rows;
mod job;
pub mod users;
pub mod sessions;
pub mod accept;
pub mod outbox;
pub mod attempt;
pub mod cancel;
pub mod reading;
pub mod notifications;
pub mod recovery;
pub mod retention;
pub mod operator;
mod error;
#[cfg(test)]
mod conformance;

pub use connection::{Database, Rules};
pub use error::Error;
pub use job::Job;
