//! Replacing all processes one after another under load causes no error.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::harness::checks::eventually;
use crate::harness::client::{Account, Client, fetch_json, form};
use crate::harness::clips::{SHORT, clip_bytes};
use crate::harness::cluster::Cluster;
use crate::harness::process::{Process, free_address};

/// Clients at a time.
const CLIENTS: usize = 8;

/// Distributes requests among the APIs that are ready, as load balancers do.
struct Balancer {
    apis: Vec<(Client, AtomicBool)>,
    next: AtomicUsize,
}

impl Balancer {
    fn of(addresses: &[String]) -> Self {
        let apis =
            addresses.iter().map(|address| (Client::of(address), AtomicBool::new(false))).collect();
        Self { apis, next: AtomicUsize::new(0) }
    }

    /// Poll the readiness of all APIs until `stop`.
    async fn poll_readiness(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            for (client, ready) in &self.apis {
                let response = client.request(Method::GET, "/ready").send().await;
                ready.store(
                    response.is_ok_and(|response| response.status() == StatusCode::OK),
                    Ordering::Relaxed,
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An API that is ready.
    async fn api(&self) -> &Client {
        eventually("an API is ready", || async {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let (client, ready) = &self.apis[turn % self.apis.len()];
            ready.load(Ordering::Relaxed).then_some(client)
        })
        .await
    }

    /// Upload and list until `stop`; return the ids of all jobs. No request may fail.
    async fn send_requests(&self, account: &Account, stop: &AtomicBool) -> Vec<String> {
        let (clip, mut jobs) = (clip_bytes(SHORT), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let user = account.at(self.api().await);
            let request = user
                .request(Method::POST, "/videos/upload")
                .multipart(form(&[("clip.mp4", clip.clone())]));
            let (status, accepted) = fetch_json(request).await;
            assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
            jobs.push(accepted["job_id"].as_str().expect("an id").to_owned());
            let (status, list) = account.at(self.api().await).get("/videos?limit=5").await;
            assert_eq!(status, StatusCode::OK, "{list}");
        }
        jobs
    }
}

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
    let load = join_all(accounts.iter().map(|account| balancer.send_requests(account, &stop)));
    let replacement = async {
        let mut logs = Vec::new();
        for number in 0..2 {
            balancer.api().await;
            logs.extend(stop_process(apis.remove(0)).await);
            apis.push(api(number));
            let ready = &balancer.apis[number].1;
            eventually("the new API is ready", || async {
                ready.load(Ordering::Relaxed).then_some(())
            })
            .await;
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
