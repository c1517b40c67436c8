//! What every adapter must do, as tests that it calls on a broker of its own.
//!
//! Where nothing may arrive, no test waits to see whether something does. Instead something else is
//! made to arrive that could not if the promise were broken: a message is there for another
//! subscription because the first did not take it.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jobs::message::{Cancelled, Completed, Created, Event, Failed};
use jobs::{Clock, FailureCode, JobId, Message, UserId};
use tokio::task::{JoinSet, yield_now};

use crate::{Broker, Delivery, Error, Outgoing, Queue, Subscription};

/// How long anything may take before the broker counts as hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Run the whole suite. Nobody else may use the broker meanwhile. Its queues are empty before and
/// after; its dead letters are not.
///
/// # Panics
/// The broker does not do what the traits promise.
pub async fn all(broker: Arc<dyn Broker>) {
    let shared = &broker;
    let broker = &**shared;
    for queue in Queue::ALL {
        assert_eq!(broker.waiting(queue).await, Ok(0), "{queue} should be empty before the suite");
    }
    // Each leaves the queues empty, so that its messages cannot be taken for those of the next.
    check(broker).await;
    messages_arrive_as_they_were_published(broker).await;
    each_event_has_its_queue(broker).await;
    messages_wait_for_a_subscription(broker).await;
    one_consumer_gets_messages_in_order(broker).await;
    no_more_than_prefetch_are_unanswered(broker).await;
    a_prefetch_of_zero_is_one(broker).await;
    a_dropped_delivery_comes_again(broker).await;
    a_requeued_message_comes_again(broker).await;
    a_rejected_message_never_comes_back(broker).await;
    answers_free_places(broker).await;
    a_dropped_subscription_leaves_its_messages_to_others(broker).await;
    two_subscriptions_share_without_repetition(shared).await;
    waiting_counts_what_is_not_handed_out(broker).await;
    next_can_be_dropped(broker).await;
}

async fn check(broker: &dyn Broker) {
    assert_eq!(broker.check().await, Ok(()));
}

async fn messages_arrive_as_they_were_published(broker: &dyn Broker) {
    let traced = Outgoing {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..created(0)
    };
    let untraced = created(1);
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    for outgoing in [traced, untraced] {
        publish(broker, &outgoing).await;
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message, outgoing.message);
        assert_eq!(delivery.traceparent, outgoing.traceparent);
        ack(delivery).await;
    }
    empty(broker, Queue::Process).await;
}

async fn each_event_has_its_queue(broker: &dyn Broker) {
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
            error_message: "the file holds no video".to_owned(),
        }),
        Event::Cancelled(Cancelled { job_id, user_id, filename }),
    ]
    .map(outgoing);
    let invitation = created(0);
    publish(broker, &invitation).await;
    for outcome in &outcomes {
        publish(broker, outcome).await;
    }

    let mut process = subscribe(broker, Queue::Process, 1).await;
    let mut notification = subscribe(broker, Queue::Notification, 1).await;
    for outcome in outcomes {
        let delivery = next(&mut notification).await;
        assert_eq!(delivery.message, outcome.message);
        ack(delivery).await;
    }
    let delivery = next(&mut process).await;
    assert_eq!(delivery.message, invitation.message);
    ack(delivery).await;
    empty(broker, Queue::Process).await;
    empty(broker, Queue::Notification).await;
}

async fn messages_wait_for_a_subscription(broker: &dyn Broker) {
    let outgoing = created(0);
    publish(broker, &outgoing).await;
    waiting_becomes(broker, Queue::Process, 1..=1).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message, outgoing.message);
    ack(delivery).await;
    empty(broker, Queue::Process).await;
}

async fn one_consumer_gets_messages_in_order(broker: &dyn Broker) {
    let messages = publish_many(broker, 20).await;
    let mut subscription = subscribe(broker, Queue::Process, 4).await;
    for outgoing in &messages {
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message, outgoing.message);
        ack(delivery).await;
    }
    empty(broker, Queue::Process).await;
}

