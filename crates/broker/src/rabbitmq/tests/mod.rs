//! Against a real server.

mod outages;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use jobs::message::{Cancelled, Event};
use jobs::{Clock, JobId, Message, UserId};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};

use super::*;
use crate::Delivery;
use crate::conformance::{self, PATIENCE, created};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A virtual host of the test's own.
struct Host {
    name: String,
    url: String,
}

impl Host {
    fn new() -> Self {
        let (name, url) = servers::RabbitMq::shared().create_virtual_host();
        Self { name, url }
    }

    async fn broker(&self) -> RabbitMq {
        self.connect().await.expect("the server is there")
    }

    async fn connect(&self) -> Result<RabbitMq, Error> {
        RabbitMq::connect(&self.url.as_str().into(), PATIENCE).await
    }

    /// A channel past the adapter.
    async fn channel(&self) -> Channel {
        let connection = Connection::connect(&self.url, ConnectionProperties::default())
            .await
            .expect("the server is there");
        connection.create_channel().await.expect("a channel")
    }

    fn control(&self, command: &str, arguments: &[&str]) -> String {
        let all: Vec<_> =
            [command, "--vhost", &self.name].into_iter().chain(arguments.iter().copied()).collect();
        servers::RabbitMq::shared().control(&all)
    }

    fn list(&self, command: &str, columns: &[&str]) -> Vec<Value> {
        let listed = self.control(command, &[&["--formatter", "json"], columns].concat());
        serde_json::from_str(&listed).expect("rabbitmqctl writes JSON")
    }
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    timeout(PATIENCE, subscription.next())
        .await
        .expect("a message comes in time")
        .expect("the subscription lasts")
}

/// All messages of a queue as they come, past the adapter.
async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let unanswered = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    channel
        .basic_consume(queue.into(), "".into(), unanswered, FieldTable::default())
        .await
        .expect("the queue is there")
}

async fn take(consumer: &mut Consumer) -> lapin::message::Delivery {
    let taken = timeout(PATIENCE, consumer.next()).await.expect("a message comes in time");
    taken.expect("the channel is open").expect("the channel is open")
}

