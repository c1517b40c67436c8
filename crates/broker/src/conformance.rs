//! Tests that every adapter must pass, each on a separate broker.
//!
//! No test waits for the absence of a message. Instead, another message arrives that could not
//! arrive if the guarantee were violated: another subscription receives a message because the first
//! did not.

mod steps;

use std::pin::pin;
use std::sync::Arc;

use jobs::message::{Cancelled, Completed, EncodedMessage, Event, Failed};
use jobs::{FailureCode, JobId, UserId};
use serde_json::{Value, json};
use tokio::task::{JoinSet, yield_now};

use crate::interface::Broker;
use crate::message::TracedMessage;
use crate::queue::Queue;
use steps::{
    ack, becomes, becomes_empty, ids, ids_of, message_count_becomes, next, poll_next, publish,
    publish_many, subscribe, traced,
};

pub(crate) use steps::{TIMEOUT, created};

/// Run the whole suite. Nothing else may use the broker meanwhile. Its queues must be empty and are
/// empty afterwards, but the suite leaves dead letters.
///
/// # Panics
/// The broker violates a guarantee of the traits.
pub(crate) async fn all(broker: Arc<dyn Broker>) {
    let shared = &broker;
    let broker = &**shared;
    for queue in Queue::ALL {
        assert_eq!(
            broker.message_count(queue).await,
            Ok(0),
            "{queue} should be empty before the suite"
        );
    }
    // Each leaves the queues empty, so that its messages do not reach the next.
    check(broker).await;
    messages_arrive_unchanged(broker).await;
    messages_of_a_later_version_arrive(broker).await;
    an_unreadable_message_becomes_a_dead_letter(broker).await;
    a_message_can_be_published_as_a_dead_letter(broker).await;
    events_are_routed_to_their_queues(broker).await;
    messages_wait_for_a_subscription(broker).await;
    a_single_subscription_receives_messages_in_order(broker).await;
    unsettled_deliveries_are_limited_by_prefetch(broker).await;
    a_prefetch_of_zero_counts_as_one(broker).await;
    a_dropped_delivery_is_delivered_again(broker).await;
    a_requeued_message_is_delivered_again(broker).await;
    a_rejected_message_becomes_a_dead_letter(broker).await;
    settling_permits_the_next_delivery(broker).await;
    a_dropped_subscription_returns_its_messages(broker).await;
    two_subscriptions_share_messages_without_repetition(shared).await;
    message_count_includes_ready_messages(broker).await;
    next_is_cancel_safe(broker).await;
}

async fn check(broker: &dyn Broker) {
    assert_eq!(broker.check().await, Ok(()));
    for queue in Queue::ALL {
        assert_eq!(broker.retire_earlier(queue).await, Ok(None), "{queue} has no earlier version");
    }
}

async fn messages_arrive_unchanged(broker: &dyn Broker) {
    let traced = TracedMessage {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..created(0)
    };
    let untraced = created(1);
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    for message in [traced, untraced] {
        publish(broker, &message).await;
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message.encode(), message.message);
        assert_eq!(delivery.traceparent, message.traceparent);
        ack(delivery).await;
    }
    becomes_empty(broker, Queue::Process).await;
}

