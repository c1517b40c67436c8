//! Queues in the memory of the process.
//!
//! Messages are lost with the process, but no job is: the database is authoritative, and after a
//! restart the messages of waiting jobs are published again. The queues have no limit, because they
//! hold less than the database.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::delivery::Delivery;
use crate::delivery::{Settle, Settlement};
use crate::error::Error;
use crate::interface::{Broker, Subscription};
use crate::message::TracedMessage;
use crate::queue::Queue;

/// Maximum number of dead letters of each queue; new ones replace the oldest.
pub const MAX_DEAD_LETTERS: usize = 1000;

/// A broker in the process.
#[derive(Debug, Default)]
pub struct Embedded {
    process: Arc<EmbeddedQueue>,
    notification: Arc<EmbeddedQueue>,
}

impl Embedded {
    /// Create a broker with empty queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn queue(&self, queue: Queue) -> &Arc<EmbeddedQueue> {
        match queue {
            Queue::Process => &self.process,
            Queue::Notification => &self.notification,
        }
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, message: &TracedMessage) -> Result<(), Error> {
        let queue = self.queue(Queue::of(&message.message.event_type));
        queue.state.lock().ready.push_back(message.clone());
        queue.tokens.add_permits(1);
        Ok(())
    }

    async fn publish_dead_letter(&self, message: &TracedMessage) -> Result<(), Error> {
        let queue = self.queue(Queue::of(&message.message.event_type));
        queue.state.lock().add_dead_letter(message.clone());
        Ok(())
    }

    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        let prefetch = Arc::new(Semaphore::new(prefetch.max(1).into()));
        Ok(Box::new(EmbeddedSubscription { queue: Arc::clone(self.queue(queue)), prefetch }))
    }

    async fn message_count(&self, queue: Queue) -> Result<u64, Error> {
        let state = self.queue(queue).state.lock();
        Ok(state.ready.len() as u64 + state.unsettled)
    }

    async fn ready_count(&self, queue: Queue) -> Result<u64, Error> {
        Ok(self.queue(queue).state.lock().ready.len() as u64)
    }

    async fn dead_letter_count(&self, queue: Queue) -> Result<u64, Error> {
        Ok(self.queue(queue).state.lock().dead.len() as u64)
    }

    /// Queues in memory end with their process.
    async fn retire_earlier(&self, _: Queue) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One queue.
#[derive(Debug)]
struct EmbeddedQueue {
    state: Mutex<State>,
    /// One token per ready message, added after it. A subscription takes a message after it has
    /// acquired a token, so subscriptions are served as fairly as waiters of the semaphore.
    tokens: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<TracedMessage>,
    /// Number of delivered messages that are not settled.
    unsettled: u64,
    dead: VecDeque<TracedMessage>,
}

impl State {
    /// Add a dead letter, which may replace the oldest.
    fn add_dead_letter(&mut self, message: TracedMessage) {
        if self.dead.len() == MAX_DEAD_LETTERS {
            self.dead.pop_front();
        }
        self.dead.push_back(message);
    }
}

impl Default for EmbeddedQueue {
    fn default() -> Self {
        Self { state: Mutex::default(), tokens: Semaphore::new(0) }
    }
}

impl EmbeddedQueue {
    /// Take the next message, for which the caller has acquired a token.
    fn take(&self) -> Option<TracedMessage> {
        let mut state = self.state.lock();
        let message = state.ready.pop_front()?;
        state.unsettled += 1;
        Some(message)
    }

    /// Settle a message that was taken.
    fn settle(&self, message: TracedMessage, settlement: Settlement) {
        let mut state = self.state.lock();
        state.unsettled -= 1;
        match settlement {
            Settlement::Ack => {}
            Settlement::Requeue => {
                // At the end, so that the other messages do not wait for one that cannot be
                // handled at the moment.
                state.ready.push_back(message);
                drop(state);
                self.tokens.add_permits(1);
            }
            Settlement::Reject => state.add_dead_letter(message),
        }
    }
}

