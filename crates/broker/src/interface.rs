//! The interface of the broker adapters.

use async_trait::async_trait;

use crate::delivery::Delivery;
use crate::error::Error;
use crate::message::TracedMessage;
use crate::queue::Queue;

/// Accepts messages and delivers them.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Put a message into its queue. Returns when the broker has confirmed that it stores the
    /// message, whether or not there are subscriptions.
    ///
    /// # Errors
    /// The broker did not confirm. The message may have arrived nevertheless, as it may if the
    /// future is dropped.
    async fn publish(&self, message: &TracedMessage) -> Result<(), Error>;

    /// Put a message into the dead letters of its queue. Returns when the broker has confirmed that
    /// it stores the message.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    async fn publish_dead_letter(&self, message: &TracedMessage) -> Result<(), Error>;

    /// Subscribe to a queue with at most `prefetch` unsettled deliveries at a time; 0 counts as 1.
    ///
    /// # Errors
    /// The broker cannot be reached, or the queue does not exist.
    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error>;

    /// Return the number of messages in a queue. Whether it includes unsettled deliveries depends
    /// on the adapter, because not every broker reports them. So 0 means that a new subscription
    /// would receive nothing.
    ///
    /// # Errors
    /// The broker does not report the number.
    async fn message_count(&self, queue: Queue) -> Result<u64, Error>;

    /// Return the number of messages in a queue that are not delivered.
    ///
    /// # Errors
    /// The broker does not report the number.
    async fn ready_count(&self, queue: Queue) -> Result<u64, Error>;

    /// Return the number of dead letters of a queue.
    ///
    /// # Errors
    /// The broker does not report the number.
    async fn dead_letter_count(&self, queue: Queue) -> Result<u64, Error>;

    /// Empty the queues that earlier releases used as this queue, and delete them, unless processes
    /// of those releases still consume them. Their messages are moved to this queue, and their dead
    /// letters to its dead letters. Returns the number of messages that are left in them, or `None`
    /// if there is no such queue anymore. Several processes may do this at the same time.
    ///
    /// # Errors
    /// The broker cannot be reached, or rejects a step. A later call continues.
    async fn retire_earlier(&self, queue: Queue) -> Result<Option<u64>, Error>;

    /// Check that messages can be published and received.
    ///
    /// # Errors
    /// Messages cannot be published or received.
    async fn check(&self) -> Result<(), Error>;
}

/// Receives messages of one queue.
///
/// Dropping it cancels it: messages that it has not delivered go to other subscriptions. Deliveries
/// can still be settled.
#[async_trait]
pub trait Subscription: Send {
    /// Wait for the next message. While the maximum number of deliveries is unsettled, no message
    /// is delivered.
    ///
    /// Cancel-safe: dropping the future neither loses nor holds back a message.
    ///
    /// # Errors
    /// The subscription has ended; subscribe again.
    async fn next(&mut self) -> Result<Delivery, Error>;
}