async fn messages_of_a_later_version_arrive(broker: &dyn Broker) {
    let known = created(0);
    let mut json: Value = serde_json::from_str(&known.message.json).expect("a message is JSON");
    json["version"] = json!(3);
    json["priority"] = json!(1);
    json["payload"]["folder"] = json!("praia");
    json["payload"]["recipe"] = json!({ "image": { "format": "avif" } });
    let message = EncodedMessage { json: json.to_string(), ..known.message };
    publish(broker, &TracedMessage { message: message.clone(), traceparent: None }).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message, message.decode().expect("the message is readable"));
    let Event::Created(created) = &delivery.message.event else { panic!("{delivery:?}") };
    assert_eq!(created.recipe.to_json(), json["payload"]["recipe"]);
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn an_unreadable_message_becomes_a_dead_letter(broker: &dyn Broker) {
    let dead = async || broker.dead_letter_count(Queue::Process).await;
    let before = dead().await.expect("the broker reports the number");
    let TracedMessage { message, .. } = created(0);
    let message = EncodedMessage { json: "{}".to_owned(), ..message };
    publish(broker, &TracedMessage { message, traceparent: None }).await;
    let readable = created(1);
    publish(broker, &readable).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message.encode(), readable.message);
    ack(delivery).await;
    becomes("dead letters", dead, before + 1..=before + 1).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn a_message_can_be_published_as_a_dead_letter(broker: &dyn Broker) {
    let dead = async || broker.dead_letter_count(Queue::Process).await;
    let before = dead().await.expect("the broker reports the number");
    broker.publish_dead_letter(&created(0)).await.expect("the broker stores it");
    becomes("dead letters", dead, before + 1..=before + 1).await;
    // It is not delivered.
    let next_message = created(1);
    publish(broker, &next_message).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message.encode(), next_message.message);
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn events_are_routed_to_their_queues(broker: &dyn Broker) {
    let (job_id, user_id, filename) =
        (JobId::generate(), UserId::generate(), "férias.mp4".to_owned());
    let outcomes = [
        Event::Completed(Completed {
            job_id,
            user_id,
            filename: filename.clone(),
            zip_path: "output.zip".to_owned(),
            zip_size_bytes: 1,
            frame_count: 12,
            complete: true,
            processing_time_seconds: 0.75,
        }),
        Event::Failed(Failed {
            job_id,
            user_id,
            filename: filename.clone(),
            error_code: FailureCode::NoVideoStream,
            error_message: "the file has no video stream".to_owned(),
        }),
        Event::Cancelled(Cancelled { job_id, user_id, filename }),
    ]
    .map(traced);
    let task = created(0);
    publish(broker, &task).await;
    for outcome in &outcomes {
        publish(broker, outcome).await;
    }

    let mut process = subscribe(broker, Queue::Process, 1).await;
    let mut notification = subscribe(broker, Queue::Notification, 1).await;
    for outcome in outcomes {
        let delivery = next(&mut notification).await;
        assert_eq!(delivery.message.encode(), outcome.message);
        ack(delivery).await;
    }
    let delivery = next(&mut process).await;
    assert_eq!(delivery.message.encode(), task.message);
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
    becomes_empty(broker, Queue::Notification).await;
}

async fn messages_wait_for_a_subscription(broker: &dyn Broker) {
    let message = created(0);
    publish(broker, &message).await;
    message_count_becomes(broker, Queue::Process, 1..=1).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message.encode(), message.message);
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn a_single_subscription_receives_messages_in_order(broker: &dyn Broker) {
    let messages = publish_many(broker, 20).await;
    let mut subscription = subscribe(broker, Queue::Process, 4).await;
    for message in &messages {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message.encode(), message.message);
        ack(delivery).await;
    }
    becomes_empty(broker, Queue::Process).await;
}

async fn unsettled_deliveries_are_limited_by_prefetch(broker: &dyn Broker) {
    let mut first = subscribe(broker, Queue::Process, 2).await;
    let messages = publish_many(broker, 3).await;
    let held = [next(&mut first).await, next(&mut first).await];
    // Another subscription receives the third message only if the first one has neither delivered
    // nor prefetched it.
    let mut second = subscribe(broker, Queue::Process, 1).await;
    let delivery = {
        let mut more = pin!(first.next());
        tokio::select! {
            biased;
            more = &mut more => panic!("a third delivery while two are unsettled: {more:?}"),
            delivery = next(&mut second) => delivery,
        }
    };
    assert_eq!(delivery.message.encode(), messages[2].message);
    for delivery in held.into_iter().chain([delivery]) {
        ack(delivery).await;
    }
    becomes_empty(broker, Queue::Process).await;
}

