//! Requests about webhooks.

use app::settings::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::checks::eventually;
use crate::harness::client::{User, fetch_json};
use crate::harness::service::{Service, long_sessions};

/// All events.
pub const EVENTS: [&str; 4] = ["job.completed", "job.failed", "job.cancelled", "job.expired"];

/// Let webhooks lead to this machine, and sessions last for the time by which stories advance the
/// clock.
pub fn permit_loopback(settings: &mut Settings) {
    settings.webhooks.allow_private = true;
    long_sessions(settings);
}

/// Start a service whose webhooks may lead to this machine.
pub async fn service() -> Service {
    Service::with(permit_loopback).await
}

/// Webhook of a user.
pub struct Webhook<'a> {
    pub user: &'a User<'a>,
    pub id: String,
    pub secret: String,
}

/// Ask for a webhook.
pub async fn create(user: &User<'_>, url: &str, events: &[&str]) -> (StatusCode, Value) {
    let body = json!({ "url": url, "events": events });
    fetch_json(user.request(Method::POST, "/webhooks").json(&body)).await
}

impl<'a> Webhook<'a> {
    /// Create a webhook for some events.
    pub async fn of(user: &'a User<'a>, url: &str, events: &[&str]) -> Self {
        let (status, created) = create(user, url, events).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        let text = |name: &str| created[name].as_str().expect("a text").to_owned();
        Self { user, id: text("id"), secret: text("secret") }
    }

    /// Path of the webhook, or below it.
    pub fn path(&self, below: &str) -> String {
        format!("/webhooks/{}{below}", self.id)
    }

    /// The webhook as it is now.
    pub async fn get(&self) -> Value {
        let (status, webhook) = self.user.get(&self.path("")).await;
        assert_eq!(status, StatusCode::OK, "{webhook}");
        webhook
    }

    /// Change the webhook.
    pub async fn change(&self, change: &Value) -> (StatusCode, Value) {
        fetch_json(self.user.request(Method::PATCH, &self.path("")).json(change)).await
    }

    /// Post to a path below the webhook.
    pub async fn post(&self, below: &str) -> (StatusCode, Value) {
        fetch_json(self.user.request(Method::POST, &self.path(below))).await
    }

    /// Ask for a test, and return the id of its delivery.
    pub async fn test(&self) -> String {
        let (status, delivery) = self.post("/test").await;
        assert_eq!(status, StatusCode::ACCEPTED, "{delivery}");
        delivery["id"].as_str().expect("an id").to_owned()
    }

    /// Ask for another delivery.
    pub async fn redeliver(&self, delivery: &str) -> (StatusCode, Value) {
        self.post(&format!("/deliveries/{delivery}/redeliver")).await
    }

    /// Latest deliveries, newest first.
    pub async fn deliveries(&self) -> Vec<Value> {
        let (status, deliveries) = self.user.get(&self.path("/deliveries?limit=100")).await;
        assert_eq!(status, StatusCode::OK, "{deliveries}");
        deliveries.as_array().expect("a list").clone()
    }

    /// Wait until a delivery satisfies a condition, and return it.
    pub async fn wait_for(&self, id: &str, condition: impl Fn(&Value) -> bool) -> Value {
        eventually("the result of a delivery", || async {
            let deliveries = self.deliveries().await;
            deliveries.into_iter().find(|delivery| delivery["id"] == id && condition(delivery))
        })
        .await
    }
}
