//! Relay: publishes the messages of the outbox to the broker.

use std::time::Duration;

use broker::{Broker, Queue, TracedMessage};
use database::{Database, outbox};
use fail::fail_point;
use futures_util::StreamExt;
use futures_util::stream;
use jobs::Backoff;
use jobs::backoff::jittered;
use jobs::trace::CurrentTraceparent;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info_span, warn};

use crate::background::log_error;

/// Maximum number of messages in a batch.
const BATCH: u64 = 100;
/// Time for publishing a batch. Afterwards another relay may claim its messages.
const HOLD: Duration = Duration::from_mins(1);
/// Maximum time until the broker confirms a message.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// Pauses before another attempt while the broker refuses messages, or the database fails.
const RETRY: Backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(10));
/// Maximum time between two queries for messages that other processes wrote.
const POLL_INTERVAL: Duration = Duration::from_millis(600);

/// Publish due messages until `stop` is cancelled. Any number of relays may run at the same time.
/// `current_traceparent` returns the trace context that a message carries to its receiver.
pub async fn run(
    database: &Database,
    broker: &dyn Broker,
    current_traceparent: CurrentTraceparent,
    stop: &CancellationToken,
) {
    let mut failures = Failures::default();
    while !stop.is_cancelled() {
        let published = publish_batch(database, broker, current_traceparent, &mut failures).await;
        let pause = match log_error(published, "publishing the outbox") {
            Some(BATCH) => continue,
            Some(_) => jittered(POLL_INTERVAL, rand::random()),
            None => failures.next_pause(),
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = database.outbox_filled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Number of batches in a row that failed or that the broker did not accept completely.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// Count a failure, and return the pause after it.
    fn next_pause(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        RETRY.pause(self.0, rand::random())
    }
}

/// Publish a batch of due messages. Return their number, or 0 if the broker refused any.
async fn publish_batch(
    database: &Database,
    broker: &dyn Broker,
    current_traceparent: CurrentTraceparent,
    failures: &mut Failures,
) -> Result<u64, database::Error> {
    let batch = database.take_outgoing(BATCH, HOLD).await?;
    let count = batch.len() as u64;
    // Each confirmation takes a round trip, so the whole batch is published concurrently.
    let results: Vec<_> = stream::iter(batch)
        .map(|row| async move {
            let id = row.id;
            (id, publish(broker, row, current_traceparent).await)
        })
        .buffer_unordered(BATCH as usize)
        .collect()
        .await;
    let (mut published, mut refused, mut first_error) = (Vec::new(), Vec::new(), None);
    for (id, result) in results {
        match result {
            Ok(()) => published.push(id),
            Err(error) => {
                refused.push(id);
                first_error.get_or_insert(error);
            }
        }
    }
    if !published.is_empty() {
        metrics::counter!("fiapx_messages_published_total").increment(published.len() as u64);
        database.mark_published(published).await?;
        fail_point!("relay.after-mark", |_| Ok(count));
    }
    if let Some(error) = first_error {
        warn!(%error, messages = refused.len(), "cannot publish messages; they stay in the outbox");
        database.postpone(refused, failures.next_pause()).await?;
        return Ok(0);
    }
    if count > 0 {
        *failures = Failures::default();
    }
    Ok(count)
}

/// Publish one message in its own span, from which its receiver continues the trace.
async fn publish(
    broker: &dyn Broker,
    row: outbox::Outgoing,
    current_traceparent: CurrentTraceparent,
) -> Result<(), broker::Error> {
    let message = &row.message;
    let span = info_span!(
        "publish",
        job_id = %message.job_id,
        queue = %Queue::of(&message.event_type),
        message_id = %row.id,
        traceparent = row.traceparent.as_deref(),
        error_code = field::Empty,
    );
    async {
        let traceparent = current_traceparent().or(row.traceparent);
        let outgoing = TracedMessage { message: row.message, traceparent };
        fail_point!("relay.before-publish", |_| Ok(()));
        let published = tokio::time::timeout(CONFIRM_TIMEOUT, broker.publish(&outgoing)).await;
        fail_point!("relay.after-publish", |_| Ok(()));
        let published = published.unwrap_or(Err(broker::Error::Timeout));
        if published.is_err() {
            Span::current().record("error_code", "BROKER_UNAVAILABLE");
        }
        published
    }
    .instrument(span)
    .await
}
