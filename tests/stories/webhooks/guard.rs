//! Webhooks do not reach the network of the service.

use reqwest::StatusCode;
use serde_json::json;

use super::client::{EVENTS, Webhook, create, service};
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::receiver::Receiver;
use crate::harness::service::Service;

/// Without the setting, no URL of the service's network is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn urls_within_the_network_are_refused() {
    let service = Service::start().await;
    let user = service.user().await;
    for (url, code) in [
        ("http://example.com/", "URL_SCHEME"),
        ("https://127.0.0.1/", "URL_HOST"),
        ("https://127.1/", "URL_HOST"),
        ("https://localhost:8443/", "URL_HOST"),
        ("https://169.254.169.254/latest/meta-data/", "URL_HOST"),
        ("https://[::ffff:10.0.0.1]/", "URL_HOST"),
        ("https://192.168.0.1/", "URL_HOST"),
        ("https://ana:secret@example.com/", "URL_PARTS"),
        ("example.com", "URL_MALFORMED"),
    ] {
        let (status, problem) = create(&user, url, &EVENTS).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {problem}");
        let error = &problem["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!("url"), &json!(code)), "{url}");
    }
    assert_eq!(user.get("/webhooks").await.1, json!([]));
}

/// A webhook whose target was permitted when it was created is not sent to it anymore.
#[tokio::test(flavor = "multi_thread")]
async fn targets_are_checked_again_before_each_try() {
    let receiver = Receiver::accepting().await;
    let earlier = service().await;
    let user = earlier.user().await;
    let id = Webhook::of(&user, &receiver.url(), &EVENTS).await.id;
    let account = user.account();
    let clock = earlier.clock.clone();
    let directory = earlier.stop().await;

    let service = Service::at(directory, None, clock, |_| {}).await;
    let user = account.at(&service);
    let webhook = Webhook { user: &user, id, secret: String::new() };
    let id = webhook.test().await;
    let delivery = webhook.wait_for(&id, |delivery| !delivery["error_code"].is_null()).await;
    assert_eq!(delivery["error_code"], "HOST_FORBIDDEN");
    assert_eq!(receiver.received().len(), 0);
}

/// A proxy would connect to addresses that nobody has checked.
#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_the_environment_are_not_used() {
    let (directory, proxy, receiver) =
        (scratch(), Receiver::accepting().await, Receiver::accepting().await);
    let url = proxy.url();
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"];
    let mut environment = vec![("WEBHOOKS_ALLOW_PRIVATE", "true")];
    environment.extend(names.map(|name| (name, url.as_str())));
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    Webhook::of(&user, &receiver.url(), &EVENTS).await.test().await;
    receiver.expect(1).await;
    assert_eq!(proxy.received().len(), 0);
}
