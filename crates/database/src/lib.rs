//! Rows and transactions, on PostgreSQL or SQLite. The database holds the state of every job;
//! messages and files follow it.
//!
//! Each module holds the transactions of one topic: [`users`], [`sessions`], [`second_factor`] and
//! [`keys`], the [`account_mails`] with their links ([`confirmations`], [`password_resets`],
//! [`address_changes`]), [`accept`] for uploads and [`resumable_uploads`], [`quotas`], [`claim`],
//! [`sources`], [`attempt`] and [`renewal`] for workers, [`cancel`], [`reading`] and [`shares`] for
//! users, the [`outbox`], [`notifications`] with the [`mail_choice`] of users and
//! [`unsubscribing`], [`webhooks`] with their [`webhook_delivery`], [`operator`] requests,
//! [`counters`], [`chores`], [`recovery`], [`retention`], [`history`], [`account_deletion`] and
//! [`account_export`].
//! [`jobs::Transition`] decides which changes of state are legal, and a trigger of the database
//! rejects all others.

// In dependency order: a module uses only modules above it.
mod error;
mod rows;
mod bounded;
mod connection;
mod job;
mod change;
pub mod mail_choice;
pub mod quarantine;
pub mod outbox;
mod rounds;
mod queue;
pub mod counters;
pub mod chores;
pub mod account_mails;
pub mod account_tokens;
pub mod users;
pub mod sessions;
pub mod second_factor;
pub mod keys;
pub mod account_mail_delivery;
pub mod webhooks;
pub mod webhook_events;
pub mod webhook_delivery;
pub mod webhook_log;
pub mod confirmations;
pub mod password_resets;
pub mod address_changes;
pub mod reading;
pub mod shares;
pub mod uploads;
pub mod accept;
pub mod unsubscribing;
pub mod notifications;
pub mod claim;
pub mod quotas;
pub mod resumable_uploads;
pub mod sources;
pub mod attempt;
pub mod renewal;
pub mod cancel;
pub mod operator;
pub mod recovery;
pub mod retention;
pub mod history;
pub mod account_deletion;
pub mod account_export;
#[cfg(test)]
mod conformance;

pub use connection::{Database, Quotas, Rules, SQLITE_READERS};
pub use error::Error;
pub use job::{Job, VideoSource};
