//! Queues of an earlier version, whose processes use the same server.

use std::collections::HashSet;

use lapin::ExchangeKind;
use lapin::options::{BasicAckOptions, ExchangeDeclareOptions, QueueBindOptions};

use super::*;

/// A process of an earlier version.
struct EarlierProcess {
    queue: Queue,
    channel: Channel,
}

impl EarlierProcess {
    /// Declare the earlier version of a queue, with other arguments than today's.
    async fn start(host: &Host, queue: Queue) -> Self {
        let channel = host.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("a channel");
        let (Route { exchange, key }, [names]) =
            (topology::route(queue), topology::earlier_names(queue))
        else {
            panic!("{queue} has one earlier version");
        };
        let kind = match queue {
            Queue::Process => ExchangeKind::Direct,
            Queue::Notification => ExchangeKind::Fanout,
        };
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel
            .exchange_declare(exchange.into(), kind, durable, FieldTable::default())
            .await
            .expect("the exchange has the same type in all versions");
        for name in [names.dead_letters, names.queue] {
            let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1_000_000));
            channel.queue_declare(name.into(), durable, arguments).await.expect("a queue");
        }
        let bound = channel.queue_bind(
            names.queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        );
        bound.await.expect("the exchange exists");
        Self { queue, channel }
    }

    /// Publish as the earlier version does.
    async fn publish(&self, message: &TracedMessage) {
        self.publish_to(topology::route(self.queue), message).await;
    }

    async fn publish_to(&self, Route { exchange, key }: Route, message: &TracedMessage) {
        let encoding::Encoded { body, properties } = encoding::encode(message);
        let options = BasicPublishOptions::default();
        let sent =
            self.channel.basic_publish(exchange.into(), key.into(), options, &body, properties);
        sent.await.expect("the channel is open").await.expect("the message is stored");
    }

    async fn consume(&self) -> Consumer {
        let [names] = topology::earlier_names(self.queue) else { panic!("one earlier version") };
        self.channel
            .basic_consume(
                names.queue.into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await
            .expect("the queue exists")
    }
}

fn message_of(queue: Queue) -> TracedMessage {
    match queue {
        Queue::Process => created(0),
        Queue::Notification => cancelled(),
    }
}

/// Receive and acknowledge messages until these have arrived. Others may be copies of them.
async fn expect_all(subscription: &mut Box<dyn Subscription>, messages: &[TracedMessage]) {
    let mut missing: HashSet<JobId> =
        messages.iter().map(|message| message.message.job_id).collect();
    let expected = missing.clone();
    while !missing.is_empty() {
        let delivery = next(subscription).await;
        let id = delivery.message.event.job_id();
        assert!(expected.contains(&id), "{delivery:?}");
        missing.remove(&id);
        delivery.ack().await.expect("the settlement succeeds");
    }
}

/// Repeat until no earlier version is left.
async fn retire(broker: &RabbitMq, queue: Queue) {
    let retiring =
        async { while broker.retire_earlier(queue).await.expect("no step fails").is_some() {} };
    time::timeout(TIMEOUT, retiring).await.expect("the queue is retired in time");
}

fn queue_names(host: &Host) -> HashSet<String> {
    listed_queues(host).into_keys().collect()
}

/// An upgrade after all processes of the earlier version were stopped: the service works, although
/// the server has queues with other arguments, and their messages and dead letters are moved.
#[tokio::test]
async fn messages_of_an_earlier_queue_are_received() {
    for queue in Queue::ALL {
        let host = Host::new();
        let earlier = EarlierProcess::start(&host, queue).await;
        let messages: [TracedMessage; 4] = std::array::from_fn(|_| message_of(queue));
        for message in &messages[..3] {
            earlier.publish(message).await;
        }
        let [names] = topology::earlier_names(queue) else { panic!("one earlier version") };
        let dead_letters = Route { exchange: "", key: names.dead_letters };
        earlier.publish_to(dead_letters, &message_of(queue)).await;
        drop(earlier);

        let broker = host.broker().await;
        broker.publish(&messages[3]).await.expect("the message is accepted");
        let mut subscription = broker.subscribe(queue, 2).await.expect("a subscription");
        retire(&broker, queue).await;
        expect_all(&mut subscription, &messages).await;
        assert_eq!(broker.dead_letter_count(queue).await, Ok(1), "{queue}");
        assert_eq!(queue_names(&host), expected_queues().into_keys().collect());
        assert_eq!(broker.retire_earlier(queue).await, Ok(None));
    }
}

/// All workers start at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_empty_an_earlier_queue_together() {
    let (host, queue) = (Host::new(), Queue::Process);
    let earlier = EarlierProcess::start(&host, queue).await;
    let messages: Vec<_> = (0..40).map(created).collect();
    for message in &messages {
        earlier.publish(message).await;
    }
    drop(earlier);
    let brokers = [host.broker().await, host.broker().await, host.broker().await];
    join_all(brokers.iter().map(|broker| retire(broker, queue))).await;
    let mut subscription = brokers[0].subscribe(queue, 16).await.expect("a subscription");
    expect_all(&mut subscription, &messages).await;
    assert_eq!(queue_names(&host), expected_queues().into_keys().collect());
}

/// A rolling upgrade: every message reaches the processes of both versions, whoever publishes it,
/// and nothing is taken away from those of the earlier one.
#[tokio::test]
async fn both_versions_receive_every_message() {
    for queue in Queue::ALL {
        let host = Host::new();
        let (earlier, broker) = (EarlierProcess::start(&host, queue).await, host.broker().await);
        let mut consumer = earlier.consume().await;
        let mut subscription = broker.subscribe(queue, 4).await.expect("a subscription");
        let messages = [message_of(queue), message_of(queue)];
        earlier.publish(&messages[0]).await;
        broker.publish(&messages[1]).await.expect("the message is accepted");
        let (first, second) = (take(&mut consumer).await, take(&mut consumer).await);
        for (received, message) in [&first, &second].into_iter().zip(&messages) {
            assert_eq!(received.data, message.message.json.as_bytes());
        }
        expect_all(&mut subscription, &messages).await;
        first.acker.ack(BasicAckOptions::default()).await.expect("the channel is open");
        assert_eq!(broker.retire_earlier(queue).await, Ok(Some(0)), "{queue} has a consumer");

        // The last process of the earlier version ends while it handles the second message.
        drop((first, second, consumer, earlier));
        retire(&broker, queue).await;
        expect_all(&mut subscription, &messages[1..]).await;
        assert_eq!(queue_names(&host), expected_queues().into_keys().collect());

        // It starts again, because the upgrade is undone.
        let earlier = EarlierProcess::start(&host, queue).await;
        let (mut consumer, message) = (earlier.consume().await, message_of(queue));
        broker.publish(&message).await.expect("the message is accepted");
        assert_eq!(take(&mut consumer).await.data, message.message.json.as_bytes());
        expect_all(&mut subscription, &[message]).await;
    }
}
