//! Responses of a service whose database or file store is damaged.

use std::fs;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use super::client::{CheckedClient, ON_JOB, PREVIEWS, SHORT, on_job, upload};
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, User, fetch_json};
use crate::harness::clips::clip_bytes;

/// Upload a video, damage the rows, the tables and the files in turn, and repair them.
pub async fn check(client: &CheckedClient<'_>) {
    let service = client.service;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let (_, link) =
        client.expect(200, user.request(Method::GET, &format!("/jobs/{job}/download"))).await;
    let link = link["download_url"].as_str().expect("a link");
    let selection = user.request(Method::GET, &format!("/jobs/{job}/download?frames=1"));
    let (_, selection) = client.expect(200, selection).await;
    let selection = selection["download_url"].as_str().expect("a link");
    client.expect(200, client.get("/health")).await;
    client.expect(200, client.get("/ready")).await;
    client
        .expect(
            202,
            upload(&user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", "mine"),
        )
        .await;
    service.wait_until_idle().await;
    service.advance(Duration::from_mins(1));
    let (token, download) = super::shares::share(client, &user, &job).await;
    service.advance(Duration::from_mins(1));
    let by_links = || {
        let mut requests = super::shares::all(client, &token, &download);
        requests.push(client.get(selection));
        requests
    };
    damaged_rows(client, &user, &job, by_links()).await;
    missing_tables(client, &user, &job, by_links()).await;
    unreadable_files(client, link).await;
}

/// Send every request that reads users or jobs. All responses must have this status.
async fn expect_everywhere(
    client: &CheckedClient<'_>,
    status: u16,
    user: &User<'_>,
    job: &str,
    key: &str,
) {
    for (method, path) in ON_JOB {
        let method: Method = method.parse().expect("a valid method");
        client.expect(status, on_job(user, &method, &path.replace("{}", job))).await;
    }
    let sheet = format!("/jobs/{job}/sheets/1");
    client.expect(status, user.request(Method::GET, &sheet)).await;
    for path in PREVIEWS {
        client.expect(status, user.request(Method::GET, &path.replace("{}", job))).await;
    }
    client.expect(status, user.request(Method::GET, "/videos")).await;
    client.expect(status, user.request(Method::GET, "/videos/usage")).await;
    client
        .expect(
            status,
            upload(user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", key),
        )
        .await;
    client.expect(status, super::by_url::add(user).header("Idempotency-Key", key)).await;
    client.expect(status, user.request(Method::GET, "/auth/me")).await;
    for request in super::second_factor::all(user) {
        client.expect(status, request).await;
    }
    for request in super::account_mails::all(user) {
        client.expect(status, request).await;
    }
    for request in super::keys::all(user) {
        client.expect(status, request).await;
    }
    for request in super::resumable_uploads::all(user) {
        client.expect(status, request).await;
    }
    for request in super::webhooks::all(user) {
        client.expect(status, request).await;
    }
    if status == 500 {
        let forgotten = json!({ "email": user.email });
        client.post(500, "/auth/password/forgot", &forgotten).await;
    }
    client.post(status, "/auth/login", &json!({ "email": user.email, "password": PASSWORD })).await;
}

/// Rows that the program cannot read.
async fn damaged_rows(
    client: &CheckedClient<'_>,
    user: &User<'_>,
    job: &str,
    by_links: Vec<RequestBuilder>,
) {
    client.service.execute_sql(
        "PRAGMA ignore_check_constraints = ON; UPDATE users SET language = 'xx'; \
         UPDATE jobs SET warnings = 'damaged'",
    );
    expect_everywhere(client, 500, user, job, "mine").await;
    for request in by_links {
        client.expect(500, request).await;
    }
    client.service.execute_sql("UPDATE users SET language = 'en'; UPDATE jobs SET warnings = '[]'");
}

/// A database without its tables.
async fn missing_tables(
    client: &CheckedClient<'_>,
    user: &User<'_>,
    job: &str,
    by_links: Vec<RequestBuilder>,
) {
    let tables = ["users", "jobs", "refresh_tokens", "idempotency_keys", "account_tokens"];
    let rename = |from: &str, to: &str| {
        let statements =
            tables.map(|table| format!("ALTER TABLE {from}{table} RENAME TO {to}{table};"));
        client
            .service
            .execute_sql(&format!("PRAGMA legacy_alter_table = ON; {}", statements.concat()));
    };
    rename("", "lost_");
    expect_everywhere(client, 503, user, job, "another").await;
    for request in by_links {
        client.expect(503, request).await;
    }
    client
        .post(
            503,
            "/auth/register",
            &json!({ "email": "lia@example.com", "password": PASSWORD, "name": "Lia" }),
        )
        .await;
    for path in ["/auth/refresh", "/auth/logout"] {
        client.post(503, path, &json!({ "refresh_token": user.refresh })).await;
    }
    super::account_mails::missing_tables(client).await;
    rename("lost_", "");
    client.expect(200, user.request(Method::GET, "/auth/me")).await;
}

/// A file store that cannot be read.
async fn unreadable_files(client: &CheckedClient<'_>, link: &str) {
    let directory = client.service.directory.path();
    let (files, aside) = (directory.join("files"), directory.join("aside"));
    fs::rename(&files, &aside).expect("the directory is movable");
    // A link to itself cannot be read. A missing directory would only have no files.
    std::os::unix::fs::symlink(&files, &files).expect("the directory is writable");
    // The result of an earlier check is valid for two seconds.
    eventually("the store is missed", || async {
        let (status, _) = fetch_json(client.get("/ready")).await;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    client.expect(503, client.get("/ready")).await;
    client.expect(503, client.get(link)).await;
    fs::remove_file(&files).expect("the link is removable");
    fs::rename(&aside, &files).expect("the directory is movable");
    client.expect(200, client.get(link)).await;
}
