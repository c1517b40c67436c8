//! Deliveries of the outcomes of jobs.

use std::time::Duration;

use jobs::{JobId, Time};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{EVENTS, Webhook, permit_loopback, service};
use crate::harness::checks::eventually;
use crate::harness::client::fetch_json;
use crate::harness::clips::{TINY, WRONG};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::receiver::{Received, Receiver, Reply};

/// Type, job and status of a request.
fn summary(body: &Value) -> [String; 3] {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    [text(&body["type"]), text(&body["data"]["job_id"]), text(&body["data"]["status"])]
}

/// Each outcome is sent to each webhook that wants it, once.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_is_sent(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(permit_loopback).await;
    let [all, failures] = [Receiver::accepting().await, Receiver::accepting().await];
    let (user, stranger) = (service.user().await, service.user().await);
    let webhook = Webhook::of(&user, &all.url(), &EVENTS).await;
    let only_failures = Webhook::of(&user, &failures.url(), &["job.failed"]).await;
    Webhook::of(&stranger, &all.url(), &EVENTS).await;

    let done = user.upload_clip(TINY).await;
    let view = user.wait_until_done(&done).await;
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    let requests = all.expect(2).await;
    let bodies: Vec<Value> = requests.iter().map(Received::json).collect();
    let [completed, failure] = ["job.completed", "job.failed"].map(|name| {
        bodies.iter().find(|body| body["type"] == name).expect("both outcomes are sent")
    });
    assert_eq!(summary(completed)[1..], [done.clone(), "DONE".to_owned()]);
    for name in ["filename", "frame_count", "zip_size_bytes", "complete"] {
        assert_eq!(completed["data"][name], view[name], "{name}");
    }
    // Both are RFC 3339, one with `Z` and one with `+00:00`.
    let [sent, shown] = [&completed["data"], &view]
        .map(|job| job["expires_at"].as_str().and_then(|text| text.parse::<Time>().ok()));
    assert!(sent.is_some() && sent == shown, "{completed}");
    assert_eq!(completed["data"]["error_code"], Value::Null);
    assert_eq!(summary(failure)[1..], [failed.clone(), "FAILED".to_owned()]);
    assert!(failure["data"]["error_code"].is_string(), "{failure}");
    assert_eq!(summary(&failures.expect(1).await[0].json())[1], failed);

    // A delivery that is not recorded yet would be tried again in a week.
    for webhook in [&webhook, &only_failures] {
        for delivery in webhook.deliveries().await {
            let id = delivery["id"].as_str().expect("an id");
            webhook.wait_for(id, |it| it["status"] == "DELIVERED").await;
        }
    }
    service.advance(Duration::from_hours(8 * 24));
    service.run_maintenance().await;
    let expired = all.expect(3).await.pop().expect("the expiry is sent").json();
    assert_eq!(summary(&expired), ["job.expired".to_owned(), done, "EXPIRED".to_owned()]);
    for delivery in webhook.deliveries().await {
        let id = delivery["id"].as_str().expect("an id");
        let delivered = webhook.wait_for(id, |it| it["status"] == "DELIVERED").await;
        assert_eq!([&delivered["tries"], &delivered["answer_status"]], [1, 204]);
    }
    assert_eq!((all.received().len(), failures.received().len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_sent() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    Webhook::of(&user, &receiver.url(), &["job.cancelled"]).await;
    let job = user.upload_endless().await;
    let (status, cancelled) = user.delete(&format!("/videos/{job}?action=cancel")).await;
    assert_eq!(status, StatusCode::OK, "{cancelled}");
    let body = receiver.expect(1).await[0].json();
    assert_eq!(summary(&body), ["job.cancelled", &job, "CANCELLED"]);
}

/// A job that an operator queues again has a second outcome, which is sent like the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_outcome_is_sent() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let job = user.upload_clip(WRONG).await;
    user.wait_for(&job, &["FAILED"]).await;
    receiver.expect(1).await;
    let id: JobId = job.parse().expect("an id");
    service.database().requeue(id).await.expect("the database responds");
    let requests = receiver.expect(2).await;
    let bodies: Vec<_> = requests.iter().map(|request| summary(&request.json())).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert_ne!(requests[0].id(), requests[1].id());
    assert_eq!(webhook.deliveries().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_repeat_deliveries_with_the_same_id() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let (user, stranger) = (service.user().await, service.user().await);
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    webhook.wait_for(&id, |delivery| delivery["status"] == "DELIVERED").await;
    let (status, repeated) = webhook.redeliver(&id).await;
    assert_eq!((status, &repeated["status"]), (StatusCode::ACCEPTED, &json!("PENDING")));
    let requests = receiver.expect(2).await;
    assert_eq!([requests[0].id(), requests[1].id()], [id.as_str(); 2]);
    assert_eq!(requests[0].body, requests[1].body);
    assert_eq!(requests[0].json()["type"], "webhook.test");
    let delivered = |delivery: &Value| delivery["status"] == "DELIVERED" && delivery["tries"] == 2;
    webhook.wait_for(&id, delivered).await;

    let path = webhook.path(&format!("/deliveries/{id}/redeliver"));
    let (status, _) = fetch_json(stranger.request(Method::POST, &path)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, problem) = webhook.redeliver("0190a000-0000-7000-8000-0000000000ee").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("DELIVERY_NOT_FOUND")));
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_in_pages() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let mut tests = Vec::new();
    for _ in 0..5 {
        tests.insert(0, webhook.test().await);
    }
    let (mut listed, mut next) = (Vec::new(), Some(webhook.path("/deliveries?limit=2")));
    while let Some(path) = next {
        let page = user.request(Method::GET, &path).send().await.expect("the service responds");
        let link = page.headers().get("link").map(|link| link.to_str().expect("a text").to_owned());
        next = link.map(|link| link.split(['<', '>']).nth(1).expect("a path").to_owned());
        let page: Vec<Value> = page.json().await.expect("a list");
        assert!(page.len() <= 2);
        listed.extend(page.iter().map(|it| it["id"].as_str().expect("an id").to_owned()));
    }
    assert_eq!(listed, tests);
}

/// What is sent to a user's server does not depend on a server of another user that hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_up_nobody() {
    let service = service().await;
    let [hanging, working] = [Receiver::start([Reply::Hang]).await, Receiver::accepting().await];
    let (user, other) = (service.user().await, service.user().await);
    let slow = Webhook::of(&user, &hanging.url(), &EVENTS).await;
    for _ in 0..12 {
        slow.test().await;
    }
    hanging.expect(4).await;
    // Another host of the same machine.
    let fast = Webhook::of(&other, &working.url_at("localhost"), &EVENTS).await;
    for _ in 0..12 {
        fast.test().await;
    }
    working.expect(12).await;
    assert_eq!(hanging.received().len(), 4, "a try lasts 15 seconds");
    assert!(working.most_open() <= 4, "{}", working.most_open());
    // Tries that reach the time limit make room for the others.
    eventually("the other events", || async { (hanging.received().len() > 4).then_some(()) }).await;
    assert_eq!(hanging.most_open(), 4);
    let timed_out = |delivery: &Value| delivery["error_code"] == "ANSWER_TIMEOUT";
    assert!(slow.deliveries().await.iter().any(timed_out));
}
