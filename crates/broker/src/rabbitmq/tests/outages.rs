//! A server that is stopped, killed, short of memory, or hangs.

use super::*;

/// How long the adapter waits in these tests, where it waits in vain.
const SHORT: Duration = Duration::from_secs(5);

async fn subscribe(broker: &RabbitMq, prefetch: u16) -> Box<dyn Subscription> {
    broker.subscribe(Queue::Process, prefetch).await.expect("a subscription")
}

async fn ended(subscription: &mut Box<dyn Subscription>) {
    let ended = timeout(PATIENCE, subscription.next()).await.expect("the end comes in time");
    assert_eq!(ended.map(|_| ()), Err(Error::Closed));
}

/// Try again and again, as callers do, until it works.
async fn publish(broker: &RabbitMq, outgoing: &Outgoing) {
    let publishing = async {
        while broker.publish(outgoing).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, publishing).await.expect("the message is taken in time");
}

/// Nothing that was confirmed is lost, and the same adapter works again afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_killed() {
    let mut server = servers::RabbitMq::start();
    let url = server.url().into();
    let broker = RabbitMq::connect(&url, PATIENCE).await.expect("the server is there");
    for end in [servers::RabbitMq::stop, servers::RabbitMq::kill] {
        let messages = [created(0), created(1), created(2)];
        for outgoing in &messages {
            broker.publish(outgoing).await.expect("the message is taken");
        }
        let mut subscription = subscribe(&broker, 2).await;
        let (first, second) = (next(&mut subscription).await, next(&mut subscription).await);
        first.ack().await.expect("the answer is taken");
        // The server has it once it hands out the message that had no place before.
        let third = next(&mut subscription).await;

        end(&mut server);
        ended(&mut subscription).await;
        assert_eq!(second.ack().await, Err(Error::Closed));
        drop(third);
        let refused = broker.publish(&created(3)).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert!(broker.subscribe(Queue::Process, 1).await.is_err());
        assert!(broker.waiting(Queue::Process).await.is_err());
        assert!(broker.check().await.is_err());
        assert!(RabbitMq::connect(&url, PATIENCE).await.is_err());

        server.start_again();
        let mut subscription = subscribe(&broker, 3).await;
        let last = created(4);
        publish(&broker, &last).await;
        for outgoing in messages[1..].iter().chain([&last]) {
            let delivery = next(&mut subscription).await;
            assert_eq!(delivery.message, outgoing.message);
            delivery.ack().await.expect("the answer is taken");
        }
        assert_eq!(broker.check().await, Ok(()));
    }
}

/// Publishing fails in time, and consuming goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_of_memory() {
    let server = servers::RabbitMq::start();
    let broker = RabbitMq::connect(&server.url().into(), SHORT).await.expect("the server is there");
    let messages = [created(0), created(1)];
    for outgoing in &messages {
        broker.publish(outgoing).await.expect("the message is taken");
    }
    let mut subscription = subscribe(&broker, 1).await;
    let first = next(&mut subscription).await;

    let _ = server.control(&["set_vm_memory_high_watermark", "0"]);
    // The server may take one more before it says that it takes none.
    let mut taken = Vec::new();
    for number in 2..6 {
        let outgoing = created(number);
        match timeout(PATIENCE, broker.publish(&outgoing)).await.expect("the attempt ends in time")
        {
            Err(Error::TooSlow | Error::Refused { .. }) => {}
            result => taken.push(result),
        }
    }
    assert!(taken.len() <= 1, "{taken:?}");
    assert!(broker.check().await.is_err());
    first.ack().await.expect("the answer is taken");
    let second = next(&mut subscription).await;
    assert_eq!(second.message, messages[1].message);
    second.ack().await.expect("the answer is taken");

    let _ = server.control(&["set_vm_memory_high_watermark", "0.9"]);
    let last = created(6);
    publish(&broker, &last).await;
    // Those of which nobody knows whether they were taken may come first.
    loop {
        let delivery = next(&mut subscription).await;
        let is_last = delivery.message == last.message;
        delivery.ack().await.expect("the answer is taken");
        if is_last {
            break;
        }
    }
}

/// A server that holds its connections and does nothing costs its callers no more than their
/// patience.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging() {
    let server = servers::RabbitMq::start();
    // So that no connection is given up before everything has been tried.
    let url = format!("{}?heartbeat=60", server.url()).into();
    let broker = RabbitMq::connect(&url, SHORT).await.expect("the server is there");
    let outgoing = created(0);
    broker.publish(&outgoing).await.expect("the message is taken");
    let mut subscription = subscribe(&broker, 1).await;
    assert_eq!(next(&mut subscription).await.message, outgoing.message);

    server.pause();
    assert_eq!(broker.publish(&created(1)).await, Err(Error::TooSlow));
    assert_eq!(broker.waiting(Queue::Process).await, Err(Error::TooSlow));
    assert_eq!(broker.subscribe(Queue::Process, 1).await.map(drop), Err(Error::TooSlow));
    assert_eq!(broker.check().await, Err(Error::TooSlow));
    assert_eq!(RabbitMq::connect(&url, SHORT).await.map(drop), Err(Error::TooSlow));
    server.resume();

    publish(&broker, &created(2)).await;
    // The delivery above was dropped, and comes again.
    assert_eq!(next(&mut subscription).await.message, outgoing.message);
}