struct EmbeddedSubscription {
    queue: Arc<EmbeddedQueue>,
    /// One permit per delivery that may be unsettled.
    prefetch: Arc<Semaphore>,
}

#[async_trait]
impl Subscription for EmbeddedSubscription {
    async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            // Dropping the future releases what it has acquired, and it does not wait anymore once
            // the message is taken.
            let prefetch = Arc::clone(&self.prefetch);
            let permit = prefetch.acquire_owned().await.map_err(|_| Error::Closed)?;
            self.queue.tokens.acquire().await.map_err(|_| Error::Closed)?.forget();
            let message = self.queue.take().ok_or(Error::Closed)?;
            let (decoded, traceparent) = (message.message.decode(), message.traceparent.clone());
            let message_id = message.message.event_id;
            let queue = Arc::clone(&self.queue);
            let mut settle = Unsettled { queue, message: Some(message), _permit: permit };
            match decoded {
                Ok(message) => return Ok(Delivery::new(message, traceparent, settle)),
                Err(error) => {
                    warn!(
                        %message_id,
                        %error,
                        "received an invalid message; moving it to the dead letters"
                    );
                    settle.settle_once(Settlement::Reject);
                }
            }
        }
    }
}

/// A delivered message that is not settled.
struct Unsettled {
    queue: Arc<EmbeddedQueue>,
    /// `None` once it is settled.
    message: Option<TracedMessage>,
    _permit: OwnedSemaphorePermit,
}

impl Unsettled {
    fn settle_once(&mut self, settlement: Settlement) {
        if let Some(message) = self.message.take() {
            self.queue.settle(message, settlement);
        }
    }
}

#[async_trait]
impl Settle for Unsettled {
    async fn settle(mut self: Box<Self>, settlement: Settlement) -> Result<(), Error> {
        self.settle_once(settlement);
        Ok(())
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.settle_once(Settlement::Requeue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, TIMEOUT, created};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        conformance::all(Arc::new(Embedded::new())).await;
    }

    #[tokio::test]
    async fn keeps_a_limited_number_of_dead_letters() {
        let broker = Embedded::new();
        let messages: Vec<_> = (0..=MAX_DEAD_LETTERS).map(created).collect();
        for message in &messages {
            broker.publish(message).await.expect("the message is accepted");
        }
        let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
        for _ in &messages {
            let delivery = tokio::time::timeout(TIMEOUT, subscription.next())
                .await
                .expect("the queue has a message")
                .expect("a delivery");
            delivery.reject().await.expect("the settlement succeeds");
        }
        assert_eq!(broker.process.state.lock().dead, &messages[1..]);
        let expected = MAX_DEAD_LETTERS as u64;
        assert_eq!(broker.dead_letter_count(Queue::Process).await, Ok(expected));
        assert_eq!(broker.dead_letter_count(Queue::Notification).await, Ok(0));
    }

    /// The subscription that has waited longest receives the next message, however many messages
    /// it has received before.
    #[tokio::test]
    async fn waiting_subscriptions_take_turns() {
        let broker = Embedded::new();
        let mut first = broker.subscribe(Queue::Process, 2).await.expect("a subscription");
        let mut second = broker.subscribe(Queue::Process, 2).await.expect("a subscription");
        let (mut next_first, mut next_second) = (first.next(), second.next());
        // Each is polled once, so both wait now, in this order.
        tokio::select! {
            biased;
            _ = next_first.as_mut() => panic!("the queue is empty"),
            _ = next_second.as_mut() => panic!("the queue is empty"),
            () = std::future::ready(()) => {}
        }
        let messages = [created(0), created(1)];
        for message in &messages {
            broker.publish(message).await.expect("the message is accepted");
        }
        let both = async { (next_first.await, next_second.await) };
        let (first, second) =
            tokio::time::timeout(TIMEOUT, both).await.expect("a message for each");
        assert_eq!(first.expect("a delivery").message.encode(), messages[0].message);
        assert_eq!(second.expect("a delivery").message.encode(), messages[1].message);
    }
}