async fn no_more_than_prefetch_are_unanswered(broker: &dyn Broker) {
    let mut first = subscribe(broker, Queue::Process, 2).await;
    let messages = publish_many(broker, 3).await;
    let held = [next(&mut first).await, next(&mut first).await];
    // The third message is there for another only if the first subscription did not get it, neither
    // to hand out nor to keep.
    let mut second = subscribe(broker, Queue::Process, 1).await;
    let delivery = {
        let mut more = pin!(first.next());
        tokio::select! {
            biased;
            more = &mut more => panic!("a third delivery while two are unanswered: {more:?}"),
            delivery = next(&mut second) => delivery,
        }
    };
    assert_eq!(delivery.message, messages[2].message);
    for delivery in held.into_iter().chain([delivery]) {
        ack(delivery).await;
    }
    empty(broker, Queue::Process).await;
}

async fn a_prefetch_of_zero_is_one(broker: &dyn Broker) {
    let mut first = subscribe(broker, Queue::Process, 0).await;
    let messages = publish_many(broker, 2).await;
    let held = next(&mut first).await;
    let mut second = subscribe(broker, Queue::Process, 1).await;
    let delivery = next(&mut second).await;
    assert_eq!((&held.message, &delivery.message), (&messages[0].message, &messages[1].message));
    ack(held).await;
    ack(delivery).await;
    empty(broker, Queue::Process).await;
}

async fn a_dropped_delivery_comes_again(broker: &dyn Broker) {
    let outgoing = Outgoing {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..created(0)
    };
    publish(broker, &outgoing).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    drop(next(&mut subscription).await);
    let again = next(&mut subscription).await;
    assert_eq!(again.message, outgoing.message);
    assert_eq!(again.traceparent, outgoing.traceparent);
    // So does one whose consumer goes away altogether.
    drop(again);
    drop(subscription);
    let mut other = subscribe(broker, Queue::Process, 1).await;
    let again = next(&mut other).await;
    assert_eq!(again.message, outgoing.message);
    ack(again).await;
    empty(broker, Queue::Process).await;
}

async fn a_requeued_message_comes_again(broker: &dyn Broker) {
    let messages = publish_many(broker, 2).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let first = next(&mut subscription).await;
    assert_eq!(first.message, messages[0].message);
    first.requeue().await.expect("the answer is taken");
    // Where in the queue it comes again is the broker's choice.
    let mut left = ids(&messages);
    while !left.is_empty() {
        let delivery = next(&mut subscription).await;
        assert!(left.remove(&delivery.message.event.job_id()), "{delivery:?} came twice");
        ack(delivery).await;
    }
    empty(broker, Queue::Process).await;
}

async fn a_rejected_message_never_comes_back(broker: &dyn Broker) {
    let messages = publish_many(broker, 2).await;
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    let first = next(&mut subscription).await;
    assert_eq!(first.message, messages[0].message);
    let dead = broker.dead_letters(Queue::Process).await.expect("the broker counts");
    first.reject().await.expect("the answer is taken");
    let second = next(&mut subscription).await;
    assert_eq!(second.message, messages[1].message);
    // It is not behind the other one either: whichever way it came back, it would come before this
    // one.
    let third = created(2);
    publish(broker, &third).await;
    ack(second).await;
    let delivery = next(&mut subscription).await;
    assert_eq!(delivery.message, third.message);
    ack(delivery).await;
    becomes(
        "dead letters",
        async || broker.dead_letters(Queue::Process).await,
        dead + 1..=dead + 1,
    )
    .await;
    empty(broker, Queue::Process).await;
}

/// Every kind of answer makes room for another delivery.
async fn answers_free_places(broker: &dyn Broker) {
    let mut subscription = subscribe(broker, Queue::Process, 1).await;
    for answer in 0..4 {
        let messages = publish_many(broker, 2).await;
        let first = next(&mut subscription).await;
        match answer {
            0 => first.ack().await.expect("the answer is taken"),
            1 => first.reject().await.expect("the answer is taken"),
            2 => first.requeue().await.expect("the answer is taken"),
            _ => drop(first),
        }
        for _ in if answer < 2 { &messages[1..] } else { &messages[..] } {
            ack(next(&mut subscription).await).await;
        }
        empty(broker, Queue::Process).await;
    }
}

