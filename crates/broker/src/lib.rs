//! Tasks between processes: messages about jobs, handed from those who publish to those who work.
//!
//! The database is the truth and the broker a doorbell. A message may come twice, and a broker that
//! loses its memory loses no job: what was never published waits in the outbox, and what was lost
//! is published again. So a [`Broker`] promises little, and every adapter promises the same:
//!
//! - A published message is handed out at least once, to one subscription at a time.
//! - It stays in its queue until it is [acknowledged](Delivery::ack) or
//!   [rejected](Delivery::reject).
//! - A subscription holds no more unanswered deliveries than it asked for, and gets them in the
//!   order in which they were published,
//!   except for those that come back.

// In the order in which a message meets them.
mod queue;
mod delivery;
pub mod embedded;
pub mod rabbitmq;
#[cfg(test)]
mod conformance;

use async_trait::async_trait;
use jobs::Message;

pub use delivery::Delivery;
pub use queue::Queue;

/// A message on its way to the broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The message. Its event decides the [queue](Queue::of).
    pub message: Message,
    /// The trace that it belongs to, as a header of W3C Trace Context, section 3.2; handed on as it
    /// is.
    pub traceparent: Option<String>,
}

/// Takes messages and hands them out.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// Put a message into its queue. Returns when the broker has taken responsibility for it,
    /// whether or not somebody subscribes.
    ///
    /// # Errors
    /// The broker did not confirm. The message may have arrived nevertheless, as it may if the
    /// future is dropped.
    async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error>;

    /// Take messages from a queue, at most `prefetch` unanswered ones at a time; 0 counts as 1.
    ///
    /// # Errors
    /// The broker cannot be reached, or it has no such queue.
    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error>;

    /// How many messages are in a queue: all that wait to be handed out. Whether those that are
    /// handed out and not answered count too is the broker's choice, for not every broker tells. So
    /// 0 means that nobody who subscribed now would get a message.
    ///
    /// # Errors
    /// The broker does not say.
    async fn waiting(&self, queue: Queue) -> Result<u64, Error>;

    /// How many dead letters of a queue are kept.
    ///
    /// # Errors
    /// The broker does not say.
    async fn dead_letters(&self, queue: Queue) -> Result<u64, Error>;

    /// Whether messages can be published and taken now.
    ///
    /// # Errors
    /// They cannot, and this is why.
    async fn check(&self) -> Result<(), Error>;
}

/// A share in the messages of one queue.
///
/// Dropping it ends the share: messages that it did not hand out go to others. Deliveries that it
/// did hand out can still be answered.
#[async_trait]
pub trait Subscription: Send {
    /// The next message, however long it takes. While as many deliveries as were asked for are
    /// unanswered, there is none.
    ///
    /// Cancel-safe: no message is lost or held back when the future is dropped.
    ///
    /// # Errors
    /// The subscription is over; subscribe again.
    async fn next(&mut self) -> Result<Delivery, Error>;
}

/// What went wrong between this process and the broker. Trying again later may help in every case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no connection, and none can be made.
    #[error("the broker cannot be reached: {reason}")]
    Unavailable {
        /// What was tried, and how it ended.
        reason: String,
    },
    /// The broker is there but does not do what it is asked for: no room, no such queue, no
    /// permission.
    #[error("the broker refuses: {reason}")]
    Refused {
        /// The broker's own words.
        reason: String,
    },
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    TooSlow,
    /// The connection that the subscription or delivery came by is closed.
    #[error("the connection to the broker is closed")]
    Closed,
}
