//! RabbitMQ stops, and loses what it had.

use tokio::task::block_in_place;

use crate::accounting::{Balance, Sent, TINY, send};
use crate::cluster::{Cluster, through};

/// No request may fail, and no job.
fn unharmed((balance, sent): &(Balance, Vec<Sent>)) {
    assert!(sent.iter().all(|sent| sent.accepted.is_some()), "the broker is none of the user's business: {sent:?}");
    assert_eq!((balance.jobs, balance.lost, balance.repeated), (sent.len(), 0, 0), "{balance:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_accepted_while_the_broker_is_away() {
    let story = through(Cluster::for_faults().await, async |cluster, user| {
        block_in_place(|| cluster.rabbitmq.stop());
        let mut sent = Vec::new();
        for number in 0..3 {
            sent.push(send(user, number, TINY).await);
        }
        block_in_place(|| cluster.rabbitmq.start_again());
        sent
    });
    unharmed(&story.await);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_messages_the_broker_lost_are_done_all_the_same() {
    let story = through(Cluster::for_faults().await, async |cluster, _| {
        block_in_place(|| {
            cluster.rabbitmq.kill();
            cluster.rabbitmq.lose_data();
            cluster.rabbitmq.start_again();
        });
        Vec::new()
    });
    unharmed(&story.await);
}
