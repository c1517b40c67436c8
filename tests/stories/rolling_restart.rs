//! Replacing all processes one after another under load causes no error.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::harness::balancer::Balancer;
use crate::harness::checks::eventually;
use crate::harness::client::{Account, Client, fetch_json};
use crate::harness::cluster::Cluster;
use crate::harness::process::{Process, free_address};

/// Clients at a time.
const CLIENTS: usize = 8;

/// Stop a process; return its log.
async fn stop_process(process: Process) -> Vec<Value> {
    spawn_blocking(|| process.terminate()).await.expect("it stops")
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_every_process_under_load_causes_no_error() {
    let cluster = Cluster::start(&[("NOTICE_PERIOD_SECONDS", "3")]).await;
    let [addresses, metrics] = [[free_address(), free_address()], [free_address(), free_address()]];
    let api = |number: usize| cluster.start_role(&["api", "--listen", &addresses[number]], &[]);
    let mut apis: Vec<Process> = (0..2).map(api).collect();
    let mut workers = vec![cluster.worker(), cluster.worker()];
    let notifier = cluster.notifier();
    let users = [apis[0].user().await, apis[1].user().await];
    let accounts: Vec<Account> =
        (0..CLIENTS).map(|number| users[number % users.len()].account()).collect();

    let (balancer, stop) = (Balancer::of(&addresses), AtomicBool::new(false));
    let load = join_all(
        accounts.iter().map(|account| balancer.send_requests(account, Duration::ZERO, &stop)),
    );
    let replacement = async {
        let mut logs = Vec::new();
        for number in 0..2 {
            balancer.api().await;
            logs.extend(stop_process(apis.remove(0)).await);
            apis.push(api(number));
            balancer.wait_until_ready(number).await;
        }
        for address in &metrics {
            logs.extend(stop_process(workers.remove(0)).await);
            workers.push(cluster.start_role(&["worker"], &[("METRICS_LISTEN", address)]));
            // Roles without an HTTP API serve their readiness there.
            let worker = Client::of(address);
            eventually("the new worker is ready", || async {
                let (status, _) = fetch_json(worker.request(Method::GET, "/ready")).await;
                (status == StatusCode::OK).then_some(())
            })
            .await;
        }
        logs.extend(stop_process(notifier).await);
        let notifier = cluster.notifier();
        stop.store(true, Ordering::Relaxed);
        (notifier, logs)
    };
    let (jobs, (notifier, logs), ()) =
        tokio::join!(load, replacement, balancer.poll_readiness(&stop));

    assert!(logs.iter().all(|line| line["level"] != "ERROR"), "{logs:?}");
    let mut mails = 0;
    for (account, jobs) in accounts.iter().zip(jobs) {
        let user = account.at(&apis[0]);
        assert!(!jobs.is_empty());
        mails += jobs.len();
        for job in jobs {
            let view = user.wait_until_done(&job).await;
            assert_eq!(view["retry_count"], 0, "{view}");
        }
    }
    let received = || cluster.namespaces.mailbox.received().len();
    eventually("every outcome has a mail", || async { (received() >= mails).then_some(()) }).await;
    stop_process(notifier).await;
    assert_eq!(received(), mails, "each outcome has one mail");
}
