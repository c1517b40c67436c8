//! Queues in the memory of one process.
//!
//! Messages end with the process, and no job with them: the database is the truth, and what it
//! waits for is published again after a restart. A queue has no limit of its own, for it holds less
//! than the database does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::delivery::{Answer, Verdict};
use crate::{Broker, Delivery, Error, Outgoing, Queue, Subscription};

/// Dead letters that are kept for each queue; the oldest make room for new ones.
pub const DEAD_LETTERS: usize = 1000;

/// A broker inside this process.
#[derive(Debug, Default)]
pub struct Embedded {
    process: Arc<Line>,
    notification: Arc<Line>,
}

impl Embedded {
    /// A broker with empty queues.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn line(&self, queue: Queue) -> &Arc<Line> {
        match queue {
            Queue::Process => &self.process,
            Queue::Notification => &self.notification,
        }
    }
}

#[async_trait]
impl Broker for Embedded {
    async fn publish(&self, outgoing: &Outgoing) -> Result<(), Error> {
        let line = self.line(Queue::of(&outgoing.message.event));
        line.lock().ready.push_back(outgoing.clone());
        line.tokens.add_permits(1);
        Ok(())
    }

    async fn subscribe(&self, queue: Queue, prefetch: u16) -> Result<Box<dyn Subscription>, Error> {
        let slots = Arc::new(Semaphore::new(prefetch.max(1).into()));
        Ok(Box::new(Share { line: Arc::clone(self.line(queue)), slots }))
    }

    async fn waiting(&self, queue: Queue) -> Result<u64, Error> {
        let state = self.line(queue).lock();
        Ok(state.ready.len() as u64 + state.unanswered)
    }

    async fn dead_letters(&self, queue: Queue) -> Result<u64, Error> {
        Ok(self.line(queue).lock().dead.len() as u64)
    }

    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One queue.
#[derive(Debug)]
struct Line {
    state: Mutex<State>,
    /// One for each message that is ready, added after it. Who takes a token may take a message,
    /// and who waits for one has a turn.
    tokens: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Outgoing>,
    /// Messages that are handed out.
    unanswered: u64,
    dead: VecDeque<Outgoing>,
}

impl Default for Line {
    fn default() -> Self {
        Self { state: Mutex::default(), tokens: Semaphore::new(0) }
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hand out the next message, for which the caller has taken a token.
    fn hand_out(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        let outgoing = state.ready.pop_front()?;
        state.unanswered += 1;
        Some(outgoing)
    }

    /// Note what becomes of a message that was handed out.
    fn answered(&self, outgoing: Outgoing, verdict: Verdict) {
        let mut state = self.lock();
        state.unanswered -= 1;
        match verdict {
            Verdict::Ack => {}
            Verdict::Requeue => {
                // Behind the others: it may be that nobody can deal with it for a while, and they
                // need not wait for that.
                state.ready.push_back(outgoing);
                drop(state);
                self.tokens.add_permits(1);
            }
            Verdict::Reject => {
                if state.dead.len() == DEAD_LETTERS {
                    state.dead.pop_front();
                }
                state.dead.push_back(outgoing);
            }
        }
    }
}

/// A subscription.
struct Share {
    line: Arc<Line>,
    /// One for each delivery that may be unanswered.
    slots: Arc<Semaphore>,
}

#[async_trait]
impl Subscription for Share {
    async fn next(&mut self) -> Result<Delivery, Error> {
        // What is acquired goes back if this is dropped; and once the message is taken, nothing
        // waits any more.
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| Error::Closed)?;
        self.line.tokens.acquire().await.map_err(|_| Error::Closed)?.forget();
        let outgoing = self.line.hand_out().ok_or(Error::Closed)?;
        let answer = Unanswered {
            line: Arc::clone(&self.line),
            outgoing: Some(outgoing.clone()),
            _slot: slot,
        };
        Ok(Delivery::new(outgoing, answer))
    }
}

/// A message that is handed out.
struct Unanswered {
    line: Arc<Line>,
    /// None once it is answered.
    outgoing: Option<Outgoing>,
    _slot: OwnedSemaphorePermit,
}

impl Unanswered {
    fn settle(&mut self, verdict: Verdict) {
        if let Some(outgoing) = self.outgoing.take() {
            self.line.answered(outgoing, verdict);
        }
    }
}

#[async_trait]
impl Answer for Unanswered {
    async fn give(mut self: Box<Self>, verdict: Verdict) -> Result<(), Error> {
        self.settle(verdict);
        Ok(())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.settle(Verdict::Requeue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, PATIENCE, created};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn conforms() {
        conformance::all(Arc::new(Embedded::new())).await;
    }

    #[tokio::test]
    async fn rejected_messages_are_kept_up_to_a_limit() {
        let broker = Embedded::new();
        let messages: Vec<_> = (0..=DEAD_LETTERS).map(created).collect();
        for outgoing in &messages {
            broker.publish(outgoing).await.expect("the message is taken");
        }
        let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
        for _ in &messages {
            let delivery = tokio::time::timeout(PATIENCE, subscription.next())
                .await
                .expect("a message waits")
                .expect("a delivery");
            delivery.reject().await.expect("the answer is taken");
        }
        assert_eq!(broker.process.lock().dead, &messages[1..]);
        assert_eq!(broker.dead_letters(Queue::Process).await, Ok(DEAD_LETTERS as u64));
        assert_eq!(broker.dead_letters(Queue::Notification).await, Ok(0));
    }

    /// A subscription that waits takes its turn behind those that waited before, however many
    /// messages it has had.
    #[tokio::test]
    async fn those_who_wait_take_turns() {
        let broker = Embedded::new();
        let mut first = broker.subscribe(Queue::Process, 2).await.expect("a subscription");
        let mut second = broker.subscribe(Queue::Process, 2).await.expect("a subscription");
        let (mut next_first, mut next_second) = (first.next(), second.next());
        // Each is polled once, so both wait now, in this order.
        tokio::select! {
            biased;
            _ = next_first.as_mut() => panic!("nothing was published"),
            _ = next_second.as_mut() => panic!("nothing was published"),
            () = std::future::ready(()) => {}
        }
        let messages = [created(0), created(1)];
        for outgoing in &messages {
            broker.publish(outgoing).await.expect("the message is taken");
        }
        let taken = tokio::time::timeout(PATIENCE, async { (next_first.await, next_second.await) })
            .await
            .expect("a message for each");
        assert_eq!(taken.0.expect("a delivery").message, messages[0].message);
        assert_eq!(taken.1.expect("a delivery").message, messages[1].message);
    }
}
