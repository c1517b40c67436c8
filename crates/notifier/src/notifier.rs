//! The notifier: listener and delivery side by side.

use std::sync::Arc;

use broker::Broker;
use database::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::delivery::{Delivery, initialize_counters};
use crate::mail::Sender;
use crate::mailer::Mailer;
use crate::outcomes::OutcomeListener;

/// Notifies users of the outcomes of their jobs.
pub struct Notifier {
    pub(crate) listener: OutcomeListener,
    delivery: Delivery,
}

impl Notifier {
    /// Notifier whose mails are from `sender` and link to the page at `public_url`.
    #[must_use]
    pub fn new(
        database: Database,
        broker: Arc<dyn Broker>,
        mailer: Arc<dyn Mailer>,
        sender: Sender,
        public_url: &Url,
    ) -> Self {
        let page_url = format!("{}/", public_url.as_str().trim_end_matches('/'));
        let new_mail = Arc::new(Notify::new());
        Self {
            listener: OutcomeListener {
                database: database.clone(),
                broker,
                new_mail: Arc::clone(&new_mail),
            },
            delivery: Delivery { database, mailer, sender, page_url, new_mail },
        }
    }

    /// Run until `stop` is cancelled. Mails that are being sent are still completed, which takes at
    /// most [`smtp::MAX_DURATION`](crate::smtp::MAX_DURATION).
    pub async fn run(self, stop: CancellationToken) {
        initialize_counters();
        tokio::join!(stop.run_until_cancelled(self.listener.run()), self.delivery.run(&stop));
    }
}
