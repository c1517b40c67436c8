//! A message in the hands of its consumer.

use std::fmt;

use async_trait::async_trait;
use jobs::Message;

use crate::{Error, Outgoing};

/// A message that was handed out and waits for an answer. Dropped without one, it goes back to its
/// queue.
#[must_use = "a delivery that is dropped goes back to its queue"]
pub struct Delivery {
    /// The message, as it was published.
    pub message: Message,
    /// The trace that it belongs to, as it was published.
    pub traceparent: Option<String>,
    answer: Box<dyn Answer>,
}

impl Delivery {
    pub(crate) fn new(outgoing: Outgoing, answer: impl Answer) -> Self {
        let Outgoing { message, traceparent } = outgoing;
        Self { message, traceparent, answer: Box::new(answer) }
    }

    /// The message is dealt with and does not come again.
    ///
    /// # Errors
    /// The answer did not reach the broker, which then repeats the message.
    pub async fn ack(self) -> Result<(), Error> {
        self.answer.give(Verdict::Ack).await
    }

    /// The message cannot be dealt with now. It comes again, to this subscription or another; at
    /// which place in the queue is the broker's choice. A broker may also give up a message that
    /// keeps coming back, and put it with the dead letters.
    ///
    /// # Errors
    /// The answer did not reach the broker, which then repeats the message all the same.
    pub async fn requeue(self) -> Result<(), Error> {
        self.answer.give(Verdict::Requeue).await
    }

    /// The message cannot be dealt with ever. It goes to the dead letters, where people can look at
    /// it.
    ///
    /// # Errors
    /// The answer did not reach the broker, which then repeats the message.
    pub async fn reject(self) -> Result<(), Error> {
        self.answer.give(Verdict::Reject).await
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, traceparent, answer: _ } = self;
        formatter
            .debug_struct("Delivery")
            .field("message", message)
            .field("traceparent", traceparent)
            .finish_non_exhaustive()
    }
}

/// An adapter's way to answer one delivery. Dropping it unused, or while it is being used, sends
/// the message back to its queue.
#[async_trait]
pub(crate) trait Answer: Send + Sync + 'static {
    async fn give(self: Box<Self>, verdict: Verdict) -> Result<(), Error>;
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is dealt with.
    Ack,
    /// It comes again.
    Requeue,
    /// It goes to the dead letters.
    Reject,
}
