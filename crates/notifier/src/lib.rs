//! Outcome to e-mail.
//!
//! Two loops that know each other only by the database. One listens (`outcomes`) to what the broker
//! says of jobs and notes who has to be told. The other delivers (`delivery`) what is noted: it
//! puts the outcome into words (`letter`), makes a `mail` of them and sends it by [SMTP](smtp), or
//! leaves it in a directory as one of several [files]. A dead mail server holds up neither jobs nor
//! the first loop.

// In the order in which an outcome meets them.
mod outcomes;
mod delivery;
mod letter;
mod mail;
pub mod smtp;
pub mod files;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use broker::Broker;
use database::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

pub use mail::{Error, Mail, Mailer, Sender};

/// Tells users what became of their videos.
pub struct Notifier {
    database: Database,
    broker: Arc<dyn Broker>,
    mailer: Arc<dyn Mailer>,
    sender: Sender,
    /// The page, where users fetch archives. A link to an archive itself would have expired before
    /// most mails are read.
    page: String,
    /// Somebody has to be told of something new.
    noted: Notify,
}

impl Notifier {
    /// A notifier whose mails come from `sender` and link to the page at `public_url`.
    #[must_use]
    pub fn new(
        database: Database,
        broker: Arc<dyn Broker>,
        mailer: Arc<dyn Mailer>,
        sender: Sender,
        public_url: &Url,
    ) -> Self {
        let page = format!("{}/", public_url.as_str().trim_end_matches('/'));
        Self { database, broker, mailer, sender, page, noted: Notify::new() }
    }

    /// Work until `stop` is cancelled. Mails that are being sent then are sent to their end, for at
    /// most [`smtp::LONGEST`].
    pub async fn run(self, stop: CancellationToken) {
        // What appears with 1 has not grown for those who watch its growth.
        for outcome in ["sent", "retried", "failed"] {
            metrics::counter!("fiapx_mails_total", "outcome" => outcome).increment(0);
        }
        tokio::join!(stop.run_until_cancelled(self.listen()), self.deliver(&stop));
    }
}
