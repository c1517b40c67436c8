//! Consumption of messages.

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
use tokio::time;
use tracing::warn;

use crate::delivery::Delivery;
use crate::delivery::{Settle, Settlement};
use crate::error::Error;
use crate::interface::Subscription;
use crate::queue::Queue;
use crate::rabbitmq::encoding::{self, Decoded};
use crate::rabbitmq::topology;

const REQUEUE: BasicNackOptions = BasicNackOptions { multiple: false, requeue: true };

const DEAD_LETTER: BasicRejectOptions = BasicRejectOptions { requeue: false };

/// A subscription to a queue of RabbitMQ.
pub(super) struct RabbitMqSubscription {
    queue: Queue,
    /// `None` once it has ended.
    consumer: Option<Consumer>,
    channel: Channel,
    timeout: Duration,
    runtime: Handle,
}

/// Subscribe on a separate channel, because the prefetch limit and the errors of a delivery affect
/// the whole channel.
pub(super) async fn subscribe(
    connection: &Connection,
    queue: Queue,
    prefetch: u16,
    timeout: Duration,
) -> Result<RabbitMqSubscription, Error> {
    let channel = connection.create_channel().await?;
    // 0 would mean no limit. Not global: per consumer.
    channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false }).await?;
    // With an empty tag, the server chooses one.
    let consumer = channel
        .basic_consume(
            topology::names(queue).queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let (consumer, runtime) = (Some(consumer), Handle::current());
    Ok(RabbitMqSubscription { queue, consumer, channel, timeout, runtime })
}

#[async_trait]
impl Subscription for RabbitMqSubscription {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            let consumer = self.consumer.as_mut().ok_or(Error::Closed)?;
            // A received message is either in the consumer or here, so dropping the future loses
            // nothing.
            let Some(Ok(received)) = consumer.next().await else {
                // The connection or the channel broke, or the queue was deleted.
                self.consumer = None;
                return Err(Error::Closed);
            };
            let lapin::message::Delivery { data, properties, acker, .. } = received;
            let settle = Unsettled {
                acker,
                channel: self.channel.clone(),
                timeout: self.timeout,
                runtime: self.runtime.clone(),
            };
            match encoding::decode(&data, &properties) {
                Ok(Decoded { message, traceparent }) => {
                    return Ok(Delivery::new(message, traceparent, settle));
                }
                Err(error) => {
                    let message_id = properties.message_id().as_ref().map(ToString::to_string);
                    warn!(
                        queue = %self.queue,
                        message_id,
                        %error,
                        "received an invalid message; moving it to the dead letters"
                    );
                    // If this fails, the subscription has ended, and the next iteration returns.
                    let _ = Box::new(settle).settle(Settlement::Reject).await;
                }
            }
        }
    }
}

/// The channel must stay open, because deliveries can still be settled. So undelivered messages
/// must be returned explicitly.
impl Drop for RabbitMqSubscription {
    fn drop(&mut self) {
        let Some(mut consumer) = self.consumer.take() else { return };
        let channel = self.channel.clone();
        self.runtime.spawn(time::timeout(self.timeout, async move {
            let _ = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await;
            // The consumer ends after the messages that were in transit.
            while let Some(Ok(undelivered)) = consumer.next().await {
                let _ = undelivered.acker.nack(REQUEUE).await;
            }
        }));
    }
}

/// A delivered message that is not settled. Keeps its channel open.
struct Unsettled {
    acker: Acker,
    channel: Channel,
    timeout: Duration,
    runtime: Handle,
}

#[async_trait]
impl Settle for Unsettled {
    async fn settle(self: Box<Self>, settlement: Settlement) -> Result<(), Error> {
        let settled = async {
            match settlement {
                Settlement::Ack => self.acker.ack(BasicAckOptions { multiple: false }).await,
                Settlement::Requeue => self.acker.nack(REQUEUE).await,
                Settlement::Reject => self.acker.reject(DEAD_LETTER).await,
            }
        };
        match time::timeout(self.timeout, settled).await {
            Ok(Ok(true)) => Ok(()),
            // False: its channel is closed.
            Ok(_) => Err(Error::Closed),
            Err(_) => Err(Error::Timeout),
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        // Usable: not settled, and the channel is open.
        if self.acker.usable() {
            let (acker, channel) = (self.acker.clone(), self.channel.clone());
            self.runtime.spawn(async move {
                let _ = acker.nack(REQUEUE).await;
                drop(channel);
            });
        }
    }
}
