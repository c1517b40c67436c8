//! Videos by URL do not reach the network of the service, and their secrets are shown nowhere.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::client::{accepted, add, permit_loopback};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::{SHORT, WRONG, clip_bytes, scratch};
use crate::harness::process::Process;
use crate::harness::service::Service;
use crate::harness::video_server::{Serving, VideoServer};

/// Without the setting for private networks, no URL of the service's network is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn urls_within_the_network_are_refused() {
    let service = Service::with(|settings| settings.videos_by_url.enabled = true).await;
    let user = service.user().await;
    for (url, code) in [
        ("http://example.com/a.mp4", "URL_SCHEME"),
        ("file:///etc/passwd.mp4", "URL_SCHEME"),
        ("https://127.0.0.1/a.mp4", "URL_HOST"),
        ("https://localhost:8443/a.mp4", "URL_HOST"),
        ("https://169.254.169.254/latest/a.mp4", "URL_HOST"),
        ("https://[::ffff:10.0.0.1]/a.mp4", "URL_HOST"),
        ("https://ana:secret@example.com/a.mp4", "URL_PARTS"),
        ("example.com/a.mp4", "URL_MALFORMED"),
    ] {
        let (status, problem) = add(&user, url, &json!({})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {problem}");
        let error = &problem["errors"][0];
        assert_eq!((&error["field"], &error["code"]), (&json!("url"), &json!(code)), "{url}");
    }
    assert_eq!(user.get("/videos").await.1, json!([]));
}

/// By default, no videos are read at addresses.
#[tokio::test(flavor = "multi_thread")]
async fn the_feature_is_off_by_default() {
    let service = Service::start().await;
    let user = service.user().await;
    assert_eq!(user.get("/videos/upload").await.1["by_url"], false);
    let (status, problem) = add(&user, "https://example.com/a.mp4", &json!({})).await;
    let expected = (StatusCode::FORBIDDEN, &json!("VIDEOS_BY_URL_OFF"));
    assert_eq!((status, &problem["code"]), expected);
    let service = Service::with(permit_loopback).await;
    assert_eq!(service.user().await.get("/videos/upload").await.1["by_url"], true);
}

/// A job whose address was permitted when it was accepted is not read there anymore.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_checked_again_before_each_attempt() {
    let server = VideoServer::start(clip_bytes(WRONG), Serving::Ranges("\"one\"")).await;
    for enabled in [true, false] {
        let earlier = Service::with(permit_loopback).await;
        let user = earlier.user().await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
        let view = user.wait_for(&job, &["FAILED"]).await;
        assert_eq!(view["error_code"], "NO_VIDEO_STREAM", "{view}");
        let account = user.account();
        let before = server.sent().len();
        let clock = earlier.clock.clone();
        let directory = earlier.stop().await;

        let change = |settings: &mut app::settings::Settings| {
            permit_loopback(settings);
            settings.videos_by_url.enabled = enabled;
            settings.videos_by_url.allow_private = false;
        };
        let service = Service::at(directory, None, clock, change).await;
        let user = account.at(&service);
        let id = job.parse().expect("an id");
        service.database().requeue(id).await.expect("the database responds");
        let view = user.wait_for(&job, &["FAILED"]).await;
        assert_eq!(view["error_code"], "SOURCE_REFUSED", "{view}");
        assert_eq!(server.sent().len(), before);
    }
}

/// The query of an address may be a secret.
#[tokio::test(flavor = "multi_thread")]
async fn queries_are_shown_nowhere() {
    let directory = scratch();
    let environment = [
        ("VIDEOS_BY_URL", "true"),
        ("VIDEOS_BY_URL_ALLOW_PRIVATE", "true"),
        ("LOG_LEVEL", "trace"),
    ];
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Ranges("\"one\"")).await;
    let done = accepted(&user, &server.url("a.mp4?signature=topsecret"), &json!({})).await;
    user.wait_until_done(&done).await;
    server.serve(Serving::Redirect("http://10.0.0.1/?signature=topsecret".to_owned()));
    let failed = accepted(&user, &server.url("b.mp4?signature=topsecret"), &json!({})).await;
    user.wait_for(&failed, &["FAILED"]).await;
    for job in [&done, &failed] {
        for path in [format!("/videos/{job}"), format!("/jobs/{job}/status"), "/videos".to_owned()]
        {
            let (_, body) = user.get(&path).await;
            assert!(!body.to_string().contains("topsecret"), "{path}: {body}");
        }
    }
    let (_, problem) = add(&user, "ftp://example.com/a.mp4?signature=topsecret", &json!({})).await;
    assert!(!problem.to_string().contains("topsecret"), "{problem}");
    let export = user.request(Method::POST, "/auth/export").json(&json!({ "password": PASSWORD }));
    let export = export.send().await.expect("it responds").bytes().await.expect("it completes");
    assert!(!contains(&export, b"topsecret"), "the export contains the query");
    let (status, _) = fetch_json(user.request(Method::GET, "/auth/me")).await;
    assert_eq!(status, StatusCode::OK);
    for line in process.terminate() {
        assert!(!line.to_string().contains("topsecret"), "{line}");
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
