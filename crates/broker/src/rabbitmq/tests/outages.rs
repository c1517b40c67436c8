//! Stopped, killed, overloaded and hanging servers.

use super::*;

/// Timeout of the adapter where it is exceeded.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);

async fn subscribe(broker: &RabbitMq, prefetch: u16) -> Box<dyn Subscription> {
    broker.subscribe(Queue::Process, prefetch).await.expect("a subscription")
}

async fn expect_end(subscription: &mut Box<dyn Subscription>) {
    let result =
        time::timeout(TIMEOUT, subscription.next()).await.expect("the subscription ends in time");
    assert_eq!(result.map(|_| ()), Err(Error::Closed));
}

/// Retry until it succeeds, as callers do.
async fn publish(broker: &RabbitMq, message: &TracedMessage) {
    let publishing = async {
        while broker.publish(message).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    time::timeout(TIMEOUT, publishing).await.expect("the message is accepted in time");
}

/// No confirmed message is lost, and the same adapter works again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_stopped_and_killed_servers() {
    let mut server = servers::RabbitMq::start();
    let url = server.url();
    let broker = connect(&url, TIMEOUT).await.expect("the server is running");
    for end_server in [servers::RabbitMq::stop, servers::RabbitMq::kill] {
        let messages = [created(0), created(1), created(2)];
        for message in &messages {
            broker.publish(message).await.expect("the message is accepted");
        }
        let mut subscription = subscribe(&broker, 2).await;
        let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
        first.ack().await.expect("the settlement succeeds");
        // The server has received the ack once it delivers the message that exceeded the limit.
        let third = next(&mut subscription).await;

        end_server(&mut server);
        expect_end(&mut subscription).await;
        assert_eq!(second.ack().await, Err(Error::Closed));
        drop(third);
        let error = broker.publish(&created(3)).await;
        assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
        assert!(broker.subscribe(Queue::Process, 1).await.is_err());
        assert!(broker.message_count(Queue::Process).await.is_err());
        assert!(broker.check().await.is_err());
        assert!(connect(&url, TIMEOUT).await.is_err());

        server.start_again();
        let mut subscription = subscribe(&broker, 3).await;
        let last = created(4);
        publish(&broker, &last).await;
        for message in messages[1..].iter().chain([&last]) {
            let delivery = next(&mut subscription).await;
            assert_eq!(delivery.message.encode(), message.message);
            delivery.ack().await.expect("the settlement succeeds");
        }
        assert_eq!(broker.check().await, Ok(()));
    }
}

/// An adapter that was created while the server is down connects once it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_is_used_once_it_starts() {
    let mut server = servers::RabbitMq::start();
    server.stop();
    let broker = RabbitMq::new(&server.url().as_str().into(), TIMEOUT).expect("the URL is valid");
    let error = broker.publish(&created(0)).await;
    assert!(matches!(error, Err(Error::Unavailable { .. })), "{error:?}");
    assert!(broker.check().await.is_err());

    server.start_again();
    let message = created(1);
    publish(&broker, &message).await;
    let mut subscription = subscribe(&broker, 1).await;
    assert_eq!(next(&mut subscription).await.message.encode(), message.message);
    assert_eq!(broker.check().await, Ok(()));
}

/// Publishing fails in time, and consuming continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_a_server_without_memory() {
    let server = servers::RabbitMq::start();
    let broker = connect(&server.url(), SHORT_TIMEOUT).await.expect("the server is running");
    let messages = [created(0), created(1)];
    for message in &messages {
        broker.publish(message).await.expect("the message is accepted");
    }
    let mut subscription = subscribe(&broker, 1).await;
    let first = next(&mut subscription).await;

    let _ = server.control(&["set_vm_memory_high_watermark", "0"]);
    // The server may accept one more message before it blocks the connection.
    let mut accepted = Vec::new();
    for number in 2..6 {
        let message = created(number);
        match time::timeout(TIMEOUT, broker.publish(&message))
            .await
            .expect("the attempt ends in time")
        {
            Err(Error::Timeout | Error::Rejected { .. }) => {}
            result => accepted.push(result),
        }
    }
    assert!(accepted.len() <= 1, "{accepted:?}");
    assert!(broker.check().await.is_err());
    first.ack().await.expect("the settlement succeeds");
    let second = next(&mut subscription).await;
    assert_eq!(second.message.encode(), messages[1].message);
    second.ack().await.expect("the settlement succeeds");

    let _ = server.control(&["set_vm_memory_high_watermark", "0.9"]);
    let last = created(6);
    publish(&broker, &last).await;
    // Messages with an unknown result may be delivered first.
    loop {
        let delivery = next(&mut subscription).await;
        let is_last = delivery.message.encode() == last.message;
        delivery.ack().await.expect("the settlement succeeds");
        if is_last {
            break;
        }
    }
}

/// A server that keeps its connections open but does not respond delays callers by their timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_a_hanging_server() {
    let server = servers::RabbitMq::start();
    // So that no connection is closed before all operations have timed out.
    let url = format!("{}?heartbeat=60", server.url());
    let broker = connect(&url, SHORT_TIMEOUT).await.expect("the server is running");
    let message = created(0);
    broker.publish(&message).await.expect("the message is accepted");
    let mut subscription = subscribe(&broker, 1).await;
    assert_eq!(next(&mut subscription).await.message.encode(), message.message);

    server.pause();
    assert_eq!(broker.publish(&created(1)).await, Err(Error::Timeout));
    assert_eq!(broker.message_count(Queue::Process).await, Err(Error::Timeout));
    assert_eq!(broker.subscribe(Queue::Process, 1).await.map(drop), Err(Error::Timeout));
    assert_eq!(broker.check().await, Err(Error::Timeout));
    assert_eq!(connect(&url, SHORT_TIMEOUT).await.map(drop), Err(Error::Timeout));
    server.resume();

    publish(&broker, &created(2)).await;
    // The delivery above was dropped, and is delivered again.
    assert_eq!(next(&mut subscription).await.message.encode(), message.message);
}