async fn a_dropped_subscription_leaves_its_messages_to_others(broker: &dyn Broker) {
    let messages = publish_many(broker, 3).await;
    let mut first = subscribe(broker, Queue::Process, 3).await;
    let held = next(&mut first).await;
    assert_eq!(held.message, messages[0].message);
    drop(first);
    let mut second = subscribe(broker, Queue::Process, 3).await;
    let others = [next(&mut second).await, next(&mut second).await];
    assert_eq!(ids_of(&others), ids(&messages[1..]));
    // What it had handed out is still its consumer's to answer, and does not come to others.
    ack(held).await;
    for delivery in others {
        ack(delivery).await;
    }
    empty(broker, Queue::Process).await;
}

/// As many publish at once as there are messages.
async fn two_subscriptions_share_without_repetition(broker: &Arc<dyn Broker>) {
    const COUNT: usize = 100;
    let shared = broker;
    let broker = &**shared;
    let mut first = subscribe(broker, Queue::Process, 3).await;
    let mut second = subscribe(broker, Queue::Process, 3).await;
    let messages: Vec<_> = (0..COUNT).map(created).collect();
    let mut left = ids(&messages);
    let mut publishing = JoinSet::new();
    for outgoing in messages {
        let broker = Arc::clone(shared);
        publishing.spawn(async move { publish(&*broker, &outgoing).await });
    }
    let taking = async {
        while !left.is_empty() {
            let delivery = tokio::select! {
                delivery = next(&mut first) => delivery,
                delivery = next(&mut second) => delivery,
            };
            assert!(left.remove(&delivery.message.event.job_id()), "{delivery:?} came twice");
            ack(delivery).await;
        }
    };
    tokio::join!(publishing.join_all(), taking);
    // No repetition is on its way to either: it would come before this one, which only one of them
    // gets.
    let last = created(COUNT);
    publish(broker, &last).await;
    let delivery = tokio::select! {
        delivery = next(&mut first) => delivery,
        delivery = next(&mut second) => delivery,
    };
    assert_eq!(delivery.message, last.message);
    ack(delivery).await;
    empty(broker, Queue::Process).await;
}

async fn waiting_counts_what_is_not_handed_out(broker: &dyn Broker) {
    publish_many(broker, 3).await;
    waiting_becomes(broker, Queue::Process, 3..=3).await;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
    // Of three, two are handed out.
    waiting_becomes(broker, Queue::Process, 1..=3).await;
    ack(first).await;
    let third = next(&mut subscription).await;
    // Of two, both are; once the broker has noticed.
    waiting_becomes(broker, Queue::Process, 0..=2).await;
    assert_eq!(broker.waiting(Queue::Notification).await, Ok(0), "each queue counts its own");
    drop(subscription);
    second.requeue().await.expect("the answer is taken");
    drop(third);
    // Nobody subscribes any more, so what comes back waits.
    waiting_becomes(broker, Queue::Process, 2..=2).await;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let (second, third) = (next(&mut subscription).await, next(&mut subscription).await);
    second.reject().await.expect("the answer is taken");
    ack(third).await;
    empty(broker, Queue::Process).await;
}

