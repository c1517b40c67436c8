//! The whole way: from registering to looking at a frame and fetching the archive.

use std::time::Duration;

use super::browser::{Browser, Taste};
use crate::harness::archive::Archive;
use crate::harness::clips::fixture;
use crate::harness::programs::root;
use crate::harness::service::{Service, stored};

#[tokio::test(flavor = "multi_thread")]
async fn from_registering_to_the_third_frame_and_the_archive() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.accessible("login").await;
    // Cumulative layout shift: more than 0.1 is felt (web.dev, "CLS").
    browser
        .js("window.shift = 0;
            new PerformanceObserver((seen) => seen.getEntries().forEach((one) => { if (!one.hadRecentInput) window.shift += one.value; }))
                .observe({ type: 'layout-shift', buffered: true });")
        .await;
    browser.register("ana@example.com").await;
    browser.reads("No video yet").await;
    browser.accessible("empty").await;

    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.find("[data-state=DONE]").await;
    browser.reads("10 frames").await;
    browser.accessible("list").await;

    browser.click(".name").await;
    browser.until("document.querySelectorAll('.sheet img[src]').length === 10").await;
    for fact in ["640 × 360", "h264", "30 frames/s", "0:00.467", "0:09.467", "History"] {
        browser.reads(fact).await;
    }
    browser.accessible("job").await;

    browser.click(".sheet a[href$='/3']").await;
    browser.reads("Frame 3 of 10").await;
    browser.until("document.querySelector('.viewer img')?.naturalWidth === 640 && !document.querySelector('.coming')").await;
    browser.accessible("frame").await;
    browser.click(".viewer [title='Download frame']").await;
    let frame = std::fs::read(browser.downloaded(".png").await).expect("it is there");

    browser.click(".viewer [title=Close]").await;
    browser.until("!document.querySelector('.viewer')").await;
    browser.click(".job-head .primary").await;
    let archive = std::fs::read(browser.downloaded(".zip").await).expect("it is there");
    let archive = Archive::read(archive).expect("it is whole");
    assert_eq!(archive.frames.len(), 10);
    assert!(archive.frames[2].1 == frame, "the frame is not the one in the archive");

    // A link is valid for a quarter of an hour; the page asks for another.
    service.advance(Duration::from_mins(20));
    std::fs::remove_file(browser.downloaded(".zip").await).expect("it is there");
    browser.click(".job-head .primary").await;
    let again = std::fs::read(browser.downloaded(".zip").await).expect("it is there");
    assert!(again == archive.bytes, "the archive has changed");

    browser.client.back().await.expect("there is a way back");
    browser.find(".drop").await;
    let shift = browser.js("return window.shift").await.as_f64().expect("it was counted");
    assert!(shift < 0.1, "what was shown jumped: {shift}");
    browser.content().await;
    assert_eq!(stored(service.directory.path()).len(), 2, "the video and its archive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_cannot_be_read_says_why() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    browser
        .choose(&[fixture("broken/noise_in_mp4.mp4"), fixture("broken/cover_art_only.mp4")])
        .await;
    browser.until("document.querySelectorAll('[data-state=FAILED]').length >= 2").await;
    browser.reads("The file holds no video").await;
    browser.accessible("failed").await;
    // In the language of the page, whatever that of the account is.
    browser.click(".languages [lang=pt]").await;
    browser.reads("O arquivo não contém vídeo").await;
    browser.click(".filters a[href='#/state/DONE']").await;
    browser.reads("Nenhum vídeo neste estado").await;
    browser.accessible("none_of_a_state").await;
    browser.content().await;
}