fn cancelled() -> Outgoing {
    let event = Event::Cancelled(Cancelled {
        job_id: JobId::generate(),
        user_id: UserId::generate(),
        filename: "férias.mp4".to_owned(),
    });
    Outgoing { message: Message::new(event, Clock::default().now(), 0, 3), traceparent: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::all(Arc::new(Host::new().broker().await)).await;
}

#[tokio::test]
async fn makes_exchanges_and_queues() {
    let host = Host::new();
    let broker = host.broker().await;
    assert_eq!(broker.check().await, Ok(()));

    let quorum = |more: Value| {
        let mut arguments = json!({"x-queue-type": "quorum", "x-delivery-limit": 100_000});
        for (name, value) in more.as_object().expect("an object") {
            arguments[name] = value.clone();
        }
        arguments
    };
    let dead = || quorum(json!({"x-message-ttl": 604_800_000}));
    let task = |name: &str| {
        quorum(json!({
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": format!("{name}.dlq"),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-consumer-timeout": 86_400_000,
        }))
    };
    let mut notification = task("notification.send");
    notification["x-message-ttl"] = json!(86_400_000);
    let wanted = BTreeMap::from([
        ("video.process".to_owned(), task("video.process")),
        ("video.process.dlq".to_owned(), dead()),
        ("notification.send".to_owned(), notification),
        ("notification.send.dlq".to_owned(), dead()),
    ]);
    let mut found = BTreeMap::new();
    for queue in host.list("list_queues", &["name", "type", "durable", "arguments"]) {
        assert_eq!(
            (&queue["type"], &queue["durable"]),
            (&json!("quorum"), &json!(true)),
            "{queue}"
        );
        // Each as a list of name, type and value.
        let arguments = queue["arguments"].as_array().expect("a list");
        let named = arguments.iter().map(|argument| {
            (argument[0].as_str().expect("a name").to_owned(), argument[2].clone())
        });
        found.insert(
            queue["name"].as_str().expect("a name").to_owned(),
            Value::Object(named.collect()),
        );
    }
    assert_eq!(found, wanted);

    let exchanges = host.list("list_exchanges", &["name", "type", "durable"]);
    for (name, kind) in [("video.exchange", "direct"), ("notification.exchange", "fanout")] {
        assert!(
            exchanges.contains(&json!({"name": name, "type": kind, "durable": true})),
            "{name} in {exchanges:?}"
        );
    }
    let mut bindings =
        host.list("list_bindings", &["source_name", "routing_key", "destination_name"]);
    bindings.retain(|binding| binding["source_name"] != "");
    bindings.sort_by_key(ToString::to_string);
    assert_eq!(
        bindings,
        [
            json!({"source_name": "notification.exchange", "routing_key": "", "destination_name": "notification.send"}),
            json!({"source_name": "video.exchange", "routing_key": "process", "destination_name": "video.process"}),
        ]
    );

    // Once more: what is there is as it should be.
    host.broker().await;
}

/// Whatever argument of a queue is another, the error names it, the queue, and a remedy.
#[tokio::test]
async fn other_arguments_are_told() {
    let host = Host::new();
    let channel = host.channel().await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    for queue in Queue::ALL {
        let mut others = Vec::new();
        for (name, right) in topology::arguments(queue).inner() {
            let other = match name.as_str() {
                // RabbitMQ 3.10 compares no argument that it does not know. A classic queue, which
                // takes few of the rest, comes last.
                "x-consumer-timeout" | "x-queue-type" => continue,
                "x-dead-letter-strategy" => AMQPValue::LongString("at-most-once".into()),
                "x-overflow" => AMQPValue::LongString("drop-head".into()),
                _ if right.as_long_string().is_some() => AMQPValue::LongString("elsewhere".into()),
                _ => AMQPValue::LongLongInt(1000),
            };
            let mut wrong = topology::arguments(queue);
            wrong.insert(name.clone(), other);
            others.push((name.to_string(), wrong));
        }
        others.push(("inequivalent arg".to_owned(), FieldTable::default()));
        for (name, wrong) in others {
            channel.queue_declare(queue.name().into(), durable, wrong).await.expect("a queue");
            match host.connect().await {
                Err(Error::Refused { reason }) => {
                    for word in [queue.name(), &name, "delete it"] {
                        assert!(reason.contains(word), "{word} is not in: {reason}");
                    }
                }
                other => panic!("{queue} with another {name}: {other:?}"),
            }
            channel
                .queue_delete(queue.name().into(), QueueDeleteOptions::default())
                .await
                .expect("the queue is there");
        }
    }
    host.broker().await;
}

#[tokio::test]
async fn wrong_credentials_are_told() {
    let host = Host::new();
    let shown = format!("{:?}", host.broker().await);
    assert!(!shown.contains("guest"), "{shown}");
    let url = host.url.replace("guest:guest", "guest:hunter2");
    match RabbitMq::connect(&url.into(), PATIENCE).await {
        Err(error @ Error::Refused { .. }) => {
            let said = error.to_string();
            assert!(said.contains("ACCESS_REFUSED") && !said.contains("hunter2"), "{said}");
        }
        other => panic!("a wrong password: {other:?}"),
    }
    let url = host.url.replace(&host.name, "nowhere");
    match RabbitMq::connect(&url.into(), PATIENCE).await {
        Err(Error::Refused { reason }) => assert!(reason.contains("nowhere"), "{reason}"),
        other => panic!("a virtual host that is not there: {other:?}"),
    }
}

#[tokio::test]
async fn messages_are_as_agreed_on_the_wire() {
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    let traced = Outgoing { traceparent: Some(TRACE.to_owned()), ..created(1) };
    for outgoing in [traced, cancelled()] {
        broker.publish(&outgoing).await.expect("the message is taken");
        let message = &outgoing.message;
        let queue = Queue::of(&message.event);
        let got = take(&mut consume(&channel, queue.name()).await).await;
        assert_eq!(serde_json::from_slice::<Message>(&got.data).expect("JSON"), *message);
        assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), topology::route(queue));
        let properties = &got.properties;
        assert_eq!(
            properties.content_type().as_ref().map(ShortString::as_str),
            Some("application/json")
        );
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(
            properties.message_id().as_ref().map(ToString::to_string),
            Some(message.event_id.to_string())
        );
        assert_eq!(properties.kind().as_ref().map(ShortString::as_str), Some(message.event.name()));
        assert_eq!(*properties.timestamp(), u64::try_from(message.timestamp.timestamp()).ok());
        let headers = properties.headers().as_ref().expect("headers");
        let trace = headers
            .inner()
            .get("traceparent")
            .and_then(|value| value.as_long_string())
            .map(ToString::to_string);
        assert_eq!(trace, outgoing.traceparent);
    }
}

