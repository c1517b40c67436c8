//! The exchanges and queues, which are declared if they are missing.
//!
//! | exchange | type | queue | content |
//! |---|---|---|---|
//! | `video.exchange` | direct, key `process` | `video.process.v2` | jobs that wait for a worker |
//! | `notification.exchange` | fanout | `notification.send.v2` | outcomes, for 24 hours |
//! | (default) | | `video.process.v2.dlq` | rejected messages, for 7 days |
//! | (default) | | `notification.send.v2.dlq` | rejected and expired messages, for 7 days |
//!
//! All queues are quorum queues: they store a message on disk before they confirm it, they can be
//! replicated, and only they support dead letters with delivery at least once. Dead letters use the
//! default exchange, which always exists; those of a missing exchange would be dropped silently.
//!
//! `video.process.v2` has no time to live, because a job that waits long must not be lost.
//!
//! A server keeps the arguments with which a queue was first declared, and rejects a declaration
//! with others. So the names of queues contain the version of their arguments: a change of
//! `arguments` needs other `names`, and the previous ones are added to `earlier_names`.
//!
//! While processes are replaced, both versions use one server. Each binds its own queues to the
//! same exchanges, so every message reaches the processes of both versions, whoever publishes it.
//! The second copy of a message has no effect, because messages only notify. Exchanges hold no
//! messages, and keep their names and types. Queues of earlier versions are emptied and deleted
//! once no process consumes them.
//!
//! A delivery that is not settled within the server's `consumer_timeout` (default: 30 minutes) is
//! returned together with all others of its subscription. The queues set [`CONSUMER_TIMEOUT`] of
//! their own, which RabbitMQ 3.12 and later support; older servers need
//! `consumer_timeout = 86400000` in their rabbitmq.conf.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use crate::error::Error;
use crate::queue::Queue;

/// Time to live of outcomes to notify users about.
pub const NOTIFICATION_TTL: Duration = Duration::from_hours(24);

/// Time to live of dead letters.
pub const DEAD_LETTER_TTL: Duration = Duration::from_hours(7 * 24);

/// Maximum time until a worker settles a delivery.
pub const CONSUMER_TIMEOUT: Duration = Duration::from_hours(24);

/// Maximum number of times that a message returns to its queue before it becomes a dead letter.
///
/// While the database is down, every message returns about once per second, and must survive that
/// for a day. Crashes that a video causes are limited by the attempts in the database instead.
/// RabbitMQ 4.0 and later need an explicit limit, because their default is 20.
pub const DELIVERY_LIMIT: i64 = 100_000;

/// Names of a queue and of its dead letters at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) queue: &'static str,
    pub(super) dead_letters: &'static str,
}

/// Names of a queue with the present [`arguments`].
pub(super) const fn names(queue: Queue) -> Names {
    match queue {
        Queue::Process => Names { queue: "video.process.v2", dead_letters: "video.process.v2.dlq" },
        Queue::Notification => {
            Names { queue: "notification.send.v2", dead_letters: "notification.send.v2.dlq" }
        }
    }
}

/// Names of a queue with earlier arguments, oldest first. Version 1 is that of release 0.1.0.
pub(super) const fn earlier_names(queue: Queue) -> &'static [Names] {
    match queue {
        Queue::Process => &[Names { queue: "video.process", dead_letters: "video.process.dlq" }],
        Queue::Notification => {
            &[Names { queue: "notification.send", dead_letters: "notification.send.dlq" }]
        }
    }
}

/// Exchange and routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) exchange: &'static str,
    pub(super) key: &'static str,
}

/// Route of messages to a queue.
pub(super) const fn route(queue: Queue) -> Route {
    match queue {
        Queue::Process => Route { exchange: "video.exchange", key: "process" },
        Queue::Notification => Route { exchange: "notification.exchange", key: "" },
    }
}

/// Declare exchanges and queues. Fails if one exists with other arguments.
pub(super) async fn declare(connection: &Connection) -> Result<(), Error> {
    let channel = connection.create_channel().await?;
    for queue in Queue::ALL {
        let Route { exchange, key } = route(queue);
        let kind = match queue {
            Queue::Process => ExchangeKind::Direct,
            Queue::Notification => ExchangeKind::Fanout,
        };
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared =
            channel.exchange_declare(exchange.into(), kind, durable, FieldTable::default()).await;
        declared.map_err(|error| explain(error, "exchange", exchange))?;

        // The queue of the dead letters first, so that it never is missing.
        let names = names(queue);
        declare_queue(&channel, names.dead_letters, dead_letter_arguments()).await?;
        declare_queue(&channel, names.queue, arguments(queue)).await?;
        channel
            .queue_bind(
                names.queue.into(),
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
    declared.map(drop).map_err(|error| explain(error, "queue", name))
}

/// Arguments of a queue. A change needs new [`names`].
pub(super) fn arguments(queue: Queue) -> FieldTable {
    let mut arguments = quorum_arguments();
    insert(&mut arguments, "x-dead-letter-exchange", text(""));
    insert(&mut arguments, "x-dead-letter-routing-key", text(names(queue).dead_letters));
    insert(&mut arguments, "x-dead-letter-strategy", text("at-least-once"));
    // Required for `at-least-once`, which RabbitMQ otherwise ignores silently. Nothing is rejected,
    // because the queue has no maximum length.
    insert(&mut arguments, "x-overflow", text("reject-publish"));
    insert(&mut arguments, "x-consumer-timeout", milliseconds(CONSUMER_TIMEOUT));
    if queue == Queue::Notification {
        insert(&mut arguments, "x-message-ttl", milliseconds(NOTIFICATION_TTL));
    }
    arguments
}

/// Arguments of a queue of dead letters. A change needs new [`names`].
fn dead_letter_arguments() -> FieldTable {
    let mut arguments = quorum_arguments();
    insert(&mut arguments, "x-message-ttl", milliseconds(DEAD_LETTER_TTL));
    arguments
}

fn quorum_arguments() -> FieldTable {
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

/// Add the remedy to the error of a queue or exchange with other arguments. The message of the
/// server names the argument and both values.
fn explain(error: lapin::Error, kind: &str, name: &str) -> Error {
    match error.kind() {
        ErrorKind::ProtocolError(protocol)
            if *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) =>
        {
            let message = protocol.get_message();
            Error::Rejected {
                reason: format!(
                    "the {kind} {name} exists with other arguments ({message}); wait until it is \
                     empty, delete it, and it is created again"
                ),
            }
        }
        _ => error.into(),
    }
}
