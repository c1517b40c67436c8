//! Behavior that is specific to RabbitMQ, tested against a real server.

mod outages;
mod versions;

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

use super::publish::Publication;
use super::topology::Route;
use super::*;
use crate::conformance::{self, TIMEOUT, created};
use crate::delivery::Delivery;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A virtual host for one test.
struct Host {
    virtual_host: servers::rabbitmq::VirtualHost,
}

impl Host {
    fn new() -> Self {
        Self { virtual_host: servers::RabbitMq::shared().create_virtual_host() }
    }

    async fn broker(&self) -> RabbitMq {
        self.connect().await.expect("the server is running")
    }

    async fn connect(&self) -> Result<RabbitMq, Error> {
        connect(&self.virtual_host.url, TIMEOUT).await
    }

    /// A channel that bypasses the adapter.
    async fn channel(&self) -> Channel {
        let connection =
            Connection::connect(&self.virtual_host.url, ConnectionProperties::default())
                .await
                .expect("the server is running");
        connection.create_channel().await.expect("a channel")
    }

    fn control(&self, command: &str, arguments: &[&str]) -> String {
        let all: Vec<_> = [command, "--vhost", &self.virtual_host.name]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        servers::RabbitMq::shared().control(&all)
    }

    fn list(&self, command: &str, columns: &[&str]) -> Vec<Value> {
        let listed = self.control(command, &[&["--formatter", "json"], columns].concat());
        serde_json::from_str(&listed).expect("rabbitmqctl writes JSON")
    }
}

/// Connect now, and check that the server can be used.
async fn connect(url: &str, timeout: Duration) -> Result<RabbitMq, Error> {
    let broker = RabbitMq::new(&url.into(), timeout)?;
    broker.check().await.map(|()| broker)
}

/// Name of a queue at the server.
fn name(queue: Queue) -> &'static str {
    topology::names(queue).queue
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    time::timeout(TIMEOUT, subscription.next())
        .await
        .expect("a message arrives in time")
        .expect("the subscription lasts")
}

/// Consume a queue, bypassing the adapter.
async fn consume(channel: &Channel, queue: &str) -> Consumer {
    let without_ack = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    channel
        .basic_consume(queue.into(), "".into(), without_ack, FieldTable::default())
        .await
        .expect("the queue exists")
}

async fn take(consumer: &mut Consumer) -> lapin::message::Delivery {
    let taken = time::timeout(TIMEOUT, consumer.next()).await.expect("a message arrives in time");
    taken.expect("the channel is open").expect("the channel is open")
}

