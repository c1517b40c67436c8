//! The states of a job, from upload to expiry.

mod expiry;
mod failure;
mod requeue;
mod deletion;
mod full_disk;
mod success;

use std::collections::BTreeMap;
use std::time::Duration;

use jobs::JobId;
use reqwest::StatusCode;
use serde_json::Value;

use crate::harness::client::User;
use crate::harness::clips::LONG;
use crate::harness::service::{Service, long_sessions};

/// Id of a job, for the database.
fn id(job: &str) -> JobId {
    job.parse().expect("it is an id")
}

/// Files of a user, by path from the user's folder, with their sizes.
async fn files_of(service: &Service, user: &User<'_>) -> BTreeMap<String, u64> {
    let folder = format!("videos/{}/", user.id);
    let files = service.files().await.into_iter();
    files.filter_map(|(path, size)| Some((path.strip_prefix(&folder)?.to_owned(), size))).collect()
}

/// Files that are being written.
async fn unfinished(service: &Service) -> Vec<String> {
    service.files().await.into_keys().filter(|path| path.starts_with("unfinished")).collect()
}

/// Upload a clip whose processing takes long, and wait until a worker processes it.
async fn occupy(user: &User<'_>) -> String {
    let job = user.upload_clip(LONG).await;
    user.wait_for(&job, &["PROCESSING"]).await;
    job
}

/// Cancel a job that is not finished.
async fn cancel(user: &User<'_>, job: &str) -> Value {
    let (status, view) = user.delete(&format!("/videos/{job}")).await;
    assert_eq!((status, &view["status"]), (StatusCode::OK, &"CANCELLED".into()), "{view}");
    view
}

/// Delete a finished job.
async fn remove(user: &User<'_>, job: &str) {
    let (status, body) = user.delete(&format!("/videos/{job}")).await;
    assert_eq!((status, &body), (StatusCode::NO_CONTENT, &Value::Null));
}

/// A number of days; access tokens last longer with [`long_sessions`].
fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}
