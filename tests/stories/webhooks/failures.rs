//! Receivers that fail: retries, and webhooks that are disabled.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::client::{EVENTS, Webhook, service};
use crate::harness::receiver::{Receiver, Reply};

/// Whether a delivery has this number of failed tries, whose last result is recorded.
fn failed(tries: u64) -> impl Fn(&Value) -> bool {
    move |delivery| delivery["tries"] == tries && !delivery["error_code"].is_null()
}

/// A delivery is repeated with the same id and body until its receiver accepts it.
#[tokio::test(flavor = "multi_thread")]
async fn failed_deliveries_are_repeated() {
    let service = service().await;
    // No pause ends before the story has seen what precedes it.
    service.clock.pause();
    let too_long = "x".repeat(5000);
    let replies = [
        Reply::Respond(500, "", too_long),
        Reply::Close,
        Reply::Respond(302, "Location: http://127.0.0.1:9/\r\n", String::new()),
        Reply::Respond(200, "", "thanks".to_owned()),
    ];
    let receiver = Receiver::start(replies).await;
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    let first = webhook.wait_for(&id, failed(1)).await;
    assert_eq!(first["answer_status"], 500);
    assert_eq!(first["answer_body"].as_str().map(str::len), Some(1024), "of 5000 bytes");
    for (pause, tries, code) in [
        (Duration::from_secs(6), 2, "ANSWER_INVALID"),
        (Duration::from_mins(6), 3, "ANSWER_REDIRECT"),
    ] {
        service.advance(pause);
        let delivery = webhook.wait_for(&id, failed(tries)).await;
        assert_eq!(
            (&delivery["error_code"], &delivery["status"]),
            (&json!(code), &json!("PENDING"))
        );
    }
    assert!(webhook.get().await["failing_since"].is_string());
    service.advance(Duration::from_mins(36));
    let delivered = webhook.wait_for(&id, |delivery| delivery["status"] == "DELIVERED").await;
    assert_eq!((&delivered["tries"], &delivered["answer_body"]), (&json!(4), &json!("thanks")));
    assert!(webhook.get().await["failing_since"].is_null());
    let requests = receiver.received();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|it| it.id() == id && it.body == requests[0].body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_can_ask_for_a_longer_pause() {
    let service = service().await;
    service.clock.pause();
    let wait = Reply::Respond(503, "Retry-After: 3600\r\n", String::new());
    let receiver = Receiver::start([wait, Reply::status(204)]).await;
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    let delivery = webhook.wait_for(&id, failed(1)).await;
    let time = |name: &str| delivery[name].as_str().and_then(|it| it.parse::<jobs::Time>().ok());
    let pause = time("next_attempt_at").zip(time("created_at")).map(|(next, made)| next - made);
    assert_eq!(pause.map(|pause| pause.num_seconds()), Some(3600));
    service.advance(Duration::from_hours(1));
    webhook.wait_for(&id, |delivery| delivery["status"] == "DELIVERED").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_gone_gets_nothing_more() {
    let (service, receiver) = (service().await, Receiver::start([Reply::status(410)]).await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    let delivery = webhook.wait_for(&id, failed(1)).await;
    assert_eq!(delivery["status"], "FAILED");
    let view = webhook.get().await;
    assert_eq!((&view["enabled"], &view["disabled_because"]), (&json!(false), &json!("GONE")));
    for (status, problem) in [webhook.post("/test").await, webhook.redeliver(&id).await] {
        let code = &problem["code"];
        assert_eq!((status, code), (StatusCode::CONFLICT, &json!("WEBHOOK_DISABLED")));
    }
    let (status, view) = webhook.change(&json!({ "enabled": true })).await;
    assert_eq!((status, &view["enabled"]), (StatusCode::OK, &json!(true)));
    assert_eq!(webhook.redeliver(&id).await.0, StatusCode::ACCEPTED);
    receiver.expect(2).await;
}

/// After five days with failures only, a webhook is disabled, and its user gets a mail.
#[tokio::test(flavor = "multi_thread")]
async fn five_days_of_failures_disable_a_webhook() {
    let (service, receiver) = (service().await, Receiver::start([Reply::status(500)]).await);
    service.clock.pause();
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let first = webhook.test().await;
    webhook.wait_for(&first, failed(1)).await;
    for day in 0..5 {
        assert_eq!(webhook.get().await["enabled"], true, "day {day}");
        service.advance(Duration::from_hours(23));
        let id = webhook.test().await;
        webhook.wait_for(&id, failed(1)).await;
    }
    assert_eq!(webhook.get().await["enabled"], true);
    service.advance(Duration::from_hours(6));
    let last = webhook.test().await;
    webhook.wait_for(&last, |delivery| delivery["status"] == "FAILED").await;
    let view = webhook.get().await;
    assert_eq!((&view["enabled"], &view["disabled_because"]), (&json!(false), &json!("FAILING")));
    let pending = |delivery: &&Value| delivery["status"] == "PENDING";
    assert_eq!(webhook.deliveries().await.iter().filter(pending).count(), 0);
    let mails = service.mails_to(&user.email, 1).await;
    assert_eq!(mails[0].subject, "A webhook was disabled");
}

/// A failure within weeks is no failure of weeks.
#[tokio::test(flavor = "multi_thread")]
async fn rare_failures_disable_nothing() {
    let (service, receiver) = (service().await, Receiver::start([Reply::status(500)]).await);
    service.clock.pause();
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    for tries in 1..=3 {
        webhook.wait_for(&id, failed(tries)).await;
        assert_eq!(webhook.get().await["enabled"], true);
        service.advance(Duration::from_hours(6 * 24));
    }
}