fn cancelled() -> TracedMessage {
    let event = Event::Cancelled(Cancelled {
        job_id: JobId::generate(),
        user_id: UserId::generate(),
        filename: "férias.mp4".to_owned(),
    });
    let message = Message::new(event, Clock::default().now(), 0, 3);
    TracedMessage { message: message.encode(), traceparent: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    conformance::all(Arc::new(Host::new().broker().await)).await;
}

/// Arguments by queue.
type QueueArguments = BTreeMap<String, Value>;

/// The queues of this version. Other arguments need other names.
fn expected_queues() -> QueueArguments {
    let quorum = |more: Value| {
        let mut arguments = json!({"x-queue-type": "quorum", "x-delivery-limit": 100_000});
        for (name, value) in more.as_object().expect("an object") {
            arguments[name] = value.clone();
        }
        arguments
    };
    let dead_letters = || quorum(json!({"x-message-ttl": 604_800_000}));
    let main = |name: &str| {
        quorum(json!({
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": format!("{name}.dlq"),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-consumer-timeout": 86_400_000,
        }))
    };
    let mut notification = main("notification.send.v2");
    notification["x-message-ttl"] = json!(86_400_000);
    BTreeMap::from([
        ("video.process.v2".to_owned(), main("video.process.v2")),
        ("video.process.v2.dlq".to_owned(), dead_letters()),
        ("notification.send.v2".to_owned(), notification),
        ("notification.send.v2.dlq".to_owned(), dead_letters()),
    ])
}

/// The queues of the server, all of which must be durable quorum queues.
fn listed_queues(host: &Host) -> QueueArguments {
    let mut queues = BTreeMap::new();
    for queue in host.list("list_queues", &["name", "type", "durable", "arguments"]) {
        assert_eq!(
            (&queue["type"], &queue["durable"]),
            (&json!("quorum"), &json!(true)),
            "{queue}"
        );
        // Each argument is a list of name, type and value.
        let arguments = queue["arguments"].as_array().expect("a list");
        let arguments = arguments.iter().map(|argument| {
            (argument[0].as_str().expect("a name").to_owned(), argument[2].clone())
        });
        let name = queue["name"].as_str().expect("a name").to_owned();
        queues.insert(name, Value::Object(arguments.collect()));
    }
    queues
}

#[tokio::test]
async fn declares_exchanges_and_queues() {
    let host = Host::new();
    let broker = host.broker().await;
    assert_eq!(broker.check().await, Ok(()));
    assert_eq!(listed_queues(&host), expected_queues());

    let exchanges = host.list("list_exchanges", &["name", "type", "durable"]);
    for (name, kind) in [("video.exchange", "direct"), ("notification.exchange", "fanout")] {
        let exchange = json!({"name": name, "type": kind, "durable": true});
        assert!(exchanges.contains(&exchange), "{name} in {exchanges:?}");
    }
    let mut bindings =
        host.list("list_bindings", &["source_name", "routing_key", "destination_name"]);
    bindings.retain(|binding| binding["source_name"] != "");
    bindings.sort_by_key(ToString::to_string);
    let expected = [
        json!({
            "source_name": "notification.exchange",
            "routing_key": "",
            "destination_name": "notification.send.v2",
        }),
        json!({
            "source_name": "video.exchange",
            "routing_key": "process",
            "destination_name": "video.process.v2",
        }),
    ];
    assert_eq!(bindings, expected);

    // Connecting again accepts the existing exchanges and queues.
    host.broker().await;
}

/// The error of a queue with another argument names the queue, the argument and a remedy.
#[tokio::test]
async fn reports_a_queue_with_other_arguments() {
    let host = Host::new();
    let channel = host.channel().await;
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    for queue in Queue::ALL {
        let mut variants = Vec::new();
        for (name, value) in topology::arguments(queue).inner() {
            let other = match name.as_str() {
                // RabbitMQ 3.10 does not compare arguments that it does not know. The type is
                // covered by the classic queue below, which supports few of the other arguments.
                "x-consumer-timeout" | "x-queue-type" => continue,
                "x-dead-letter-strategy" => AMQPValue::LongString("at-most-once".into()),
                "x-overflow" => AMQPValue::LongString("drop-head".into()),
                _ if value.as_long_string().is_some() => AMQPValue::LongString("elsewhere".into()),
                _ => AMQPValue::LongLongInt(1000),
            };
            let mut changed = topology::arguments(queue);
            changed.insert(name.clone(), other);
            variants.push((name.to_string(), changed));
        }
        variants.push(("inequivalent arg".to_owned(), FieldTable::default()));
        for (argument, changed) in variants {
            channel.queue_declare(name(queue).into(), durable, changed).await.expect("a queue");
            match host.connect().await {
                Err(Error::Rejected { reason }) => {
                    for word in [name(queue), &argument, "delete it"] {
                        assert!(reason.contains(word), "{word} is not in: {reason}");
                    }
                }
                other => panic!("{queue} with another {argument}: {other:?}"),
            }
            channel
                .queue_delete(name(queue).into(), QueueDeleteOptions::default())
                .await
                .expect("the queue exists");
        }
    }
    host.broker().await;
}

#[tokio::test]
async fn reports_wrong_credentials_without_the_password() {
    let host = Host::new();
    let shown = format!("{:?}", host.broker().await);
    assert!(!shown.contains("guest"), "{shown}");
    let url = host.virtual_host.url.replace("guest:guest", "guest:hunter2");
    match connect(&url, TIMEOUT).await {
        Err(error @ Error::Rejected { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("ACCESS_REFUSED") && !message.contains("hunter2"),
                "{message}"
            );
        }
        other => panic!("a wrong password: {other:?}"),
    }
    let url = host.virtual_host.url.replace(&host.virtual_host.name, "nowhere");
    match connect(&url, TIMEOUT).await {
        Err(Error::Rejected { reason }) => assert!(reason.contains("nowhere"), "{reason}"),
        other => panic!("a missing virtual host: {other:?}"),
    }
}

#[tokio::test]
async fn encodes_messages_with_properties() {
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    let traced = TracedMessage { traceparent: Some(TRACEPARENT.to_owned()), ..created(1) };
    for message in [traced, cancelled()] {
        broker.publish(&message).await.expect("the message is accepted");
        let TracedMessage { message: sent, traceparent } = &message;
        let queue = Queue::of(&sent.event_type);
        let received = take(&mut consume(&channel, name(queue)).await).await;
        assert_eq!(received.data, sent.json.as_bytes());
        let Route { exchange, key } = topology::route(queue);
        assert_eq!((received.exchange.as_str(), received.routing_key.as_str()), (exchange, key));
        let properties = &received.properties;
        assert_eq!(
            properties.content_type().as_ref().map(ShortString::as_str),
            Some("application/json")
        );
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(
            properties.message_id().as_ref().map(ToString::to_string),
            Some(sent.event_id.to_string())
        );
        assert_eq!(
            properties.kind().as_ref().map(ShortString::as_str),
            Some(sent.event_type.as_str())
        );
        assert_eq!(*properties.timestamp(), u64::try_from(sent.timestamp.timestamp()).ok());
        let headers = properties.headers().as_ref().expect("headers");
        let trace = headers
            .inner()
            .get("traceparent")
            .and_then(|value| value.as_long_string())
            .map(ToString::to_string);
        assert_eq!(trace, *traceparent);
    }
}

#[tokio::test]
async fn an_unroutable_message_is_an_error() {
    let host = Host::new();
    let broker = host.broker().await;
    for (queue, message) in [(Queue::Process, created(0)), (Queue::Notification, cancelled())] {
        broker.publish(&message).await.expect("the message is accepted");
        host.control("delete_queue", &[name(queue)]);
        let rejected = broker.publish(&message).await;
        assert!(
            matches!(&rejected, Err(Error::Rejected { reason }) if reason.contains(queue.name())),
            "{rejected:?}"
        );
        // The queue is declared again for the next message.
        broker.publish(&message).await.expect("the message is accepted");
        assert_eq!(broker.message_count(queue).await, Ok(1));
    }
    let channel = host.channel().await;
    channel
        .exchange_delete("video.exchange".into(), ExchangeDeleteOptions::default())
        .await
        .expect("the exchange exists");
    let rejected = broker.publish(&created(1)).await;
    assert!(matches!(&rejected, Err(Error::Rejected { .. })), "{rejected:?}");
    broker.publish(&created(2)).await.expect("the message is accepted");
}

/// Whether a message is returned is attributed to the right one of many simultaneous messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributes_returned_messages_correctly() {
    const COUNT: usize = 3000;
    let broker = Host::new().broker().await;
    let publisher = &broker.publisher;
    let connection = &*publisher.writable_connection().await.expect("the server is running");
    let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sending = (0..COUNT).map(|number| async move {
        let key = ["process", "nowhere"][number % 2];
        let body = number.to_string();
        let publication = Publication {
            route: Route { exchange: "video.exchange", key },
            options: mandatory,
            body: body.as_bytes(),
            properties: BasicProperties::default(),
        };
        let returned = publisher.send(connection, publication).await;
        let returned =
            returned.expect("the message is accepted").map(|message| message.data.clone());
        assert_eq!(returned, (key == "nowhere").then(|| body.into_bytes()), "message {number}");
    });
    join_all(sending).await;
    assert_eq!(broker.message_count(Queue::Process).await, Ok(COUNT as u64 / 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_many_messages_simultaneously() {
    const COUNT: usize = 1000;
    let host = Host::new();
    let broker = &host.broker().await;
    let start = std::time::Instant::now();
    let sent =
        join_all((0..COUNT).map(|number| async move { broker.publish(&created(number)).await }))
            .await;
    println!("{COUNT} messages confirmed in {:?}", start.elapsed());
    assert!(sent.iter().all(Result::is_ok), "{:?}", sent.iter().find(|result| result.is_err()));
    assert_eq!(broker.message_count(Queue::Process).await, Ok(COUNT as u64));
}

/// Foreign messages are moved to the dead letters unchanged, and do not delay the others.
#[tokio::test]
async fn rejects_foreign_messages() {
    const GARBAGE: [&[u8]; 3] = [b"{\"event_type\": \"job.crea", b"{}", b""];
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    // The garbage uses another connection, so it arrives first only if it is confirmed first.
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the channel is open");
    for (queue, message) in [(Queue::Process, created(0)), (Queue::Notification, cancelled())] {
        for garbage in GARBAGE {
            let sent = channel
                .basic_publish(
                    "".into(),
                    name(queue).into(),
                    BasicPublishOptions::default(),
                    garbage,
                    BasicProperties::default(),
                )
                .await;
            sent.expect("the channel is open").await.expect("the channel is open");
        }
        broker.publish(&message).await.expect("the message is accepted");
        let mut subscription = broker.subscribe(queue, 1).await.expect("a subscription");
        let delivery = next(&mut subscription).await;
        assert_eq!(delivery.message.encode(), message.message);
        delivery.ack().await.expect("the settlement succeeds");
        let mut dead = consume(&channel, topology::names(queue).dead_letters).await;
        for garbage in GARBAGE {
            assert_eq!(take(&mut dead).await.data, garbage);
        }
    }
}

#[tokio::test]
async fn moves_a_rejected_message_to_the_dead_letters() {
    let host = Host::new();
    let (broker, channel) = (host.broker().await, host.channel().await);
    for message in
        [TracedMessage { traceparent: Some(TRACEPARENT.to_owned()), ..created(0) }, cancelled()]
    {
        let queue = Queue::of(&message.message.event_type);
        broker.publish(&message).await.expect("the message is accepted");
        let mut subscription = broker.subscribe(queue, 1).await.expect("a subscription");
        next(&mut subscription).await.reject().await.expect("the settlement succeeds");
        let dead = take(&mut consume(&channel, topology::names(queue).dead_letters).await).await;
        let decoded = encoding::decode(&dead.data, &dead.properties).expect("a valid message");
        assert_eq!(decoded.message.encode(), message.message);
        assert_eq!(decoded.traceparent, message.traceparent);
    }
}

#[tokio::test]
async fn a_subscription_ends_with_its_queue() {
    let host = Host::new();
    let broker = host.broker().await;
    let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
    host.control("delete_queue", &["video.process.v2"]);
    for _ in 0..2 {
        let result = time::timeout(TIMEOUT, subscription.next())
            .await
            .expect("the subscription ends in time");
        assert_eq!(result.map(|_| ()), Err(Error::Closed));
    }
    let mut subscription = broker.subscribe(Queue::Process, 1).await.expect("a subscription");
    let message = created(0);
    broker.publish(&message).await.expect("the message is accepted");
    assert_eq!(next(&mut subscription).await.message.encode(), message.message);
}
