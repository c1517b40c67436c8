//! Load of readiness probes on the servers.

use std::time::Instant;

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

/// Many load balancers that ask at the same time cause one check, which makes one request to the
/// store and changes nothing in it.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_probes_share_one_cheap_check() {
    /// Number of seconds for which the result of a check is valid.
    const VALID: f64 = 2.0;
    const PROBES: usize = 200;
    let cluster = Cluster::start(&[]).await;
    let api = cluster.api();
    let (before, started) = (checks_of_the_store(&cluster).len(), Instant::now());
    let probes = (0..PROBES).map(|_| fetch_json(api.request(Method::GET, "/ready")));
    for (status, answer) in join_all(probes).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    let elapsed = started.elapsed().as_secs_f64();
    let checks = checks_of_the_store(&cluster).split_off(before);
    // The first result may be as old as it is valid, and the probes may take longer than that.
    let most = 1 + (elapsed / VALID).ceil() as usize;
    println!("{PROBES} probes in {elapsed:.2} s: {} requests to the store", checks.len());
    assert!((1..=most).contains(&checks.len()), "in {elapsed} s: {checks:#?}");
    assert!(checks.iter().all(|line| line.contains("GET /")), "{checks:#?}");
    assert_eq!(cluster.namespaces.unfinished().await, 0);
}
