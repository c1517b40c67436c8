//! Brings the outbox to the broker.

use std::time::Duration;

use broker::{Broker, Queue, TracedMessage};
use database::{Database, outbox};
use fail::fail_point;
use futures_util::StreamExt;
use futures_util::stream;
use jobs::trace::CurrentTraceparent;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info_span, warn};

use crate::note;

/// Messages that are taken at once.
const BATCH: u64 = 100;
/// How long a batch may take; afterwards another relay may take it.
const HOLD: Duration = Duration::from_mins(1);
/// How long one message may take.
const CONFIRM: Duration = Duration::from_secs(10);
/// How long the broker is left alone after it refused.
const PAUSE: Duration = Duration::from_secs(2);
/// How long messages of other processes may lie unnoticed.
const LOOK: Duration = Duration::from_millis(500);

/// Publish what is due until `stop`. Any number of relays may run at once. Messages go on with the
/// trace that they belong to, `here`.
pub async fn run(
    database: &Database,
    broker: &dyn Broker,
    here: CurrentTraceparent,
    stop: &CancellationToken,
) {
    while !stop.is_cancelled() {
        if note(round(database, broker, here).await, "relaying the outbox").unwrap_or(0) == BATCH {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = database.outbox_filled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Publish what is due now; says how many messages there were.
async fn round(
    database: &Database,
    broker: &dyn Broker,
    here: CurrentTraceparent,
) -> Result<u64, database::Error> {
    let taken = database.take_outgoing(BATCH, HOLD).await?;
    let count = taken.len() as u64;
    // Confirms take a round trip each, so the messages of a batch wait for theirs together.
    let results: Vec<_> = stream::iter(taken)
        .map(|row| {
            let (id, event) = (row.id, &row.message.event);
            let (job_id, queue, traceparent) = (event.job_id(), Queue::of(event), row.traceparent.as_deref());
            let span = info_span!("publish", %job_id, %queue, message_id = %id, traceparent, error_code = field::Empty);
            async move { (id, publish(broker, row, here).await) }.instrument(span)
        })
        .buffer_unordered(BATCH as usize)
        .collect()
        .await;
    let published: Vec<_> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(id, _)| *id).collect();
    let refused: Vec<_> =
        results.iter().filter(|(_, result)| result.is_err()).map(|(id, _)| *id).collect();
    if !published.is_empty() {
        metrics::counter!("fiapx_messages_published_total").increment(published.len() as u64);
        database.mark_published(published).await?;
        fail_point!("relay.after-mark", |_| Ok(count));
    }
    if let Some(error) = results.into_iter().find_map(|(_, result)| result.err()) {
        warn!(%error, messages = refused.len(), "the broker does not take messages; they wait in the outbox");
        database.postpone(refused, PAUSE).await?;
        return Ok(0);
    }
    Ok(count)
}

/// Publish one message, whoever handles it being the next of its trace.
async fn publish(
    broker: &dyn Broker,
    row: outbox::Outgoing,
    here: CurrentTraceparent,
) -> Result<(), broker::Error> {
    let outgoing = TracedMessage { message: row.message, traceparent: here().or(row.traceparent) };
    fail_point!("relay.before-publish", |_| Ok(()));
    let published = tokio::time::timeout(CONFIRM, broker.publish(&outgoing)).await;
    fail_point!("relay.after-publish", |_| Ok(()));
    let published = published.unwrap_or(Err(broker::Error::Timeout));
    if published.is_err() {
        Span::current().record("error_code", "BROKER_UNAVAILABLE");
    }
    published
}
