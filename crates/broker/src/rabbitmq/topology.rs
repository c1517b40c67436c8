//! What has to be there, and is made where it is not.
//!
//! | exchange | type | queue | for |
//! |---|---|---|---|
//! | `video.exchange` | direct, key `process` | `video.process` | jobs that wait for a worker |
//! | `notification.exchange` | fanout | `notification.send` | outcomes that users may have to be told of, for 24 hours |
//! | (default) | | `video.process.dlq`, `notification.send.dlq` | what was rejected or expired, for 7 days |
//!
//! All queues are quorum queues: they are on disk before a message is confirmed, they can be
//! replicated, and only they hand dead letters on at least once. Dead letters pass through the
//! default exchange, which cannot be missing; a letter to an exchange that is missing is dropped
//! without a word.
//!
//! `video.process` has no time to live: a job that waits long is not to be lost.
//!
//! A delivery that is not answered within the server's `consumer_timeout` (30 minutes unless set in
//! rabbitmq.conf) is taken back with all others of its subscription. The queues ask for
//! [`CONSUMER_TIMEOUT`] of their own, which RabbitMQ 3.12 and later heed; older servers need
//! `consumer_timeout = 86400000` in their rabbitmq.conf.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use crate::{Error, Queue};

/// How long outcomes wait for somebody to tell users of them.
pub const NOTIFICATION_TTL: Duration = Duration::from_hours(24);

/// How long dead letters are kept.
pub const DEAD_LETTER_TTL: Duration = Duration::from_hours(7 * 24);

/// How long a worker may take to answer a delivery.
pub const CONSUMER_TIMEOUT: Duration = Duration::from_hours(24);

/// How often a message may come back before it becomes a dead letter.
///
/// Messages come back while the database is down, each once in a second or a few, and must survive
/// that for a day. What a video does to its workers is no matter of this limit: the database counts
/// attempts. RabbitMQ 4.0 and later need a number, for theirs is 20.
pub const DELIVERY_LIMIT: i64 = 100_000;

/// The exchange and the routing key by which messages get into a queue.
pub(super) const fn route(queue: Queue) -> (&'static str, &'static str) {
    match queue {
        Queue::Process => ("video.exchange", "process"),
        Queue::Notification => ("notification.exchange", ""),
    }
}

/// Make what is missing, and compare the rest.
pub(super) async fn declare(connection: &Connection) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    for queue in Queue::ALL {
        let (exchange, key) = route(queue);
        let kind = match queue {
            Queue::Process => ExchangeKind::Direct,
            Queue::Notification => ExchangeKind::Fanout,
        };
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared =
            channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await;
        declared.map_err(|error| explained(error, "exchange", exchange))?;

        // Dead letters first, so that there is no moment at which they have nowhere to go.
        declare_queue(&channel, queue.dead_letters(), dead_letter_arguments()).await?;
        declare_queue(&channel, queue.name(), arguments(queue)).await?;
        channel
            .queue_bind(
                queue.name().into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(())
}

async fn declare_queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), Error> {
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(name.into(), durable, arguments).await;
    declared.map(drop).map_err(|error| explained(error, "queue", name))
}

pub(super) fn arguments(queue: Queue) -> FieldTable {
    let mut arguments = quorum();
    insert(&mut arguments, "x-dead-letter-exchange", text(""));
    insert(&mut arguments, "x-dead-letter-routing-key", text(queue.dead_letters()));
    insert(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    // At least once is silently at most once without this. No length is set, so nothing is refused.
    insert(&mut arguments, "x-overflow", text("reject-publish"));
    insert(&mut arguments, "x-consumer-timeout", milliseconds(CONSUMER_TIMEOUT));
    if queue == Queue::Notification {
        insert(&mut arguments, "x-message-ttl", milliseconds(NOTIFICATION_TTL));
    }
    arguments
}

fn dead_letter_arguments() -> FieldTable {
    let mut arguments = quorum();
    insert(&mut arguments, "x-message-ttl", milliseconds(DEAD_LETTER_TTL));
    arguments
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    insert(&mut arguments, "x-queue-type", text("quorum"));
    insert(&mut arguments, "x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
    arguments
}

fn insert(arguments: &mut FieldTable, name: &str, value: AMQPValue) {
    arguments.insert(ShortString::from(name), value);
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn milliseconds(time: Duration) -> AMQPValue {
    AMQPValue::LongLongInt(time.as_millis() as i64)
}

/// Say what to do about a queue or exchange that is not as it should be. The server's own words
/// name the argument and both values.
fn explained(error: lapin::Error, kind: &str, name: &str) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(said)
            if *said.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
        {
            let said = said.get_message();
            Error::Refused {
                reason: format!(
                    "the {kind} {name} was made with other arguments ({said}); let its messages be worked off, delete it, and it \
                     is made anew"
                ),
            }
        }
        _ => error.into(),
    }
}
