//! Webhooks of a user: created, listed, changed and deleted, by nobody else.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::client::{EVENTS, Webhook, create, service};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::receiver::{Receiver, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn users_manage_their_webhooks() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &["job.failed", "job.completed"]).await;
    assert!(webhook.secret.starts_with("whsec_"), "{}", webhook.secret);
    let view = webhook.get().await;
    assert_eq!(view["events"], json!(["job.completed", "job.failed"]));
    assert_eq!((&view["enabled"], view.get("secret")), (&json!(true), None), "it is shown once");
    assert_eq!(user.get("/webhooks").await.1, json!([view]));

    let (status, changed) = webhook.change(&json!({ "events": ["job.expired"] })).await;
    assert_eq!((status, &changed["url"]), (StatusCode::OK, &json!(receiver.url())));
    assert_eq!(changed["events"], json!(["job.expired"]));
    for invalid in [
        json!({ "events": [] }),
        json!({ "events": ["job.expired", "job.expired"] }),
        json!({ "events": ["job.started"] }),
        json!({ "url": "ftp://example.com" }),
        json!({ "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }),
    ] {
        let (status, problem) = webhook.change(&invalid).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{invalid}: {problem}");
    }
    assert_eq!(webhook.get().await["events"], json!(["job.expired"]));
    let unknown = json!({ "url": receiver.url(), "events": EVENTS, "enabled": false });
    let creation = user.request(Method::POST, "/webhooks").json(&unknown);
    assert_eq!(fetch_json(creation).await.0, StatusCode::UNPROCESSABLE_ENTITY);

    let (status, _) = user.delete(&webhook.path("")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(user.delete(&webhook.path("")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(user.get("/webhooks").await.1, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_webhook_gets_nothing() {
    let (service, receiver) = (service().await, Receiver::start([Reply::status(500)]).await);
    service.clock.pause();
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let id = webhook.test().await;
    webhook.wait_for(&id, |delivery| !delivery["error_code"].is_null()).await;
    let (_, view) = webhook.change(&json!({ "enabled": false })).await;
    assert_eq!((&view["enabled"], &view["disabled_because"]), (&json!(false), &json!("USER")));
    let ended = webhook.deliveries().await.remove(0);
    let state = [&ended["status"], &ended["error_code"], &ended["next_attempt_at"]];
    assert_eq!(state, [&json!("FAILED"), &json!("WEBHOOK_DISABLED"), &Value::Null]);
    assert_eq!(webhook.post("/test").await.0, StatusCode::CONFLICT);
    webhook.change(&json!({ "enabled": true })).await;
    assert_eq!(webhook.redeliver(&id).await.0, StatusCode::ACCEPTED);
    receiver.expect(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_have_at_most_ten() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let (user, neighbor) = (service.user().await, service.user().await);
    let url = receiver.url();
    let creations = (0..20).map(|_| create(&user, &url, &EVENTS));
    let statuses = futures_util::future::join_all(creations).await;
    let created = statuses.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    assert_eq!(created, 10, "also of simultaneous requests");
    let refused = statuses.iter().filter(|(_, body)| body["code"] == "TOO_MANY_WEBHOOKS").count();
    assert_eq!(refused, 10);
    Webhook::of(&neighbor, &url, &EVENTS).await;
}

/// The webhooks of others do not exist for a user.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_have_no_access() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let (user, stranger) = (service.user().await, service.user().await);
    let own = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let foreign = Webhook { user: &stranger, id: own.id.clone(), secret: String::new() };
    let requests = [
        stranger.get(&foreign.path("")).await,
        stranger.get(&foreign.path("/deliveries")).await,
        foreign.change(&json!({ "enabled": false })).await,
        foreign.post("/secret").await,
        foreign.post("/test").await,
        stranger.delete(&foreign.path("")).await,
    ];
    for (status, problem) in requests {
        let code = &problem["code"];
        assert_eq!((status, code), (StatusCode::NOT_FOUND, &json!("WEBHOOK_NOT_FOUND")));
    }
    assert_eq!(own.get().await["enabled"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_are_limited() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    service.clock.pause();
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    for _ in 0..30 {
        webhook.test().await;
    }
    let (status, problem) = webhook.post("/test").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(problem["code"], "TOO_MANY_DELIVERIES");
}

/// The export of the account has webhooks and deliveries, but no secrets, and the deletion of the
/// account ends them.
#[tokio::test(flavor = "multi_thread")]
async fn they_belong_to_the_account() {
    let (service, receiver) = (service().await, Receiver::start([Reply::status(500)]).await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let (_, rotated) = webhook.post("/secret").await;
    let id = webhook.test().await;
    webhook.wait_for(&id, |delivery| !delivery["error_code"].is_null()).await;
    let password = json!({ "password": PASSWORD });
    let export = user.request(Method::POST, "/auth/export").json(&password).send().await;
    let archive = export.expect("the service responds").bytes().await.expect("an archive");
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive)).expect("an archive");
    let mut read = |name: &str| {
        let file = archive.by_name(name).expect("the file is in the archive");
        std::io::read_to_string(file).expect("it is text")
    };
    let (webhooks, deliveries) = (read("webhooks.json"), read("webhook_deliveries.json"));
    assert!(webhooks.contains(&receiver.url()) && deliveries.contains(&id));
    for secret in [&webhook.secret, rotated["secret"].as_str().expect("a secret")] {
        assert!(!webhooks.contains(secret), "{webhooks}");
    }

    let deletion = user.request(Method::DELETE, "/auth/me").json(&password);
    assert_eq!(fetch_json(deletion).await.0, StatusCode::NO_CONTENT);
    service.execute_sql(
        "CREATE TABLE empty (rows CHECK (rows = 0)); \
         INSERT INTO empty SELECT COUNT(*) FROM webhooks; \
         INSERT INTO empty SELECT COUNT(*) FROM webhook_deliveries;",
    );
}
