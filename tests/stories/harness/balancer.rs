//! A load balancer in front of several APIs, and clients behind it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};

use super::checks::eventually;
use super::client::{Account, Client, fetch_json, form};
use super::clips::{SHORT, clip_bytes};

/// Distributes requests among the APIs that are ready, as load balancers do.
pub struct Balancer {
    apis: Vec<(Client, AtomicBool)>,
    next: AtomicUsize,
}

impl Balancer {
    /// Balancer of the APIs at these addresses.
    pub fn of(addresses: &[String]) -> Self {
        let apis =
            addresses.iter().map(|address| (Client::of(address), AtomicBool::new(false))).collect();
        Self { apis, next: AtomicUsize::new(0) }
    }

    /// Poll the readiness of all APIs until `stop`.
    pub async fn poll_readiness(&self, stop: &AtomicBool) {
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
    pub async fn api(&self) -> &Client {
        eventually("an API is ready", || async {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let (client, ready) = &self.apis[turn % self.apis.len()];
            ready.load(Ordering::Relaxed).then_some(client)
        })
        .await
    }

    /// Wait until the API at the address with this number is ready.
    pub async fn wait_until_ready(&self, number: usize) {
        let ready = &self.apis[number].1;
        eventually("the API is ready", || async { ready.load(Ordering::Relaxed).then_some(()) })
            .await;
    }

    /// Upload and list until `stop`; return the ids of all jobs. No request may fail. `pause`
    /// limits the number of requests.
    pub async fn send_requests(
        &self,
        account: &Account,
        pause: Duration,
        stop: &AtomicBool,
    ) -> Vec<String> {
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
            tokio::time::sleep(pause).await;
        }
        jobs
    }
}