/// Ask for a delivery again and again without waiting for it, while messages arrive and places get
/// free: all come, in order.
async fn next_can_be_dropped(broker: &dyn Broker) {
    const COUNT: usize = 100;
    let mut subscription = subscribe(broker, Queue::Process, 2).await;
    let messages: Vec<_> = (0..COUNT).map(created).collect();
    let publishing = async {
        for outgoing in &messages {
            publish(broker, outgoing).await;
            yield_now().await;
        }
    };
    let taking = async {
        let mut dropped = 0_u32;
        let mut held = None;
        for outgoing in &messages {
            let delivery = loop {
                match poll_next(&mut subscription).await {
                    Some(delivery) => break delivery,
                    None => dropped += 1,
                }
                yield_now().await;
            };
            assert_eq!(delivery.message, outgoing.message);
            // One is unanswered at any time, and for a moment two, when there is no place for a
            // third.
            if let Some(earlier) = held.replace(delivery) {
                assert!(
                    poll_next(&mut subscription).await.is_none(),
                    "a third delivery while two are unanswered"
                );
                ack(earlier).await;
            }
        }
        ack(held.expect("the last delivery")).await;
        assert!(dropped > 0, "no future was dropped while it waited");
    };
    tokio::time::timeout(PATIENCE, async { tokio::join!(publishing, taking) })
        .await
        .expect("all messages come in time");
    empty(broker, Queue::Process).await;
}

/// An invitation to a job of its own.
pub(crate) fn created(number: usize) -> Outgoing {
    let (job_id, user_id) = (JobId::generate(), UserId::generate());
    outgoing(Event::Created(Created {
        job_id,
        user_id,
        video_path: format!("videos/{user_id}/{job_id}/input.mp4"),
        filename: format!("vídeo {number}.mp4"),
        video_size_bytes: number as u64,
        recipe: jobs::Recipe::default(),
    }))
}

fn outgoing(event: Event) -> Outgoing {
    Outgoing { message: Message::new(event, Clock::default().now(), 0, 3), traceparent: None }
}

async fn publish(broker: &dyn Broker, outgoing: &Outgoing) {
    let published = tokio::time::timeout(PATIENCE, broker.publish(outgoing)).await;
    published.expect("the broker confirms in time").expect("the message is taken");
}

/// Publish so many messages, one after the other, so that their order is known.
async fn publish_many(broker: &dyn Broker, count: usize) -> Vec<Outgoing> {
    let messages: Vec<_> = (0..count).map(created).collect();
    for outgoing in &messages {
        publish(broker, outgoing).await;
    }
    messages
}

async fn subscribe(broker: &dyn Broker, queue: Queue, prefetch: u16) -> Box<dyn Subscription> {
    let subscribed = tokio::time::timeout(PATIENCE, broker.subscribe(queue, prefetch)).await;
    subscribed.expect("the broker answers in time").expect("a subscription")
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    let delivery = tokio::time::timeout(PATIENCE, subscription.next()).await;
    delivery.expect("a message comes in time").expect("the subscription lasts")
}

/// Ask once, and do not wait.
async fn poll_next(subscription: &mut Box<dyn Subscription>) -> Option<Delivery> {
    tokio::select! {
        biased;
        delivery = subscription.next() => Some(delivery.expect("the subscription lasts")),
        () = std::future::ready(()) => None,
    }
}

async fn ack(delivery: Delivery) {
    delivery.ack().await.expect("the answer is taken");
}

/// Brokers count a little behind; ask until the number is right.
async fn becomes(
    what: &str,
    count: impl AsyncFn() -> Result<u64, Error>,
    wanted: RangeInclusive<u64>,
) {
    let mut last = None;
    let asking = async {
        while !last.is_some_and(|last| wanted.contains(&last)) {
            last = Some(count().await.expect("the broker counts"));
            yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, asking).await.is_ok();
    assert!(in_time, "{what} should be {wanted:?}, not {last:?}");
}

async fn waiting_becomes(broker: &dyn Broker, queue: Queue, wanted: RangeInclusive<u64>) {
    becomes("messages that wait", async || broker.waiting(queue).await, wanted).await;
}

/// To be asked when no delivery is unanswered.
async fn empty(broker: &dyn Broker, queue: Queue) {
    waiting_becomes(broker, queue, 0..=0).await;
}

fn ids(messages: &[Outgoing]) -> HashSet<JobId> {
    messages.iter().map(|outgoing| outgoing.message.event.job_id()).collect()
}

fn ids_of(deliveries: &[Delivery]) -> HashSet<JobId> {
    deliveries.iter().map(|delivery| delivery.message.event.job_id()).collect()
}
