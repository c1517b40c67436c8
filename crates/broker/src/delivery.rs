//! A delivered message.

use std::fmt;

use async_trait::async_trait;
use jobs::Message;

use crate::error::Error;

/// A delivered message that must be settled. Dropping it returns it to its queue.
#[must_use = "a dropped delivery returns to its queue"]
pub struct Delivery {
    /// Message, without parts that this version does not know.
    pub message: Message,
    /// Trace that it belongs to, as published.
    pub traceparent: Option<String>,
    settle: Box<dyn Settle>,
}

impl Delivery {
    pub(crate) fn new(message: Message, traceparent: Option<String>, settle: impl Settle) -> Self {
        Self { message, traceparent, settle: Box::new(settle) }
    }

    /// Remove the message, because it has been handled.
    ///
    /// # Errors
    /// The broker did not receive the settlement, and delivers the message again.
    pub async fn ack(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Ack).await
    }

    /// Return the message to its queue, because it cannot be handled now. It is delivered again, to
    /// this subscription or another; its position in the queue depends on the broker, which may
    /// also move a message that returns too often to the dead letters.
    ///
    /// # Errors
    /// The broker did not receive the settlement, and delivers the message again as well.
    pub async fn requeue(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Requeue).await
    }

    /// Move the message to the dead letters for inspection, because it can never be handled.
    ///
    /// # Errors
    /// The broker did not receive the settlement, and delivers the message again.
    pub async fn reject(self) -> Result<(), Error> {
        self.settle.settle(Settlement::Reject).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, traceparent, settle: _ } = self;
        formatter
            .debug_struct("Delivery")
            .field("message", message)
            .field("traceparent", traceparent)
            .finish_non_exhaustive()
    }
}

/// Settles one delivery. Dropping it, or the future of [`settle`](Self::settle), returns the
/// message to its queue.
#[async_trait]
pub(crate) trait Settle: Send + Sync + 'static {
    async fn settle(self: Box<Self>, settlement: Settlement) -> Result<(), Error>;
}

/// Kind of settlement of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Remove the message.
    Ack,
    /// Return it to its queue.
    Requeue,
    /// Move it to the dead letters.
    Reject,
}
