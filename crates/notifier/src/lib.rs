//! Notifier: sends a mail about the outcome of each job to its user, and mails about accounts.
//!
//! Two loops run side by side and exchange data through the database only. The `outcomes` listener
//! receives the outcomes of jobs from the broker and records notifications. The `delivery` renders
//! the `text` of due notifications and the `account_text` of mails about accounts, composes a
//! `mail` and sends it by [`smtp`], or writes it to a file ([`files`]). A failing mail server
//! delays neither jobs nor the first loop.

// In dependency order: a module uses only modules above it.
mod error;
mod text;
mod account_words;
mod account_text;
mod mail;
mod mailer;
pub mod smtp;
pub mod files;
mod due;
mod delivery;
mod outcomes;
mod notifier;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use mail::{Mail, Sender};
pub use mailer::Mailer;
pub use notifier::Notifier;
