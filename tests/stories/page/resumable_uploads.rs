//! Large files: paused and resumed, continued after a lost connection and after a reload.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::browser::{Browser, Preferences};
use crate::harness::clips::{ONE_FRAME, clip_bytes, scratch};
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
    browser.find("#uploads [data-state=received]").await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.wait_for_count(".jobs > li", 1).await;
    let files = service.files().await;
    let video = files.iter().find(|(path, _)| path.ends_with("/input.mp4"));
    assert_eq!(video.map(|(_, size)| *size), Some(SIZE as u64), "{files:?}");
    assert_eq!(files.len(), 2, "{files:?}");
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
