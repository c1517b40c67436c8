//! Steps of the tests.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use jobs::message::{Created, Event};
use jobs::{Clock, JobId, Message, StoredRecipe, UserId};
use tokio::task::yield_now;

use crate::delivery::Delivery;
use crate::error::Error;
use crate::interface::{Broker, Subscription};
use crate::message::TracedMessage;
use crate::queue::Queue;

/// Timeout after which the broker counts as hanging.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Message about a new job.
pub(crate) fn created(number: usize) -> TracedMessage {
    let (job_id, user_id) = (JobId::generate(), UserId::generate());
    traced(Event::Created(Created {
        job_id,
        user_id,
        video_path: format!("videos/{user_id}/{job_id}/input.mp4"),
        filename: format!("vídeo {number}.mp4"),
        video_size_bytes: number as u64,
        recipe: StoredRecipe::default(),
    }))
}

pub(super) fn traced(event: Event) -> TracedMessage {
    let message = Message::new(event, Clock::default().now(), 0, 3);
    TracedMessage { message: message.encode(), traceparent: None }
}

pub(super) async fn publish(broker: &dyn Broker, message: &TracedMessage) {
    let published = tokio::time::timeout(TIMEOUT, broker.publish(message)).await;
    published.expect("the broker confirms in time").expect("the message is accepted");
}

/// Publish messages one after the other, so that their order is known.
pub(super) async fn publish_many(broker: &dyn Broker, count: usize) -> Vec<TracedMessage> {
    let messages: Vec<_> = (0..count).map(created).collect();
    for message in &messages {
        publish(broker, message).await;
    }
    messages
}

pub(super) async fn subscribe(
    broker: &dyn Broker,
    queue: Queue,
    prefetch: u16,
) -> Box<dyn Subscription> {
    let subscribed = tokio::time::timeout(TIMEOUT, broker.subscribe(queue, prefetch)).await;
    subscribed.expect("the broker answers in time").expect("a subscription")
}

pub(super) async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    let delivery = tokio::time::timeout(TIMEOUT, subscription.next()).await;
    delivery.expect("a message arrives in time").expect("the subscription lasts")
}

/// Poll once, without waiting.
pub(super) async fn poll_next(subscription: &mut Box<dyn Subscription>) -> Option<Delivery> {
    tokio::select! {
        biased;
        delivery = subscription.next() => Some(delivery.expect("the subscription lasts")),
        () = std::future::ready(()) => None,
    }
}

pub(super) async fn ack(delivery: Delivery) {
    delivery.ack().await.expect("the settlement succeeds");
}

/// Query a count, which may be delayed, until it is as expected.
pub(super) async fn becomes(
    description: &str,
    count: impl AsyncFn() -> Result<u64, Error>,
    expected: RangeInclusive<u64>,
) {
    let mut last = None;
    let querying = async {
        while !last.is_some_and(|last| expected.contains(&last)) {
            last = Some(count().await.expect("the broker reports the number"));
            yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(TIMEOUT, querying).await.is_ok();
    assert!(in_time, "{description}: expected {expected:?}, but found {last:?}");
}

pub(super) async fn message_count_becomes(
    broker: &dyn Broker,
    queue: Queue,
    expected: RangeInclusive<u64>,
) {
    becomes("messages", async || broker.message_count(queue).await, expected).await;
}

/// Wait until a queue is empty. Requires that no delivery is unsettled.
pub(super) async fn becomes_empty(broker: &dyn Broker, queue: Queue) {
    message_count_becomes(broker, queue, 0..=0).await;
}

pub(super) fn ids(messages: &[TracedMessage]) -> HashSet<JobId> {
    messages.iter().map(|message| message.message.job_id).collect()
}

pub(super) fn ids_of(deliveries: &[Delivery]) -> HashSet<JobId> {
    deliveries.iter().map(|delivery| delivery.message.event.job_id()).collect()
}
