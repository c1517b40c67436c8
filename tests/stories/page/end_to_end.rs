//! Complete flows: from registration to the archive, and videos that cannot be processed.

use std::time::Duration;

use super::browser::{Browser, EMAIL, Preferences, SAMPLE_FRAMES};
use crate::harness::archive::Archive;
use crate::harness::clips::fixture;
use crate::harness::service::{Service, stored};

/// Count the layout shifts of the page (Layout Instability API) in `window.shift`.
pub(super) const MEASURE_LAYOUT_SHIFT: &str = "
    window.shift = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (!entry.hadRecentInput) window.shift += entry.value;
        }
    }).observe({ type: 'layout-shift', buffered: true });";

#[tokio::test(flavor = "multi_thread")]
async fn uploads_views_and_downloads_a_video() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.assert_accessible("login").await;
    browser.js(MEASURE_LAYOUT_SHIFT).await;
    browser.register(EMAIL).await;
    browser.wait_for_text("No videos yet").await;
    browser.assert_accessible("empty").await;

    browser.upload_sample().await;
    browser.wait_for_text("10 frames").await;
    browser.assert_accessible("list").await;

    browser.open_sample().await;
    for fact in ["640 × 360", "h264", "30 frames/s", "0:00.467", "0:09.467", "History"] {
        browser.wait_for_text(fact).await;
    }
    browser.assert_accessible("job").await;

    browser.view_third_frame().await;
    browser.wait_for_text("Frame 3 of 10").await;
    browser.assert_accessible("frame").await;
    browser.click(".viewer [title='Download frame']").await;
    // Frames of all videos have the same names, so the name of the video precedes it.
    let frame = browser.take_download("/sample_frame_00003_00h00m02.467s.png").await;

    browser.click(".viewer [title=Close]").await;
    browser.wait_for_count(".viewer", 0).await;
    browser.click(".job-head .primary").await;
    let bytes = browser.take_download(".zip").await;
    let archive = Archive::read(bytes.clone()).expect("the archive is valid");
    assert_eq!(archive.frames.len(), SAMPLE_FRAMES);
    assert!(archive.frames[2].1 == frame, "the frame differs from that in the archive");

    // The first link has expired, so the page must request another one.
    service.advance(Duration::from_mins(20));
    browser.click(".job-head .primary").await;
    assert!(browser.take_download(".zip").await == bytes, "the archive has changed");

    browser.client.back().await.expect("the browser can go back");
    browser.find(".drop-area").await;
    let shift = browser.js("return window.shift").await.as_f64().expect("a number");
    // A cumulative layout shift of at most 0.1 is good (https://web.dev/articles/cls).
    assert!(shift < 0.1, "layout shift of {shift}");
    browser.assert_no_console_errors().await;
    assert_eq!(stored(service.directory.path()).len(), 2, "not just the video and its archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_the_reason_of_a_failure_in_the_language_of_the_page() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser
        .choose(&[fixture("broken/noise_in_mp4.mp4"), fixture("broken/cover_art_only.mp4")])
        .await;
    browser.wait_for_count(".jobs [data-state=FAILED]", 2).await;
    browser.wait_for_text("The file contains no video").await;
    browser.assert_accessible("failed").await;
    // The account is in English.
    browser.click(".languages [lang=pt]").await;
    browser.wait_for_text("O arquivo não contém vídeo").await;
    browser.click(".filters a[href='#/state/DONE']").await;
    browser.wait_for_text("Nenhum vídeo com esse status").await;
    browser.assert_accessible("empty_filter").await;
    browser.assert_no_console_errors().await;
}
