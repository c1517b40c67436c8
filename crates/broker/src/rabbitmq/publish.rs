//! Messages on their way to the server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Semaphore;

use crate::rabbitmq::link::Link;
use crate::rabbitmq::{topology, wire};
use crate::{Error, Outgoing, Queue};

/// Most messages that wait for their confirmation at once. Enough to keep the server's disk busy;
/// each has a channel, of which a server allows 2047 to a connection.
const LANES: usize = 32;

/// Publishes, many at once.
///
/// Each message has a channel to itself until it is confirmed. A returned message comes back before
/// its own confirmation, but lapin takes it for that of whichever message of the channel is
/// confirmed next, and would report the one that was lost as safe.
pub(super) struct Publisher {
    link: Link,
    lanes: Semaphore,
    /// Channels that wait for a message.
    idle: Mutex<Vec<Channel>>,
}

impl Publisher {
    pub(super) fn new(link: Link) -> Self {
        Self { link, lanes: Semaphore::new(LANES), idle: Mutex::default() }
    }

    /// Connect now, rather than with the first message.
    pub(super) async fn connect(&self) -> Result<(), Error> {
        self.link.connection().await.map(drop)
    }

    /// Whether a message would be taken.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let connection = self.open().await?;
        let (exchange, _) = topology::route(Queue::Process);
        // Nothing is bound to this key and nobody asks for it back, so it goes nowhere.
        self.send(
            &connection,
            exchange,
            "check",
            BasicPublishOptions::default(),
            &[],
            BasicProperties::default(),
        )
        .await
        .map(drop)
    }

    /// Publish, and wait for the confirmation for as long as that takes. A future that is dropped
    /// costs a channel, which closes.
    pub(super) async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error> {
        let queue = Queue::of(&outgoing.message.event);
        let (exchange, key) = topology::route(queue);
        let (body, properties) = wire::encode(outgoing)?;
        // Mandatory: what no queue is bound for is returned, rather than dropped and confirmed.
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let connection = self.open().await?;
        let error = match self.send(&connection, exchange, key, mandatory, &body, properties).await
        {
            Ok(None) => return Ok(()),
            Ok(Some(returned)) => Error::Refused {
                reason: format!("{exchange} leads to no queue {queue}: {}", returned.reply_text),
            },
            Err(error) => error,
        };
        if matches!(error, Error::Refused { .. }) {
            // Somebody may have deleted what we declared. A new connection declares it anew.
            self.link.forget().await;
            self.idle().clear();
        }
        Err(error)
    }

    /// The connection, if it may be written to.
    pub(super) async fn open(&self) -> Result<Arc<Connection>, Error> {
        let connection = self.link.connection().await?;
        // Nothing written now would be read before there is room again.
        if connection.status().blocked() {
            return Err(Error::Refused {
                reason: "it is short of memory or disk and takes no messages".to_owned(),
            });
        }
        Ok(connection)
    }

    /// Give a message to the server; gives it back if it could not be routed.
    pub(super) async fn send(
        &self,
        connection: &Connection,
        exchange: &str,
        key: &str,
        options: BasicPublishOptions,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Option<BasicReturnMessage>, Error> {
        let _lane = self.lanes.acquire().await.map_err(|_| Error::Closed)?;
        let channel = self.channel(connection).await?;
        let sent =
            channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?;
        match sent.await? {
            Confirmation::Ack(returned) => {
                self.idle().push(channel);
                Ok(returned)
            }
            Confirmation::Nack(_) => {
                Err(Error::Refused { reason: "it could not store the message".to_owned() })
            }
            Confirmation::NotRequested => {
                Err(Error::Refused { reason: "it does not confirm messages".to_owned() })
            }
        }
    }

    /// A channel on which no message waits for its confirmation.
    async fn channel(&self, connection: &Connection) -> Result<Channel, Error> {
        let kept = self.idle().pop();
        if let Some(channel) = kept
            && channel.status().connected()
        {
            return Ok(channel);
        }
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(channel)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
