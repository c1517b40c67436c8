//! The notifier: listener and channels side by side.

use std::sync::Arc;

use broker::Broker;
use database::Database;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::channel::{self, Channel};
use crate::mail::Sender;
use crate::mail_channel::MailChannel;
use crate::mailer::Mailer;
use crate::outcomes::OutcomeListener;
use crate::webhook_channel::WebhookChannel;

/// Notifies users of the outcomes of their jobs.
pub struct Notifier {
    pub(crate) listener: OutcomeListener,
    mails: Arc<MailChannel>,
    webhooks: Arc<WebhookChannel>,
}

impl Notifier {
    /// Notifier whose mails are from `sender` and link to the page at `public_url`, and whose
    /// webhooks are sent by `client`.
    #[must_use]
    pub fn new(
        database: Database,
        broker: Arc<dyn Broker>,
        mailer: Arc<dyn Mailer>,
        sender: Sender,
        client: egress::Client,
        public_url: &Url,
    ) -> Self {
        let page_url = format!("{}/", public_url.as_str().trim_end_matches('/'));
        let (new_mail, new_event) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let listener = OutcomeListener {
            database: database.clone(),
            broker,
            new_mail: Arc::clone(&new_mail),
            new_event: Arc::clone(&new_event),
        };
        let webhooks = WebhookChannel::new(database.clone(), client, new_event);
        let mails = MailChannel { database, mailer, sender, page_url, new_mail };
        Self { listener, mails: Arc::new(mails), webhooks: Arc::new(webhooks) }
    }

    /// Run until `stop` is cancelled. What is being sent is still completed, which takes at most
    /// [`smtp::MAX_DURATION`](crate::smtp::MAX_DURATION).
    pub async fn run(self, stop: CancellationToken) {
        self.mails.initialize_counters();
        self.webhooks.initialize_counters();
        tokio::join!(
            stop.run_until_cancelled(self.listener.run()),
            channel::run(self.mails, &stop),
            channel::run(self.webhooks, &stop),
        );
    }
}
