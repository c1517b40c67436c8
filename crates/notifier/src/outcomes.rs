//! Listener for the outcomes of jobs: records in the database which users have to be notified.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Delivery, Error, Queue};
use database::Database;
use jobs::Backoff;
use jobs::backoff::jittered;
use jobs::message::Event;
use tokio::sync::Notify;
use tracing::{Instrument, Span, field, info, info_span, warn};

/// Number of messages that the broker delivers in advance. They are handled one after another.
const PREFETCH: u16 = 16;

/// Pauses while the broker fails.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// Maximum pause before a message is requeued because the database failed: avoids a busy loop and a
/// long wait after a restart of the database.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);

/// Listens to the outcomes of jobs.
pub(crate) struct OutcomeListener {
    pub database: Database,
    pub broker: Arc<dyn Broker>,
    /// Notified when a new mail is due.
    pub new_mail: Arc<Notify>,
    /// Notified when a new event of a webhook is due.
    pub new_event: Arc<Notify>,
}

impl OutcomeListener {
    /// Record outcomes; never returns. The future may be dropped at any time: the broker delivers
    /// unsettled messages again, and recording an outcome twice is harmless.
    pub(crate) async fn run(&self) {
        let mut failures = 0_u32;
        loop {
            let Err(error) = self.listen(&mut failures).await;
            failures = failures.saturating_add(1);
            let pause = BACKOFF.pause(failures, rand::random());
            warn!(
                %error,
                pause_s = pause.as_secs_f64(),
                "cannot receive outcomes from the broker; subscribing again after a pause"
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// Record outcomes until the broker fails. Resets `failures` with each message.
    async fn listen(&self, failures: &mut u32) -> Result<Infallible, Error> {
        let mut subscription = self.broker.subscribe(Queue::Notification, PREFETCH).await?;
        loop {
            let delivery = subscription.next().await?;
            *failures = 0;
            self.record(delivery).await?;
        }
    }

    /// Record one outcome and settle its message. Errors are the broker's.
    pub(crate) async fn record(&self, delivery: Delivery) -> Result<(), Error> {
        let event = &delivery.message.event;
        let span = info_span!(
            "outcome",
            job_id = %event.job_id(),
            user_id = %event.user_id(),
            traceparent = delivery.traceparent.as_deref(),
            queue = %Queue::Notification,
            message_id = %delivery.message.event_id,
            error_code = field::Empty,
        );
        self.record_in_span(delivery).instrument(span).await
    }

    async fn record_in_span(&self, delivery: Delivery) -> Result<(), Error> {
        let event = &delivery.message.event;
        if let Event::Created(_) = event {
            warn!("received a message for workers; it is rejected");
            return delivery.reject().await;
        }
        match self.create_rows(event).await {
            Ok(()) => {
                info!(outcome = event.name(), "outcome recorded");
                self.new_mail.notify_one();
                self.new_event.notify_one();
                delivery.ack().await
            }
            Err(error) => {
                Span::current().record("error_code", "DATABASE_UNAVAILABLE");
                warn!(%error, "cannot record an outcome; its message is requeued");
                tokio::time::sleep(jittered(DATABASE_PAUSE, rand::random())).await;
                delivery.requeue().await
            }
        }
    }

    /// Create what a program of an earlier version does not create with the outcome.
    async fn create_rows(&self, event: &Event) -> Result<(), database::Error> {
        let (id, name) = (event.job_id(), event.name());
        // No mails are sent to users about their own actions.
        if matches!(event, Event::Completed(_) | Event::Failed(_)) {
            self.database.create_notification(id, name).await?;
        }
        self.database.create_webhook_deliveries(id, name).await
    }
}
