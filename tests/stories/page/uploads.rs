//! Uploading: several at once, refused, given up and tried again.

use std::fs;
use std::path::PathBuf;

use reqwest::StatusCode;
use serde_json::json;

use super::browser::{Browser, Taste};
use crate::harness::clips::{clip_bytes, fixture, scratch};
use crate::harness::programs::root;
use crate::harness::service::Service;

const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// Files of these names and contents.
fn files(directory: &tempfile::TempDir, contents: &[(&str, Vec<u8>)]) -> Vec<PathBuf> {
    let write = |(name, content): &(&str, Vec<u8>)| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("there is room");
        path
    };
    contents.iter().map(write).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_at_once_each_on_its_own() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    browser.slow_uploads(100_000).await;
    browser.choose(&[root().join("fixtures/sample.mp4"), fixture("good/h264_aac.mp4")]).await;
    browser.until("document.querySelectorAll('.tray [data-state=sending]').length === 2").await;
    browser.reads("2 uploads under way").await;
    browser.until("[...document.querySelectorAll('.tray .status')].every((one) => / left$/.test(one.innerText))").await;
    browser.accessible("uploads").await;

    // They go on while one looks at other things.
    browser.click(".filters a[href='#/state/DONE']").await;
    browser.reads("No video in this state").await;
    browser.until("document.querySelectorAll('.tray [data-state=sending]').length === 2").await;
    browser.slow_uploads(-1).await;
    browser.until("document.querySelectorAll('.tray [data-state=received]').length === 2").await;
    browser.click(".filters a[href='#/']").await;
    browser.until("document.querySelectorAll('.jobs [data-state=DONE]').length === 2").await;
    browser.click(".tray .clear").await;
    browser.until("document.getElementById('tray').hidden").await;
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_sent() {
    let service = Service::with(|settings| settings.upload.max_video_mb = 1).await;
    let directory = scratch();
    let large = [clip_bytes(SHORT), vec![0; 2 << 20]].concat();
    let files = files(
        &directory,
        &[
            ("notes.txt", vec![1]),
            ("empty.mp4", vec![]),
            ("large.mp4", large),
            ("none.mp4", vec![1; 9000]),
        ],
    );
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    browser.reads("up to 1 MB each").await;
    browser.choose(&files).await;
    browser.reads("This kind of file is not accepted. Accepted are .mp4").await;
    browser.reads("The file is empty.").await;
    browser.reads("The file is larger than 1 MB").await;
    // What only the service can see, it says.
    browser.reads("The content of the file is not what its name says").await;
    browser.accessible("refused").await;
    let sent = browser
        .js("return performance.getEntriesByName(location.origin + '/videos/upload').length")
        .await;
    assert_eq!(sent, json!(2), "it asked what is accepted, and sent one");
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_can_be_sent_again() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    browser.slow_uploads(20_000).await;
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.until("document.querySelector('.tray progress')?.value > 0").await;
    browser.click(".tray [title=Cancel]").await;
    browser.reads("Cancelled").await;
    browser.slow_uploads(-1).await;
    browser.click(".tray [title='Try again']").await;
    browser.find(".jobs [data-state=DONE]").await;
    assert_eq!(browser.js("return document.querySelectorAll('.jobs > li').length").await, json!(1));
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_gets_lost_makes_no_second_job() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    // The request arrives and is answered; the page hears that the network is gone.
    browser
        .js("const send = XMLHttpRequest.prototype.send;
            XMLHttpRequest.prototype.send = function (body) {
                XMLHttpRequest.prototype.send = send;
                const { onerror } = this;
                this.onload = onerror;
                send.call(this, body);
            };")
        .await;
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.reads("The service cannot be reached").await;
    browser.click(".tray [title='Try again']").await;
    browser.find(".tray [data-state=received]").await;
    browser.find(".jobs [data-state=DONE]").await;
    let token = browser.js("return JSON.parse(localStorage.getItem('fiapx.session')).access").await;
    let jobs = service
        .request(reqwest::Method::GET, "/videos")
        .bearer_auth(token.as_str().expect("a token"));
    let (status, jobs) = crate::harness::client::fetch_json(jobs).await;
    assert_eq!((status, jobs.as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{jobs}");
}
