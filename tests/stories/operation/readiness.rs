//! Load of readiness probes on the servers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::client::fetch_json;
use crate::harness::cluster::Cluster;
use crate::harness::parts::Parts::Embedded;

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

/// Without a port of their own, metrics and the details of the readiness are for the same machine.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_see_only_whether_a_process_is_ready() {
    let service = Embedded.start().await;
    let (status, own) = fetch_json(service.request(Method::GET, "/ready")).await;
    assert_eq!((status, &own["ready"]), (StatusCode::OK, &json!(true)));
    assert!(!own["parts"].as_array().expect("a list").is_empty(), "{own}");
    let proxied = Embedded.with(|settings| settings.server.proxies = 1).await;
    let public = Embedded
        .with(|settings| {
            settings.server.public_url = Some("https://videos.example.com".to_owned());
        })
        .await;
    let header = ("X-Forwarded-For", "203.0.113.7");
    for (client, headers) in [
        (&service, &[header][..]),
        (&service, &[("Via", "1.1 a")]),
        (&proxied, &[]),
        (&public, &[]),
    ] {
        let request = |path| {
            let request = client.request(Method::GET, path);
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
        };
        let (status, answer) = fetch_json(request("/ready")).await;
        assert_eq!((status, answer), (StatusCode::OK, json!({ "ready": true, "parts": [] })));
        let (status, _) = fetch_json(request("/metrics")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
}
