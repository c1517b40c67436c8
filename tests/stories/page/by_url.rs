//! The field for the URL of a video.

use super::browser::{Browser, Preferences};
use crate::harness::clips::{SHORT, clip_bytes};
use crate::harness::service::Service;
use crate::harness::video_server::{Serving, VideoServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_added_by_its_url() {
    let service = Service::with(|settings| {
        settings.videos_by_url.enabled = true;
        settings.videos_by_url.allow_private = true;
    })
    .await;
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Ranges("\"one\"")).await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.fill("#url", "ftp://example.com/a.mp4").await;
    browser.click(".by-url button").await;
    browser.wait_for_text("The address must begin with https://.").await;
    browser.fill("#url", &server.url("watch?id=7")).await;
    browser.click(".by-url button").await;
    browser.wait_for_text("The address must end with the name of a video").await;
    browser.assert_accessible("by_url").await;
    browser.fill("#url", &server.url("praia.mp4?signature=topsecret")).await;
    browser.click(".by-url button").await;
    browser.wait_for_count(".jobs [data-state=DONE]", 1).await;
    browser.wait_for_text("praia.mp4").await;
    browser.assert_no_console_errors().await;
}

/// Without the setting, the page has no such field.
#[tokio::test(flavor = "multi_thread")]
async fn the_field_is_not_there_by_default() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.wait_for_text("500 MB").await;
    browser.wait_for_count("#url", 0).await;
}
