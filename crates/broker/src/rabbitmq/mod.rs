//! Queues of a RabbitMQ server, version 3.10 or later.
//!
//! Publishing and consuming use separate connections: a server that runs out of memory or disk
//! space stops reading from connections that publish, and acknowledgements on them would not
//! arrive. Both connections are established when they are needed, and again after they break,
//! together with the [queues](topology), with growing random pauses between attempts. An operation
//! fails if RabbitMQ does not answer in time, so a stopped, blocked or slow server delays its
//! callers by a known time.
//!
//! Deliveries end with their connection: settling one then returns [`Error::Closed`], and the
//! message is delivered again.

mod error;
pub mod topology;
mod connection;
mod encoding;
mod publish;
mod consume;
mod earlier;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use secrecy::SecretString;
use tokio::time;

use crate::error::Error;
use crate::interface::{Broker, Subscription};
use crate::message::TracedMessage;
use crate::queue::Queue;
use connection::Reconnecting;
use publish::Publisher;

/// A RabbitMQ server.
pub struct RabbitMq {
    publisher: Publisher,
    consuming: Reconnecting,
    timeout: Duration,
}

impl RabbitMq {
    /// Use a server. Makes no connection yet: the first operation does, and declares the missing
    /// exchanges and queues and checks the existing ones.
    ///
    /// The URL has the form `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS with the
    /// certificates of the system; the default virtual host is `/`. `?heartbeat=20` sets the
    /// interval of heartbeats in seconds. The user needs the permissions to configure, write and
    /// read the names in [`topology`].
    ///
    /// `timeout` limits every operation on the server, from connecting to the confirmation.
    ///
    /// # Errors
    /// The URL is invalid.
    pub fn new(url: &SecretString, timeout: Duration) -> Result<Self, Error> {
        let address = connection::parse_address(url)?;
        Ok(Self {
            publisher: Publisher::new(Reconnecting::new(address.clone(), "fiapx publishing")),
            consuming: Reconnecting::new(address, "fiapx consuming"),
            timeout,
        })
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        time::timeout(self.timeout, work).await.unwrap_or(Err(Error::Timeout))
    }

    /// Number of ready messages, from a passive declaration, which never creates a queue.
    async fn ready_count_of(&self, queue: &str) -> Result<u64, Error> {
        let channel = self.consuming.get().await?.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.into(), passive, FieldTable::default()).await?;
        Ok(found.message_count().into())
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publish(&self, message: &TracedMessage) -> Result<(), Error> {
        self.in_time(self.publisher.publish(message)).await
    }

    async fn publish_dead_letter(&self, message: &TracedMessage) -> Result<(), Error> {
        self.in_time(self.publisher.publish_dead_letter(message)).await
    }

    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        self.in_time(async {
            let connection = self.consuming.get().await?;
            // A subscription ends when its queue is deleted. This creates the queue again.
            topology::declare(&connection).await?;
            let subscription =
                consume::subscribe(&connection, queue, prefetch, self.timeout).await?;
            Ok(Box::new(subscription) as Box<dyn Subscription>)
        })
        .await
    }

    /// Number of ready messages. AMQP does not report the number of unsettled deliveries.
    async fn message_count(&self, queue: Queue) -> Result<u64, Error> {
        self.ready_count(queue).await
    }

    async fn ready_count(&self, queue: Queue) -> Result<u64, Error> {
        self.in_time(self.ready_count_of(topology::names(queue).queue)).await
    }

    async fn dead_letter_count(&self, queue: Queue) -> Result<u64, Error> {
        self.in_time(self.ready_count_of(topology::names(queue).dead_letters)).await
    }

    async fn retire_earlier(&self, queue: Queue) -> Result<Option<u64>, Error> {
        // The consuming connection has declared the queue and bound it, so that it has a copy of
        // each message that arrives in an earlier one meanwhile.
        let consuming = self.in_time(self.consuming.get()).await?;
        earlier::retire(&consuming, &self.publisher, queue, self.timeout).await
    }

    /// Check that the queues exist with the right arguments and can be queried, and that messages
    /// can be published, by publishing one that no queue is bound for.
    ///
    /// Two faults are not detected before they take effect: a missing permission to read from the
    /// queues, and, before RabbitMQ 3.12, a `consumer_timeout` of the server that is shorter than
    /// the longest job, which then is delivered again; see [`topology`].
    async fn check(&self) -> Result<(), Error> {
        self.in_time(async {
            topology::declare(&*self.consuming.get().await?).await?;
            for queue in Queue::ALL {
                self.ready_count_of(topology::names(queue).queue).await?;
            }
            self.publisher.check().await
        })
        .await
    }
}

/// Omits the address, which contains a password.
impl fmt::Debug for RabbitMq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RabbitMq").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
