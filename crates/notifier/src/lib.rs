//! Notifier: tells users the outcomes of their jobs, by mail and by webhook, and sends mails about
//! accounts.
//!
//! Loops run side by side and exchange data through the database only. The `outcomes` listener
//! receives the outcomes of jobs from the broker, which wake the others. Each `channel` delivers
//! the rows that are due. The `mail_channel` renders the `text` of an outcome, the `digest_text` of
//! several and the `account_text`
//! of mails about accounts, composes a `mail` and sends it by [`smtp`], or writes it to a file
//! ([`files`]). The `webhook_channel` signs the events of jobs (`signature`) and sends them to the
//! URLs of users. A failing mail server or receiver delays neither jobs nor the other loops.

// In dependency order: a module uses only modules above it.
mod error;
mod text;
mod digest_text;
mod account_words;
mod account_text;
mod mail;
mod mailer;
pub mod smtp;
pub mod files;
mod channel;
mod due;
mod mail_channel;
mod signature;
mod retries;
mod webhook_channel;
mod outcomes;
mod notifier;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use mail::{Mail, Sender};
pub use mailer::Mailer;
pub use notifier::Notifier;
