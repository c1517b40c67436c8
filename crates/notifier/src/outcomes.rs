//! What the broker says of jobs, noted in the database.

use std::time::Duration;

use broker::{Delivery, Error, Queue};
use jobs::message::Event;
use tracing::{Instrument, Span, field, info, info_span, warn};

use crate::Notifier;
use crate::delivery::doubled;

/// Messages that are handed out at once. They are handled one by one; the others need not be waited
/// for.
const PREFETCH: u16 = 16;

/// The pause after the broker failed for the first time in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause while the broker fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The pause before a message goes back that the database did not take: no busy loop, and no long
/// wait after a restart.
const DATABASE_PAUSE: Duration = Duration::from_secs(5);

impl Notifier {
    /// Note outcomes, for ever. May be dropped at any time: a message that was not answered comes
    /// again, and noting twice is noting once.
    pub(crate) async fn listen(&self) {
        let mut failures = 0;
        loop {
            let error = match self.broker.subscribe(Queue::Notification, PREFETCH).await {
                Ok(mut subscription) => loop {
                    match subscription.next().await {
                        Ok(delivery) => {
                            failures = 0;
                            if let Err(error) = self.note(delivery).await {
                                break error;
                            }
                        }
                        Err(error) => break error,
                    }
                },
                Err(error) => error,
            };
            failures += 1;
            let pause = doubled(FIRST_PAUSE, LONGEST_PAUSE, failures);
            warn!(%error, pause_s = pause.as_secs(), "outcomes cannot be heard; subscribing again after a pause");
            tokio::time::sleep(pause).await;
        }
    }

    /// Note one outcome. An error is the broker's.
    pub(crate) async fn note(&self, delivery: Delivery) -> Result<(), Error> {
        let event = &delivery.message.event;
        let (job_id, user_id, traceparent) =
            (event.job_id(), event.user_id(), delivery.traceparent.as_deref());
        let (queue, message_id) = (Queue::Notification, delivery.message.event_id);
        let span = info_span!("outcome", %job_id, %user_id, traceparent, %queue, %message_id, error_code = field::Empty);
        self.note_now(delivery).instrument(span).await
    }

    async fn note_now(&self, delivery: Delivery) -> Result<(), Error> {
        let event = &delivery.message.event;
        match event {
            Event::Completed(_) | Event::Failed(_) => {
                match self.database.create_notification(event.job_id(), event.name()).await {
                    Ok(()) => {
                        info!(outcome = event.name(), "a user is to be told");
                        self.noted.notify_one();
                        delivery.ack().await
                    }
                    Err(error) => {
                        Span::current().record("error_code", "DATABASE_UNAVAILABLE");
                        warn!(%error, "an outcome could not be noted; the message goes back to the queue");
                        tokio::time::sleep(DATABASE_PAUSE).await;
                        delivery.requeue().await
                    }
                }
            }
            // Nobody is told of what they did themselves.
            Event::Cancelled(_) => delivery.ack().await,
            Event::Created(_) => {
                warn!("a message for workers came to the notifier; it is rejected");
                delivery.reject().await
            }
        }
    }
}
