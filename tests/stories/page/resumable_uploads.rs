//! Large files: paused and resumed, continued after a lost connection, a reload and a restart of
//! the service.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Preferences};
use crate::harness::client::fetch_json;
use crate::harness::clips::{ONE_FRAME, clip_bytes, scratch};
use crate::harness::process::{Process, free_address};
use crate::harness::service::Service;

const SIZE: usize = 12_000_000;

/// Write a video that is sent in parts.
fn large(directory: &Path) -> PathBuf {
    let path = directory.join("large.mp4");
    let mut video = clip_bytes(ONE_FRAME);
    video.resize(SIZE, 0);
    fs::write(&path, video).expect("the file can be written");
    path
}

/// Wait until the service has received the video as a whole.
async fn expect_job(service: &Service, browser: &Browser) {
    expect_received(browser).await;
    let files = service.files().await;
    let video = files.iter().find(|(path, _)| path.ends_with("/input.mp4"));
    assert_eq!(video.map(|(_, size)| *size), Some(SIZE as u64), "{files:?}");
    assert_eq!(files.len(), 2, "{files:?}");
}

/// Wait until the page shows the job of the video, and has forgotten the upload.
async fn expect_received(browser: &Browser) {
    browser.find("#uploads [data-state=received]").await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.wait_for_count(".jobs > li", 1).await;
    let records = browser.js("return localStorage.getItem('fiapx.uploads')").await;
    assert_eq!(records, json!(null), "the record of the upload is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_continues() {
    let (service, directory) = (Service::start().await, scratch());
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(1_000_000).await;
    browser.choose(&[large(directory.path())]).await;
    browser.wait_until("document.querySelector('#uploads progress')?.value > 0.1").await;
    browser.click("#uploads [title=Pause]").await;
    browser.wait_for_text("Paused").await;
    browser.assert_accessible("paused").await;
    browser.limit_uploads(-1).await;
    browser.click("#uploads [title=Continue]").await;
    expect_job(&service, &browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continues_after_a_lost_connection() {
    let (service, directory) = (Service::start().await, scratch());
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser
        .js("const { send } = XMLHttpRequest.prototype;
            let left = 2;
            window.requests = 0;
            XMLHttpRequest.prototype.send = function (body) {
                window.requests += 1;
                send.call(this, body);
                if (left-- > 0) setTimeout(() => this.abort(), 1500);
            };")
        .await;
    browser.limit_uploads(2_000_000).await;
    browser.choose(&[large(directory.path())]).await;
    browser.find("#uploads [data-state=interrupted]").await;
    expect_job(&service, &browser).await;
    let requests = browser.js("return window.requests").await;
    assert!(requests.as_u64().is_some_and(|requests| requests >= 3), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn continues_after_a_reload() {
    let (service, directory) = (Service::start().await, scratch());
    let file = large(directory.path());
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(1_000_000).await;
    browser.choose(std::slice::from_ref(&file)).await;
    browser.wait_until("document.querySelector('#uploads progress')?.value > 0.3").await;
    // A page with an active upload would ask whether to leave it.
    browser.click("#uploads [title=Pause]").await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.find("#uploads [data-state=unfinished]").await;
    browser.wait_for_text("Choose the file again to continue").await;
    browser.assert_accessible("unfinished").await;
    browser.limit_uploads(-1).await;
    browser.choose(&[file]).await;
    expect_job(&service, &browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn continues_after_a_restart_of_the_service() {
    let (data, directory, address) = (scratch(), scratch(), free_address());
    let start = || Process::role(&["serve", "--listen", &address], data.path(), &[]);
    let mut service = start();
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(2_000_000).await;
    browser.choose(&[large(directory.path())]).await;
    browser.wait_until("document.querySelector('#uploads progress')?.value > 0.3").await;
    service.signal("KILL");
    service.wait();
    browser.find("#uploads [data-state=interrupted]").await;
    let service = start();
    expect_received(&browser).await;
    let token = browser.js("return JSON.parse(localStorage.getItem('fiapx.session')).access").await;
    let list = service.request(Method::GET, "/videos");
    let list = list.bearer_auth(token.as_str().expect("the page has an access token"));
    let (status, jobs) = fetch_json(list).await;
    assert_eq!((status, &jobs[0]["video_size_bytes"]), (StatusCode::OK, &json!(SIZE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_can_be_sent_twice_at_a_time() {
    let (service, directory) = (Service::start().await, scratch());
    let file = large(directory.path());
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(1_000_000).await;
    browser.choose(std::slice::from_ref(&file)).await;
    browser.wait_until("document.querySelector('#uploads progress')?.value > 0.05").await;
    browser.choose(&[file]).await;
    browser.wait_until("document.querySelectorAll('#uploads progress')[1]?.value > 0.05").await;
    browser.limit_uploads(-1).await;
    browser.wait_for_count("#uploads [data-state=received]", 2).await;
    browser.wait_for_count(".jobs [data-state=DONE]", 2).await;
    browser.assert_no_console_errors().await;
}
