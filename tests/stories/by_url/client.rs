//! Requests for videos by URL.

use app::settings::Settings;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::service::long_sessions;

/// Let URLs of videos lead to this machine, and sessions last for the time by which stories advance
/// the clock.
pub fn permit_loopback(settings: &mut Settings) {
    settings.videos_by_url.enabled = true;
    settings.videos_by_url.allow_private = true;
    long_sessions(settings);
}

/// Ask for a job of a video at a URL.
pub async fn add(user: &User<'_>, url: &str, recipe: &Value) -> (StatusCode, Value) {
    let body = json!({ "url": url, "recipe": recipe });
    fetch_json(user.request(Method::POST, "/videos").json(&body)).await
}

/// Create a job of a video at a URL, and return its id.
pub async fn accepted(user: &User<'_>, url: &str, recipe: &Value) -> String {
    let (status, accepted) = add(user, url, recipe).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    job_id(&accepted)
}
