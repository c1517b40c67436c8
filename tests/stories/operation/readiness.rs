//! Load of readiness probes on the servers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};

use crate::harness::client::fetch_json;
use crate::harness::cluster::Cluster;

/// Requests of the checks to the store so far, from its log.
fn checks_of_the_store(cluster: &Cluster) -> Vec<String> {
    let log = cluster.garage.log();
    let is_check = |line: &&str| line.contains("videos/check") || line.contains("videos%2Fcheck");
    log.lines().filter(is_check).map(str::to_owned).collect()
}

/// Many load balancers that ask at the same time, all the time, cause a check every two seconds,
/// which makes one request to the store and changes nothing in it.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_probes_share_one_cheap_check() {
    /// Time for which the result of a check is valid.
    const VALID: Duration = Duration::from_secs(2);
    const PROBES: usize = 100;
    let cluster = Cluster::start(&[]).await;
    let api = cluster.api();
    let (before, started) = (checks_of_the_store(&cluster).len(), Instant::now());
    let mut probes = 0;
    while started.elapsed() < 3 * VALID {
        let asked = (0..PROBES).map(|_| fetch_json(api.request(Method::GET, "/ready")));
        for (status, answer) in join_all(asked).await {
            assert_eq!(status, StatusCode::OK, "{answer}");
            probes += 1;
        }
    }
    let elapsed = started.elapsed();
    let checks = checks_of_the_store(&cluster).split_off(before);
    println!("{probes} probes in {elapsed:?}: {} requests to the store", checks.len());
    let most = 1 + elapsed.as_secs_f64().div_euclid(VALID.as_secs_f64()) as usize;
    assert!((2..=most).contains(&checks.len()), "in {elapsed:?}: {checks:#?}");
    assert!(checks.iter().all(|line| line.contains("GET /")), "{checks:#?}");
    assert_eq!(cluster.namespaces.unfinished().await, 0);
}