async fn a_prefetch_of_zero_counts_as_one(broker: &dyn Broker) {
    let mut first = subscribe(broker, Queue::Process, 0).await;
    let messages = publish_many(broker, 2).await;
    let held = next(&mut first).await;
    let mut second = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut second).await;
    assert_eq!(held.message.encode(), messages[0].message);
    assert_eq!(delivery.message.encode(), messages[1].message);
    ack(held).await;
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn a_dropped_delivery_is_delivered_again(broker: &dyn Broker) {
    let message = TracedMessage {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..created(0)
    };
    publish(broker, &message).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    drop(next(&mut subscription).await);
    let again = next(&mut subscription).await;
    assert_eq!(again.message.encode(), message.message);
    assert_eq!(again.traceparent, message.traceparent);
    // Also if its subscription is dropped.
    drop(again);
    drop(subscription);
    let mut other = subscribe(broker, Queue::Process, 1).await;
    let again = next(&mut other).await;
    assert_eq!(again.message.encode(), message.message);
    ack(again).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn a_requeued_message_is_delivered_again(broker: &dyn Broker) {
    let messages = publish_many(broker, 2).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let first = next(&mut subscription).await;
    assert_eq!(first.message.encode(), messages[0].message);
    first.requeue().await.expect("the settlement succeeds");
    // Its position in the queue depends on the broker.
    let mut left = ids(&messages);
    while !left.is_empty() {
        let delivery = next(&mut subscription).await;
        assert!(left.remove(&delivery.message.event.job_id()), "{delivery:?} was delivered twice");
        ack(delivery).await;
    }
    becomes_empty(broker, Queue::Process).await;
}

async fn a_rejected_message_becomes_a_dead_letter(broker: &dyn Broker) {
    let messages = publish_many(broker, 2).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let first = next(&mut subscription).await;
    assert_eq!(first.message.encode(), messages[0].message);
    let dead =
        broker.dead_letter_count(Queue::Process).await.expect("the broker reports the number");
    first.reject().await.expect("the settlement succeeds");
    let second = next(&mut subscription).await;
    assert_eq!(second.message.encode(), messages[1].message);
    // If it were queued after the second one, it would be delivered before this one.
    let third = created(2);
    publish(broker, &third).await;
    ack(second).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message.encode(), third.message);
    ack(delivery).await;
    becomes(
        "dead letters",
        async || broker.dead_letter_count(Queue::Process).await,
        dead + 1..=dead + 1,
    )
    .await;
    becomes_empty(broker, Queue::Process).await;
}

/// Every kind of settlement permits another delivery.
async fn settling_permits_the_next_delivery(broker: &dyn Broker) {
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    for settlement in 0..4 {
        let messages = publish_many(broker, 2).await;
        let first = next(&mut subscription).await;
        match settlement {
            0 => first.ack().await.expect("the settlement succeeds"),
            1 => first.reject().await.expect("the settlement succeeds"),
            2 => first.requeue().await.expect("the settlement succeeds"),
            _ => drop(first),
        }
        for _ in if settlement < 2 { &messages[1..] } else { &messages[..] } {
            ack(next(&mut subscription).await).await;
        }
        becomes_empty(broker, Queue::Process).await;
    }
}

async fn a_dropped_subscription_returns_its_messages(broker: &dyn Broker) {
    let messages = publish_many(broker, 3).await;
    let mut first = subscribe(broker, Queue::Process, 3).await;
    let held = next(&mut first).await;
    assert_eq!(held.message.encode(), messages[0].message);
    drop(first);
    let mut second = subscribe(broker, Queue::Process, 3).await;
    let others = [next(&mut second).await, next(&mut second).await];
    assert_eq!(ids_of(&others), ids(&messages[1..]));
    // The delivery of the dropped subscription can still be settled, and is not delivered again.
    ack(held).await;
    for delivery in others {
        ack(delivery).await;
    }
    becomes_empty(broker, Queue::Process).await;
}

