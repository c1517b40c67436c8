//! A job's way through its states.

mod expiry;
mod failure;
mod requeue;
mod deletion;
mod success;

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::JobId;
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::checks::eventually;
use crate::harness::client::User;
use crate::harness::clips::LONG;
use crate::harness::service::Service;

/// The name by which the database knows a job.
fn id(job: &str) -> JobId {
    job.parse().expect("it is an id")
}

/// The files of a user, by their path from the user's folder, with their sizes.
async fn files_of(service: &Service, user: &User<'_>) -> BTreeMap<String, u64> {
    let folder = format!("videos/{}/", user.id);
    let files = service.files().await.into_iter();
    files.filter_map(|(path, size)| Some((path.strip_prefix(&folder)?.to_owned(), size))).collect()
}

/// The files that are being written.
async fn unfinished(service: &Service) -> Vec<String> {
    service.files().await.into_keys().filter(|path| path.starts_with("unfinished")).collect()
}

/// Send a clip that takes long, and wait until a worker has it.
async fn occupy(user: &User<'_>) -> String {
    let job = user.upload_clip(LONG).await;
    user.wait_for(&job, &["PROCESSING"]).await;
    job
}

/// Wait until the first pictures of a job are in its archive.
async fn begun(user: &User<'_>, job: &str) {
    eventually("there are pictures", || async {
        let view = user.get(&format!("/videos/{job}")).await.1;
        view["progress"]["done"].as_u64().filter(|done| *done > 0)
    })
    .await;
}

/// Cancel a job that is not over.
async fn cancel(user: &User<'_>, job: &str) -> Value {
    let (status, view) = user.delete(&format!("/videos/{job}")).await;
    assert_eq!((status, &view["status"]), (StatusCode::OK, &"CANCELLED".into()), "{view}");
    view
}

/// Delete a job that is over.
async fn remove(user: &User<'_>, job: &str) {
    let (status, body) = user.delete(&format!("/videos/{job}")).await;
    assert_eq!((status, &body), (StatusCode::NO_CONTENT, &Value::Null));
}

/// Days, which access tokens outlive in [`long_sessions`].
fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}

/// Let sessions last while days pass.
fn long_sessions(settings: &mut app::settings::Settings) {
    settings.accounts.access_minutes = 60 * 24 * 30;
}