#[tokio::test]
async fn a_message_that_reaches_no_queue_is_an_error() {
    let host = Host::new();
    let broker = host.broker().await;
    for (queue, outgoing) in [(Queue::Process, created(0)), (Queue::Notification, cancelled())] {
        broker.publish(&outgoing).await.expect("the message is taken");
        host.control("delete_queue", &[queue.name()]);
        let refused = broker.publish(&outgoing).await;
        assert!(
            matches!(&refused, Err(Error::Refused { reason }) if reason.contains(queue.name())),
            "{refused:?}"
        );
        // The next one finds the queue made anew.
        broker.publish(&outgoing).await.expect("the message is taken");
        assert_eq!(broker.waiting(queue).await, Ok(1));
    }
    let channel = host.channel().await;
    channel
        .exchange_delete("video.exchange".into(), ExchangeDeleteOptions::default())
        .await
        .expect("the exchange is there");
    let refused = broker.publish(&created(1)).await;
    assert!(matches!(&refused, Err(Error::Refused { .. })), "{refused:?}");
    broker.publish(&created(2)).await.expect("the message is taken");
}

/// Each message's own fate is reported, not that of another which was published at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn returned_messages_are_told_from_others() {
    const COUNT: usize = 3000;
    let broker = Host::new().broker().await;
    let publisher = &broker.publisher;
    let connection = &*publisher.open().await.expect("the server is there");
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sending = (0..COUNT).map(|number| async move {
        let key = ["process", "nowhere"][number % 2];
        let body = number.to_string();
        let returned = publisher
            .send(
                connection,
                "video.exchange",
                key,
                mandatory,
                body.as_bytes(),
                BasicProperties::default(),
            )
            .await;
        let returned = returned.expect("the message is taken").map(|message| message.data.clone());
        assert_eq!(returned, (key == "nowhere").then(|| body.into_bytes()), "message {number}");
    });
    join_all(sending).await;
    assert_eq!(broker.waiting(Queue::Process).await, Ok(COUNT as u64 / 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_at_once() {
    const COUNT: usize = 1000;
    let host = Host::new();
    let broker = &host.broker().await;
    let start = std::time::Instant::now();
    let sent =
        join_all((0..COUNT).map(|number| async move { broker.publish(&created(number)).await }))
            .await;
    println!("{COUNT} messages confirmed in {:?}", start.elapsed());
    assert!(sent.iter().all(Result::is_ok), "{:?}", sent.iter().find(|result| result.is_err()));
    assert_eq!(broker.waiting(Queue::Process).await, Ok(COUNT as u64));
}

/// What others put into a queue ends with the dead letters, whole, and does not hold up the rest.
#[tokio::test]
async fn what_is_not_ours_is_rejected() {
    const GARBAGE: [&[u8]; 3] = [b"{\"event_type\": \"job.crea", b"{}", b""];
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    // Two connections: the garbage comes first only if it is confirmed first.
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the channel is open");
    for (queue, outgoing) in [(Queue::Process, created(0)), (Queue::Notification, cancelled())] {
        for garbage in GARBAGE {
            let sent = channel
                .basic_publish(
                    "".into(),
                    queue.name().into(),
                    BasicPublishOptions::default(),
                    garbage,
                    BasicProperties::default(),
                )
                .await;
            sent.expect("the channel is open").await.expect("the channel is open");
        }
        broker.publish(&outgoing).await.expect("the message is taken");
        let mut subscription = broker.subscribe(queue, 1).await.expect("a subscription");
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message, outgoing.message);
        delivery.ack().await.expect("the answer is taken");
        let mut dead = consume(&channel, &format!("{queue}.dlq")).await;
        for garbage in GARBAGE {
            assert_eq!(take(&mut dead).await.data, garbage);
        }
    }
}

#[tokio::test]
async fn a_rejected_message_is_with_the_dead_letters() {
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    for outgoing in [Outgoing { traceparent: Some(TRACE.to_owned()), ..created(0) }, cancelled()] {
        let queue = Queue::of(&outgoing.message.event);
        broker.publish(&outgoing).await.expect("the message is taken");
        let mut subscription = broker.subscribe(queue, 1).await.expect("a subscription");
        next(&mut subscription).await.reject().await.expect("the answer is taken");
        let dead = take(&mut consume(&channel, &format!("{queue}.dlq")).await).await;
        assert_eq!(wire::decode(&dead.data, &dead.properties).expect("one of ours"), outgoing);
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_queue() {
    let host = Host::new();
    let broker = host.broker().await;
    let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
    host.control("delete_queue", &["video.process"]);
    for _ in 0..2 {
        let ended = timeout(PATIENCE, subscription.next()).await.expect("the end comes in time");
        assert_eq!(ended.map(|_| ()), Err(Error::Closed));
    }
    let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
    let outgoing = created(0);
    broker.publish(&outgoing).await.expect("the message is taken");
    assert_eq!(next(&mut subscription).await.message, outgoing.message);
}
