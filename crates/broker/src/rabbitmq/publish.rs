//! Publication of messages.

use std::sync::Arc;

use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::message::TracedMessage;
use crate::queue::Queue;
use crate::rabbitmq::connection::Reconnecting;
use crate::rabbitmq::encoding::{self, Encoded};
use crate::rabbitmq::topology::{self, Route};

/// Maximum number of unconfirmed messages: enough to keep the disk of the server busy. Each uses a
/// channel, of which a server allows 2047 per connection.
const MAX_UNCONFIRMED: usize = 32;

/// Publishes many messages simultaneously.
///
/// Each message uses a separate channel until it is confirmed. The server returns an unroutable
/// message before its confirmation, but lapin attributes it to the next confirmation on the
/// channel, and would report the lost message as safe.
pub(super) struct Publisher {
    connection: Reconnecting,
    unconfirmed: Semaphore,
    /// Channels without an unconfirmed message.
    idle: Mutex<Vec<Channel>>,
}

/// A message in the terms of AMQP.
pub(super) struct Publication<'a> {
    pub(super) route: Route,
    pub(super) options: BasicPublishOptions,
    pub(super) body: &'a [u8],
    pub(super) properties: BasicProperties,
}

impl Publisher {
    pub(super) fn new(connection: Reconnecting) -> Self {
        let unconfirmed = Semaphore::new(MAX_UNCONFIRMED);
        Self { connection, unconfirmed, idle: Mutex::default() }
    }

    /// Check that the server accepts messages.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let connection = self.writable_connection().await?;
        // No queue is bound to this key, and the message is not mandatory, so the server drops it.
        let probe = Publication {
            route: Route { key: "check", ..topology::route(Queue::Process) },
            options: BasicPublishOptions::default(),
            body: &[],
            properties: BasicProperties::default(),
        };
        self.send(&connection, probe).await.map(drop)
    }

    /// Publish a message and wait for its confirmation without a timeout. Dropping the future
    /// closes its channel.
    pub(super) async fn publish(&self, message: &TracedMessage) -> Result<(), Error> {
        let queue = Queue::of(&message.message.event_type);
        self.publish_to(topology::route(queue), topology::names(queue).queue, message).await
    }

    /// Put a message into the dead letters of its queue, in the same way.
    pub(super) async fn publish_dead_letter(&self, message: &TracedMessage) -> Result<(), Error> {
        let names = topology::names(Queue::of(&message.message.event_type));
        // The default exchange is bound to all queues by their names (AMQP 0-9-1, 3.1.3.1).
        let route = Route { exchange: "", key: names.dead_letters };
        self.publish_to(route, names.dead_letters, message).await
    }

    /// Publish a message to the exchange of a route, which leads to this queue.
    async fn publish_to(
        &self,
        route: Route,
        queue: &str,
        message: &TracedMessage,
    ) -> Result<(), Error> {
        let Encoded { body, properties } = encoding::encode(message);
        // Mandatory: the server returns an unroutable message instead of dropping and confirming
        // it.
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let connection = self.writable_connection().await?;
        let publication = Publication { route, options, body: &body, properties };
        let error = match self.send(&connection, publication).await {
            Ok(None) => return Ok(()),
            Ok(Some(returned)) => Error::Rejected {
                reason: format!(
                    "the exchange {} has no binding to the queue {queue}: {}",
                    route.exchange, returned.reply_text
                ),
            },
            Err(error) => error,
        };
        if matches!(error, Error::Rejected { .. }) {
            // Exchange or queue may have been deleted. A new connection declares them again.
            self.connection.discard();
            self.idle.lock().clear();
        }
        Err(error)
    }

    /// Return the connection unless the server blocks it.
    pub(super) async fn writable_connection(&self) -> Result<Arc<Connection>, Error> {
        let connection = self.connection.get().await?;
        // The server would not read anything written now.
        if connection.status().blocked() {
            return Err(Error::Rejected {
                reason: "it is short of memory or disk space and accepts no messages".to_owned(),
            });
        }
        Ok(connection)
    }

    /// Send a message to the server. Returns the message if it could not be routed.
    pub(super) async fn send(
        &self,
        connection: &Connection,
        publication: Publication<'_>,
    ) -> Result<Option<BasicReturnMessage>, Error> {
        let Publication { route: Route { exchange, key }, options, body, properties } = publication;
        let _permit = self.unconfirmed.acquire().await.map_err(|_| Error::Closed)?;
        let channel = self.channel(connection).await?;
        let sent =
            channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
        match sent.await? {
            Confirmation::Ack(returned) => {
                self.idle.lock().push(channel);
                Ok(returned)
            }
            Confirmation::Nack(_) => {
                Err(Error::Rejected { reason: "it could not store the message".to_owned() })
            }
            Confirmation::NotRequested => {
                Err(Error::Rejected { reason: "it does not confirm messages".to_owned() })
            }
        }
    }

    /// Return a channel without an unconfirmed message.
    async fn channel(&self, connection: &Connection) -> Result<Channel, Error> {
        let idle = self.idle.lock().pop();
        if let Some(channel) = idle
            && channel.status().connected()
        {
            return Ok(channel);
        }
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }
}
