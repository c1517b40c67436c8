//! Queues of earlier versions, which are emptied and deleted.
//!
//! A process of an earlier release that starts again, or returns after it was cut off, declares its
//! queue again, so deleting it is safe at any time. A queue that has consumers is left alone:
//! theirs are the messages that it holds. Another process that is emptying the queue may count as a
//! consumer, too.

use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind};
use tokio::time;
use tracing::info;

use crate::error::Error;
use crate::queue::Queue;
use crate::rabbitmq::publish::{Publication, Publisher};
use crate::rabbitmq::topology::{self, Names, Route};

/// Empty and delete the earlier versions of a queue, and those of its dead letters. Returns the
/// number of messages left, or `None` if there is no earlier version. `timeout` limits each step,
/// such as moving one message.
pub(super) async fn retire(
    consuming: &Connection,
    publisher: &Publisher,
    queue: Queue,
    timeout: Duration,
) -> Result<Option<u64>, Error> {
    let (retirement, current) =
        (Retirement { consuming, publisher, timeout }, topology::names(queue));
    let mut left = None;
    for Names { queue, dead_letters } in topology::earlier_names(queue) {
        // What arrives in the queue after it was emptied is a copy. Its consumers add dead letters,
        // of which there is no copy, so these are the last.
        let mut remaining = retirement.retire(queue, current.queue, Remainder::Copies).await?;
        if remaining.is_none() {
            let to = current.dead_letters;
            remaining = retirement.retire(dead_letters, to, Remainder::Messages).await?;
        }
        left = remaining.map(|count| count + left.unwrap_or(0)).or(left);
    }
    Ok(left)
}

/// What arrives in a queue while it is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remainder {
    /// Copies of messages, which may be deleted.
    Copies,
    /// Messages that exist only there.
    Messages,
}

struct Retirement<'a> {
    consuming: &'a Connection,
    publisher: &'a Publisher,
    timeout: Duration,
}

impl Retirement<'_> {
    /// Move the messages of the queue `from`, if it exists and has no consumers, to the queue `to`,
    /// and delete it. Returns the number of messages that are left in it, or `None` if it does not
    /// exist anymore.
    async fn retire(
        &self,
        from: &'static str,
        to: &'static str,
        remainder: Remainder,
    ) -> Result<Option<u64>, Error> {
        let Some(found) = self.inspect(from).await? else { return Ok(None) };
        if found.consumer_count() > 0 {
            return Ok(Some(found.message_count().into()));
        }
        let channel = self.channel().await?;
        let mut moved = 0_u32;
        while moved < found.message_count() && self.move_message(&channel, from, to).await? {
            moved += 1;
        }
        if remainder == Remainder::Messages
            && let Some(emptied) = self.inspect(from).await?
            && emptied.message_count() > 0
        {
            return Ok(Some(emptied.message_count().into()));
        }
        // The channel is closed if the queue was missing.
        let channel = self.channel().await?;
        self.in_time(channel.queue_delete(from.into(), QueueDeleteOptions::default())).await?;
        info!(
            queue = from,
            messages = moved,
            to,
            "moved the messages of an earlier queue; it is deleted"
        );
        Ok(None)
    }

    /// Return the counts of a queue, or `None` if it does not exist.
    async fn inspect(&self, queue: &'static str) -> Result<Option<lapin::Queue>, Error> {
        // The server closes a channel on which a missing queue is declared passively.
        let channel = self.channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
        match time::timeout(self.timeout, declared).await {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) if is_not_found(&error) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Error::Timeout),
        }
    }

    /// Move one message. Returns whether there was one. After an error, or if this process ends,
    /// the message may be in both queues.
    async fn move_message(
        &self,
        channel: &Channel,
        from: &'static str,
        to: &'static str,
    ) -> Result<bool, Error> {
        let got = channel.basic_get(from.into(), BasicGetOptions::default());
        let message = match time::timeout(self.timeout, got).await {
            Ok(Ok(Some(message))) => message,
            Ok(Ok(None)) => return Ok(false),
            // Another process has deleted it.
            Ok(Err(error)) if is_not_found(&error) => return Ok(false),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(Error::Timeout),
        };
        let lapin::message::Delivery { data, properties, acker, .. } = message.delivery;
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        // The default exchange routes to the queue with the name of the key.
        let route = Route { exchange: "", key: to };
        let publication = Publication { route, options: mandatory, body: &data, properties };
        let published = async {
            let connection = self.publisher.writable_connection().await?;
            self.publisher.send(&connection, publication).await
        };
        match time::timeout(self.timeout, published).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(returned))) => {
                let reason = format!("no message can be moved to {to}: {}", returned.reply_text);
                return Err(Error::Rejected { reason });
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(Error::Timeout),
        }
        self.in_time(acker.ack(BasicAckOptions::default())).await?;
        Ok(true)
    }

    async fn channel(&self) -> Result<Channel, Error> {
        self.in_time(self.consuming.create_channel()).await
    }

    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, lapin::Error>>,
    ) -> Result<T, Error> {
        match time::timeout(self.timeout, step).await {
            Ok(result) => Ok(result?),
            Err(_) => Err(Error::Timeout),
        }
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(protocol) = error.kind() else { return false };
    *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND)
}
