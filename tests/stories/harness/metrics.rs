//! Metrics, as Prometheus reads them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode, header};

use super::checks::TIMEOUT;
use super::client::Client;

/// Values of all metrics, by name and labels.
pub async fn metrics(client: &Client) -> BTreeMap<String, f64> {
    let response = client.request(Method::GET, "/metrics").send().await.expect("it responds");
    assert_eq!(response.status(), StatusCode::OK);
    // Prometheus, "Exposition formats".
    let content_type = response.headers()[header::CONTENT_TYPE].to_str().expect("text");
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
    let text = response.text().await.expect("text");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let metric = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    };
    lines.map(metric).collect()
}

/// Wait until these metrics have these values; return all metrics.
pub async fn wait_for_metrics(client: &Client, expected: &[(&str, f64)]) -> BTreeMap<String, f64> {
    wait_until_metrics(client, |all| {
        let wrong: Vec<_> =
            expected.iter().filter(|(name, value)| all.get(*name) != Some(value)).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?} are not reached")) }
    })
    .await
}

/// Wait until `check` accepts the metrics; return them. Metrics of one round of maintenance are set
/// one after the other, so one response may show a part of a round.
pub async fn wait_until_metrics(
    client: &Client,
    check: impl Fn(&BTreeMap<String, f64>) -> Result<(), String>,
) -> BTreeMap<String, f64> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let all = metrics(client).await;
        let Err(wrong) = check(&all) else { return all };
        assert!(Instant::now() < deadline, "{wrong}: {all:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
