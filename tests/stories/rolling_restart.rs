//! Processes are replaced one after the other under load, and no user notices.

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

/// How many use the service at once.
const BUSY: usize = 8;

/// Shares requests out to the APIs that say that they are ready, as balancers do.
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

    /// Ask all of them again and again until `over`.
    async fn look(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            for (client, ready) in &self.apis {
                let answer = client.request(Method::GET, "/ready").send().await;
                ready.store(
                    answer.is_ok_and(|answer| answer.status() == StatusCode::OK),
                    Ordering::Relaxed,
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One that is ready.
    async fn api(&self) -> &Client {
        eventually("an API is ready", || async {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let (client, ready) = &self.apis[turn % self.apis.len()];
            ready.load(Ordering::Relaxed).then_some(client)
        })
        .await
    }

    /// Upload and list until `over`; gives the ids of all jobs. No request may fail.
    async fn use_it(&self, account: &Account, over: &AtomicBool) -> Vec<String> {
        let (clip, mut jobs) = (clip_bytes(SHORT), Vec::new());
        while !over.load(Ordering::Relaxed) {
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

/// Ask a process to go, and wait until it has gone; gives its log.
async fn replaced(process: Process) -> Vec<Value> {
    process.signal("TERM");
    let (status, log) = spawn_blocking(|| process.wait_for_exit()).await.expect("it ends");
    assert!(status.success(), "{status}: {log:?}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_every_process_under_load_fails_no_request_and_no_job() {
    let cluster = Cluster::start(&[("NOTICE_PERIOD_SECONDS", "3")]).await;
    let [addresses, operators] =
        [[free_address(), free_address()], [free_address(), free_address()]];
    let api = |number: usize| cluster.start_role(&["api", "--listen", &addresses[number]], &[]);
    let mut apis: Vec<Process> = (0..2).map(api).collect();
    let mut workers = vec![cluster.worker(), cluster.worker()];
    let notifier = cluster.notifier();
    let users = [apis[0].user().await, apis[1].user().await];
    let accounts: Vec<Account> =
        (0..BUSY).map(|number| users[number % users.len()].account()).collect();

    let (balancer, over) = (Balancer::of(&addresses), AtomicBool::new(false));
    let load = join_all(accounts.iter().map(|account| balancer.use_it(account, &over)));
    let replacement = async {
        let mut logs = Vec::new();
        for number in 0..2 {
            balancer.api().await;
            logs.extend(replaced(apis.remove(0)).await);
            apis.push(api(number));
            let ready = &balancer.apis[number].1;
            eventually("the new one is ready", || async {
                ready.load(Ordering::Relaxed).then_some(())
            })
            .await;
        }
        for operators in &operators {
            logs.extend(replaced(workers.remove(0)).await);
            workers.push(cluster.start_role(&["worker"], &[("METRICS_LISTEN", operators)]));
            // Roles without a server of their own answer operators.
            let (status, ready) =
                fetch_json(Client::of(operators).request(Method::GET, "/ready")).await;
            assert_eq!(status, StatusCode::OK, "{ready}");
        }
        logs.extend(replaced(notifier).await);
        let notifier = cluster.notifier();
        over.store(true, Ordering::Relaxed);
        (notifier, logs)
    };
    let (jobs, (notifier, logs), ()) = tokio::join!(load, replacement, balancer.look(&over));

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
    let written = || cluster.namespaces.mailbox.received().len();
    eventually("every outcome is told", || async { (written() >= mails).then_some(()) }).await;
    replaced(notifier).await;
    assert_eq!(written(), mails, "each outcome is told once");
}
