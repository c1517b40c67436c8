//! Messages on their way from the server.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    BasicRejectOptions,
};
use lapin::types::FieldTable;
use lapin::{Acker, Channel, Connection, Consumer};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::warn;

use crate::delivery::{Answer, Verdict};
use crate::rabbitmq::wire;
use crate::{Delivery, Error, Queue, Subscription};

const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

const DEAD_LETTER: BasicRejectOptions = BasicRejectOptions { requeue: false };

/// A subscription.
pub(super) struct Share {
    queue: Queue,
    /// None once it is over.
    consumer: Option<Consumer>,
    channel: Channel,
    patience: Duration,
    runtime: Handle,
}

/// Subscribe on a channel of its own: prefetch is a matter of the channel, and so is what goes
/// wrong with one delivery.
pub(super) async fn subscribe(
    connection: &Connection,
    queue: Queue,
    prefetch: u16,
    patience: Duration,
) -> Result<Share, Error> {
    let channel = connection.create_channel().await?;
    // 0 would be no limit. Not global: for each consumer.
    channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false }).await?;
    // An empty tag lets the server choose one.
    let consumer = channel
        .basic_consume(
            queue.name().into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok(Share { queue, consumer: Some(consumer), channel, patience, runtime: Handle::current() })
}

#[async_trait]
impl Subscription for Share {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let consumer = self.consumer.as_mut().ok_or(Error::Closed)?;
            // What came is either in the consumer or here: dropped while it waits, nothing is lost.
            let Some(Ok(came)) = consumer.next().await else {
                // The connection or the channel broke, or the queue was deleted.
                self.consumer = None;
                return Err(Error::Closed);
            };
            let lapin::message::Delivery { data, properties, acker, .. } = came;
            let answer = Unanswered {
                acker,
                channel: self.channel.clone(),
                patience: self.patience,
                runtime: self.runtime.clone(),
            };
            match wire::decode(&data, &properties) {
                Ok(outgoing) => return Ok(Delivery::new(outgoing, answer)),
                Err(error) => {
                    let id = properties.message_id().as_ref().map(ToString::to_string);
                    warn!(queue = %self.queue, message_id = id, %error, "a message is none of ours; it goes to the dead letters");
                    // An answer that does not get through ends the subscription, which the next
                    // turn finds out.
                    let _ = Box::new(answer).give(Verdict::Reject).await;
                }
            }
        }
    }
}

/// Deliveries that it handed out can still be answered, so its channel must stay; and on a channel
/// that stays, those that it did not hand out must be sent back.
impl Drop for Share {
    fn drop(&mut self) {
        let Some(mut consumer) = self.consumer.take() else { return };
        let (channel, patience) = (self.channel.clone(), self.patience);
        self.runtime.spawn(timeout(patience, async move {
            let _ = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            // The end comes behind what was on its way.
            while let Some(Ok(left)) = consumer.next().await {
                let _ = left.acker.nack(REQUEUE).await;
            }
        }));
    }
}

/// A message that is handed out. Its channel stays open for the answer.
struct Unanswered {
    acker: Acker,
    channel: Channel,
    patience: Duration,
    runtime: Handle,
}

#[async_trait]
impl Answer for Unanswered {
    async fn give(self: Box<Self>, verdict: Verdict) -> Result<(), Error> {
        let answering = async {
            match verdict {
                Verdict::Ack => self.acker.ack(BasicAckOptions { multiple: false }).await,
                Verdict::Requeue => self.acker.nack(REQUEUE).await,
                Verdict::Reject => self.acker.reject(DEAD_LETTER).await,
            }
        };
        match timeout(self.patience, answering).await {
            Ok(Ok(true)) => Ok(()),
            // False: the channel that it came by is closed.
            Ok(_) => Err(Error::Closed),
            Err(_) => Err(Error::TooSlow),
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        // Usable: neither answered nor beyond an answer.
        if self.acker.usable() {
            let (acker, channel) = (self.acker.clone(), self.channel.clone());
            self.runtime.spawn(async move {
                let _ = acker.nack(REQUEUE).await;
                drop(channel);
            });
        }
    }
}