/// All messages are published simultaneously.
async fn two_subscriptions_share_messages_without_repetition(broker: &Arc<dyn Broker>) {
    const COUNT: usize = 100;
    let shared = broker;
    let broker = &**shared;
    let mut first = subscribe(broker, Queue::Process, 3).await;
    let mut second = subscribe(broker, Queue::Process, 3).await;
    let messages: Vec<_> = (0..COUNT).map(created).collect();
    let mut left = ids(&messages);
    let mut publishing = JoinSet::new();
    for message in messages {
        let broker = Arc::clone(shared);
        publishing.spawn(async move { publish(&*broker, &message).await });
    }
    let receiving = async {
        while !left.is_empty() {
            let delivery = tokio::select! {
                delivery = next(&mut first) => delivery,
                delivery = next(&mut second) => delivery,
            };
            assert!(
                left.remove(&delivery.message.event.job_id()),
                "{delivery:?} was delivered twice"
            );
            ack(delivery).await;
        }
    };
    tokio::join!(publishing.join_all(), receiving);
    // A repetition would be delivered before this message.
    let last = created(COUNT);
    publish(broker, &last).await;
    let delivery = tokio::select! {
        delivery = next(&mut first) => delivery,
        delivery = next(&mut second) => delivery,
    };
    assert_eq!(delivery.message.encode(), last.message);
    ack(delivery).await;
    becomes_empty(broker, Queue::Process).await;
}

async fn message_count_includes_ready_messages(broker: &dyn Broker) {
    publish_many(broker, 3).await;
    message_count_becomes(broker, Queue::Process, 3..=3).await;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
    // Of three messages, two are delivered.
    message_count_becomes(broker, Queue::Process, 1..=3).await;
    ack(first).await;
    let third = next(&mut subscription).await;
    // Of two messages, both are delivered.
    message_count_becomes(broker, Queue::Process, 0..=2).await;
    assert_eq!(
        broker.message_count(Queue::Notification).await,
        Ok(0),
        "queues are counted separately"
    );
    drop(subscription);
    second.requeue().await.expect("the settlement succeeds");
    drop(third);
    // Without a subscription, returned messages wait.
    message_count_becomes(broker, Queue::Process, 2..=2).await;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let (second, third) = (next(&mut subscription).await, next(&mut subscription).await);
    second.reject().await.expect("the settlement succeeds");
    ack(third).await;
    becomes_empty(broker, Queue::Process).await;
}

/// Poll for deliveries without waiting, while messages arrive and deliveries are settled: all
/// messages are delivered in order.
async fn next_is_cancel_safe(broker: &dyn Broker) {
    const COUNT: usize = 100;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let messages: Vec<_> = (0..COUNT).map(created).collect();
    let publishing = async {
        for message in &messages {
            publish(broker, message).await;
            yield_now().await;
        }
    };
    let receiving = async {
        let mut dropped = 0_u32;
        let mut held = None;
        for message in &messages {
            let delivery = loop {
                match poll_next(&mut subscription).await {
                    Some(delivery) => break delivery,
                    None => dropped += 1,
                }
                yield_now().await;
            };
            assert_eq!(delivery.message.encode(), message.message);
            // One delivery is unsettled at any time, and for a moment two, which is the limit.
            if let Some(earlier) = held.replace(delivery) {
                assert!(
                    poll_next(&mut subscription).await.is_none(),
                    "a third delivery while two are unsettled"
                );
                ack(earlier).await;
            }
        }
        ack(held.expect("the last delivery")).await;
        assert!(dropped > 0, "some futures were dropped while they waited");
    };
    tokio::time::timeout(TIMEOUT, async { tokio::join!(publishing, receiving) })
        .await
        .expect("all messages arrive in time");
    becomes_empty(broker, Queue::Process).await;
}
