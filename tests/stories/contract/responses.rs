//! Every operation with every documented response that a test can cause. Each response must match
//! the document.

mod client;
mod accounts;
mod account_mails;
mod second_factor;
mod keys;
mod uploads;
mod resumable_uploads;
mod by_url;
mod jobs;
mod shares;
mod webhooks;
mod faults;

use std::collections::BTreeSet;

use client::CheckedClient;
use parking_lot::Mutex;
use reqwest::Method;

use super::specification::Document;
use crate::harness::service::{Service, long_sessions};

/// Documented responses that are not caused here.
const NOT_CAUSED: [(&str, u16); 55] = [
    // These operations read no column that can be damaged.
    ("GET /files/videos/{user}/{job}/{name}", 500),
    ("POST /auth/address/confirm", 429),
    ("POST /auth/address/confirm", 500),
    ("POST /auth/confirm", 429),
    ("POST /auth/confirm", 500),
    ("POST /auth/logout", 429),
    ("POST /auth/logout", 500),
    ("POST /auth/password", 500),
    ("POST /auth/password", 503),
    ("POST /auth/password/forgot", 429),
    ("POST /auth/password/reset", 429),
    ("POST /auth/password/reset", 500),
    ("POST /auth/refresh", 429),
    ("POST /auth/refresh", 500),
    ("POST /auth/register", 429),
    ("POST /auth/register", 500),
    // Other stories cover these.
    ("DELETE /uploads/{id}", 410),
    ("HEAD /uploads/{id}", 409),
    ("HEAD /uploads/{id}", 410),
    ("HEAD /uploads/{id}", 415),
    ("HEAD /uploads/{id}", 423),
    ("HEAD /uploads/{id}", 507),
    ("PATCH /uploads/{id}", 410),
    ("PATCH /uploads/{id}", 429),
    ("PATCH /uploads/{id}", 507),
    ("POST /uploads", 409),
    ("POST /uploads", 410),
    ("POST /uploads", 429),
    ("POST /uploads", 507),
    ("POST /uploads/direct", 201),
    ("POST /uploads/direct", 410),
    ("POST /uploads/direct", 429),
    ("POST /uploads/direct", 507),
    ("POST /uploads/{id}/complete", 410),
    ("POST /uploads/{id}/complete", 507),
    ("GET /files/selection", 429),
    ("GET /files/shared/{share_id}", 429),
    ("GET /files/videos/{user}/{job}/{name}", 429),
    ("GET /jobs/{id}/events", 429),
    ("GET /jobs/{id}/frames", 429),
    ("GET /jobs/{id}/frames/{number}", 429),
    ("GET /jobs/{id}/sheets/{number}", 429),
    ("GET /jobs/{id}/previews", 429),
    ("GET /jobs/{id}/previews/{number}", 429),
    ("GET /shared", 429),
    ("GET /shared/frames", 429),
    ("GET /shared/frames/{number}", 429),
    ("POST /videos", 408),
    ("POST /videos", 429),
    ("GET /jobs/{id}/thumbnail", 429),
    ("POST /videos/{id}/jobs", 408),
    ("POST /videos/{id}/jobs", 429),
    ("POST /videos/{id}/jobs", 507),
    ("POST /videos/upload", 429),
    ("POST /videos/upload", 507),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_response_matches_the_document() {
    let service = Service::with(|settings| {
        settings.limits.logins_per_minute = 3;
        settings.limits.downloads_per_minute = 3;
        settings.upload.max_video_mb = 32;
        settings.upload.patience_seconds = 4;
        settings.videos_by_url.enabled = true;
        // The clock is set ahead by days.
        long_sessions(settings);
    })
    .await;
    let document = Document::of(&service).await;
    let client = CheckedClient { service: &service, document, seen: Mutex::default() };

    accounts::check(&client).await;
    account_mails::check(&client).await;
    account_mails::check_confirmation(&client).await;
    second_factor::check(&client).await;
    keys::check(&client).await;
    uploads::check(&client).await;
    resumable_uploads::check(&client).await;
    by_url::check(&client).await;
    jobs::check(&client).await;
    shares::check(&client).await;
    webhooks::check(&client).await;
    faults::check(&client).await;
    large_headers(&client).await;

    let documented = client.document.operations().into_iter().flat_map(|operation| {
        operation
            .statuses()
            .into_iter()
            .map(|status| (operation.name.clone(), status))
            .collect::<Vec<_>>()
    });
    let documented: BTreeSet<_> = documented.collect();
    let not_caused: BTreeSet<_> =
        NOT_CAUSED.iter().map(|(operation, status)| ((*operation).to_owned(), *status)).collect();
    let seen = client.seen.lock().clone();
    assert_eq!(
        documented.difference(&seen).cloned().collect::<BTreeSet<_>>(),
        not_caused,
        "documented responses that were not caused"
    );
}

/// The HTTP server rejects requests with more than 100 header fields.
async fn large_headers(client: &CheckedClient<'_>) {
    for operation in client.document.operations() {
        let (method, path) = operation.name.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a valid method");
        let path = path.replace(['{', '}'], "");
        let many = (0..150).fold(client.service.request(method, &path), |request, number| {
            request.header(format!("x-{number}"), "1")
        });
        client.expect(431, many).await;
    }
}
