//! Queues of a RabbitMQ server, version 3.10 or later.
//!
//! Publishing and consuming have a connection each: a server that runs out of memory or disk stops
//! reading from connections that publish, and acknowledgements on such a connection would not get
//! through. Both connections are made when they are needed and again when they broke, and the
//! [queues](topology) with them. What RabbitMQ does not answer in time fails, and so a server that
//! is down, blocked or slow delays its callers by a known time.
//!
//! Deliveries end with their connection: a consumer that held them finds out by [`Error::Closed`],
//! and they come again.

// In the order in which a message meets them.
mod link;
pub mod topology;
mod publish;
mod wire;
mod consume;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use lapin::ErrorKind;
use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPHardError};
use lapin::types::FieldTable;
use secrecy::SecretString;
use tokio::time::timeout;

use crate::{Broker, Error, Outgoing, Queue, Subscription};
use link::Link;
use publish::Publisher;

/// A RabbitMQ server.
pub struct RabbitMq {
    publisher: Publisher,
    consuming: Link,
    patience: Duration,
}

impl RabbitMq {
    /// Connect to a server, make the exchanges and queues that it does not have, and compare those
    /// that it has.
    ///
    /// The address has the form `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS with
    /// the system's certificates; no virtual host is `/`. `?heartbeat=20` asks for signs of life at
    /// least so often, in seconds; without it the server decides. The user must be allowed to
    /// configure, write and read what is named in [`topology`].
    ///
    /// `patience` bounds everything that is asked of the server, from the making of a connection to
    /// the confirmation.
    ///
    /// # Errors
    /// The address is none, the server cannot be reached, does not let us in, or has a queue of the
    /// same name with other arguments.
    pub async fn connect(url: &SecretString, patience: Duration) -> Result<Self, Error> {
        let address = link::address(url)?;
        let broker = Self {
            publisher: Publisher::new(Link::new(address.clone(), "fiapx publishing")),
            consuming: Link::new(address, "fiapx consuming"),
            patience,
        };
        broker.in_time(broker.publisher.connect()).await?;
        broker.in_time(broker.consuming.connection()).await?;
        Ok(broker)
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(self.patience, work).await.unwrap_or(Err(Error::TooSlow))
    }

    /// Messages that are ready. A declaration that is only to ask never makes a queue.
    async fn ready(&self, queue: &str) -> Result<u64, Error> {
        let channel = self.consuming.connection().await?.create_channel().await?;
        let asking = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.into(), asking, FieldTable::default()).await?;
        Ok(found.message_count().into())
    }
}

#[async_trait]
impl Broker for RabbitMq {
    async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error> {
        self.in_time(self.publisher.publish(outgoing)).await
    }

    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        self.in_time(async {
            let connection = self.consuming.connection().await?;
            // A subscription ends when its queue is deleted. This makes a new one.
            topology::declare(&connection).await?;
            let share = consume::subscribe(&connection, queue, prefetch, self.patience).await?;
            Ok(Box::new(share) as Box<dyn Subscription>)
        })
        .await
    }

    /// Messages that are ready. AMQP does not tell how many are handed out.
    async fn waiting(&self, queue: Queue) -> Result<u64, Error> {
        self.in_time(self.ready(queue.name())).await
    }

    async fn dead_letters(&self, queue: Queue) -> Result<u64, Error> {
        self.in_time(self.ready(queue.dead_letters())).await
    }

    /// Whether messages can be published now, by publishing one that no queue is bound for; whether
    /// the queues are there and as they should be, and can be asked.
    ///
    /// Two things show only when they are used: the permission to read from the queues, and, before
    /// RabbitMQ 3.12, the server's `consumer_timeout`. It must be longer than the longest job, or
    /// jobs come twice; see [`topology`].
    async fn check(&self) -> Result<(), Error> {
        self.in_time(async {
            topology::declare(&*self.consuming.connection().await?).await?;
            for queue in Queue::ALL {
                self.ready(queue.name()).await?;
            }
            self.publisher.check().await
        })
        .await
    }
}

/// Without the address, which holds a password.
impl fmt::Debug for RabbitMq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RabbitMq").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        match error.kind() {
            // A server that is being stopped says so, to those who listen.
            ErrorKind::ProtocolError(said)
                if *said.kind() == AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED) =>
            {
                Self::Unavailable { reason: said.get_message().to_string() }
            }
            ErrorKind::ProtocolError(said) => {
                Self::Refused { reason: said.get_message().to_string() }
            }
            _ => Self::Unavailable { reason: error.to_string() },
        }
    }
}
