//! Uploads: several at a time, rejected, cancelled and retried ones.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, Preferences};
use crate::harness::checks::eventually;
use crate::harness::client::fetch_json;
use crate::harness::clips::{clip_bytes, fixture, scratch};
use crate::harness::programs::root;
use crate::harness::service::Service;

const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// Write a file and return its path.
fn write(directory: &Path, name: &str, content: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).expect("the file can be written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_two_files_at_a_time_and_continues_in_other_views() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    // Neither file is complete before the limit is lifted, on a busy machine either.
    browser.limit_uploads(20_000).await;
    browser.choose(&[root().join("fixtures/sample.mp4"), fixture("good/h264_aac.mp4")]).await;
    browser.wait_for_count("#uploads [data-state=sending]", 2).await;
    browser.wait_for_text("2 uploads in progress").await;
    browser
        .wait_until(
            "[...document.querySelectorAll('#uploads .status')]
                .every((status) => / left$/.test(status.innerText))",
        )
        .await;
    browser.assert_accessible("uploads").await;

    browser.click(".filters a[href='#/state/DONE']").await;
    browser.wait_for_text("No videos with this status").await;
    browser.wait_for_count("#uploads [data-state=sending]", 2).await;
    browser.limit_uploads(-1).await;
    browser.wait_for_count("#uploads [data-state=received]", 2).await;
    // Received videos leave the panel with the view: they are in the list.
    browser.click(".filters a[href='#/']").await;
    browser.wait_until("document.getElementById('uploads').hidden").await;
    browser.wait_for_count(".jobs [data-state=DONE]", 2).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn does_not_send_files_outside_the_limits() {
    let service = Service::with(|settings| settings.upload.max_video_mb = 1).await;
    let directory = scratch();
    let files = [
        ("valid.mp4", clip_bytes(SHORT)),
        ("notes.txt", vec![1]),
        ("empty.mp4", vec![]),
        ("large.mp4", [clip_bytes(SHORT), vec![0; 2_000_000]].concat()),
        ("none.mp4", vec![1; 9000]),
    ]
    .map(|(name, content)| write(directory.path(), name, &content));
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.wait_for_text("up to 1 MB each").await;
    browser.choose(&files).await;
    browser.wait_for_text("Unsupported file type. Use .mp4").await;
    browser.wait_for_text("The file is empty.").await;
    browser.wait_for_text("File too large: the limit is 1 MB.").await;
    // The service rejects this one.
    browser.wait_for_text("The file does not seem to be a video of the type").await;
    // Those that need attention come first.
    browser.wait_for_text("4 of 5 not accepted").await;
    browser
        .wait_until(
            "[...document.querySelectorAll('#upload-list li')].map((row) => row.dataset.state)
                .join() === 'rejected,rejected,rejected,rejected,received'",
        )
        .await;
    browser.assert_accessible("rejected").await;
    let requests = browser
        .js("return performance.getEntriesByName(location.origin + '/videos/upload').length")
        .await;
    assert_eq!(requests, json!(3), "not just the limits and two uploads");
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_a_cancelled_upload() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(20_000).await;
    browser.choose_sample().await;
    browser.wait_until("document.querySelector('#uploads progress')?.value > 0").await;
    browser.click("#uploads [title=Cancel]").await;
    browser.wait_for_text("Cancelled").await;
    browser.limit_uploads(-1).await;
    browser.click("#uploads [title='Try again']").await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.wait_for_count(".jobs > li", 1).await;
    browser.assert_no_console_errors().await;
}

/// Hold the response to the next upload back, until `window.respond` is called.
const HOLD_RESPONSE: &str = "
    const { send } = XMLHttpRequest.prototype;
    XMLHttpRequest.prototype.send = function (body) {
        XMLHttpRequest.prototype.send = send;
        const { onload } = this;
        this.onload = () => { window.respond = () => onload.call(this); };
        send.call(this, body);
    };";

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_appears_after_its_cancellation_is_deleted() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.js(HOLD_RESPONSE).await;
    browser.choose_sample().await;
    browser.find("#uploads [data-state=storing]").await;
    browser.wait_until("window.respond").await;
    browser.click("#uploads [title=Cancel]").await;
    browser.find("#uploads [data-state=cancelled]").await;
    browser.js("window.respond()").await;
    eventually("the job is deleted", async || {
        (jobs(&service, &browser).await == json!([])).then_some(())
    })
    .await;
    browser.wait_for_text("Cancelled").await;
    browser.assert_no_console_errors().await;
}

/// Jobs of the user of the page.
async fn jobs(service: &Service, browser: &Browser) -> Value {
    let token = browser.js("return JSON.parse(localStorage.getItem('fiapx.session')).access").await;
    let token = token.as_str().expect("the page has an access token");
    let request = service.request(Method::GET, "/videos").bearer_auth(token);
    let (status, jobs) = fetch_json(request).await;
    assert_eq!(status, StatusCode::OK, "{jobs}");
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_lost_response_adds_no_second_job() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    // The request reaches the service, and its response becomes a network error.
    browser
        .js("const { send } = XMLHttpRequest.prototype;
            XMLHttpRequest.prototype.send = function (body) {
                XMLHttpRequest.prototype.send = send;
                this.onload = this.onerror;
                send.call(this, body);
            };")
        .await;
    browser.choose_sample().await;
    browser.wait_for_text("The service cannot be reached").await;
    browser.click("#uploads [title='Try again']").await;
    browser.find("#uploads [data-state=received]").await;
    browser.find(".jobs [data-state=DONE]").await;
    let jobs = jobs(&service, &browser).await;
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{jobs}");
}
