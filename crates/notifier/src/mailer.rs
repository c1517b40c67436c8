//! Interface of the mailers.

use async_trait::async_trait;

use crate::error::Error;
use crate::mail::Mail;

/// Sends mails. Sending a mail again is harmless: the receiver recognizes it by its Message-ID, or
/// the file of the same name is replaced.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Send a mail. Takes at most [`smtp::MAX_DURATION`](crate::smtp::MAX_DURATION).
    async fn send(&self, mail: &Mail) -> Result<(), Error>;

    /// Check whether mails can be sent now.
    async fn check(&self) -> Result<(), Error>;
}
