//! RabbitMQ stops, and loses what it had.

use tokio::task::block_in_place;

use crate::accounting::{Balance, Sent, TINY, send};
use crate::cluster::{Cluster, free_address, through};
use crate::operation::figures::figures;
use crate::service::{Client, eventually};

/// No request may fail, and no job.
fn unharmed((balance, sent): &(Balance, Vec<Sent>)) {
    assert!(
        sent.iter().all(|sent| sent.accepted.is_some()),
        "the broker is none of the user's business: {sent:?}"
    );
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
            cluster.rabbitmq.delete_data();
            cluster.rabbitmq.start_again();
        });
        Vec::new()
    });
    unharmed(&story.await);
}

/// Whoever is to be woken because the broker is away is woken by what waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_broker_is_told_while_it_is_away() {
    let mut cluster = Cluster::for_faults().await;
    let told_at = free_address();
    let (api, _worker) = (cluster.api(), cluster.run(&["worker"], &[("METRICS_LISTEN", &told_at)]));
    let (worker, user) = (Client::of(&told_at), api.user().await);
    block_in_place(|| cluster.rabbitmq.stop());
    user.send(TINY).await;
    for name in ["fiapx_outbox_age_seconds", "fiapx_oldest_waiting_job_seconds"] {
        let is_told = async || (figures(&worker).await.get(name)? > &1.0).then_some(());
        eventually(name, is_told).await;
    }
}
