//! Tools of the list: the sample clip, search, selection, and estimates.

use serde_json::json;

use super::browser::{Browser, Preferences, SAMPLE_FRAMES, Screen};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_clip_is_a_click_away() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.wait_for_text("No videos yet").await;
    browser.assert_accessible("empty_with_sample").await;
    browser.click("#sample").await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.wait_for_count("#sample", 0).await;
    browser.open_sample().await;
    browser.wait_for_count(".frames img[src]", SAMPLE_FRAMES).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn states_the_storage_that_is_used() {
    let service = Service::with(|settings| settings.limits.stored_mb = 2).await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.wait_for_text("0 B of 2 MB used").await;
    browser.upload_sample().await;
    // The clip and its archive.
    browser.wait_for_text("1 MB of 2 MB used").await;
    browser.assert_accessible("storage_used").await;
    browser.click(".jobs [title=Delete]").await;
    browser.click(".confirm .danger").await;
    browser.wait_for_text("0 B of 2 MB used").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finds_videos_by_their_names() {
    let service = Service::start().await;
    let user = service.user().await;
    let mut names: Vec<String> = (0..150).map(|number| format!("film {number}.mp4")).collect();
    // The oldest one is not on the first page of the list.
    names[0] = "Verão na PRÁIA.mp4".to_owned();
    service.insert_jobs(&user.id, names).await;
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.wait_for_text("film 149.mp4").await;
    let shown = ".jobs > li:not([hidden])";
    for (query, count) in [("praia", 1), ("FILM 14", 11), ("film 149", 1), ("film", 149)] {
        browser.fill("#search", query).await;
        browser.wait_for_count(shown, count).await;
    }
    browser.fill("#search", "nothing").await;
    browser.wait_for_text("No videos with this name").await;
    browser.assert_accessible("search").await;
    browser.fill("#search", "praia").await;
    browser.click(&format!("{shown} .name")).await;
    let opened = "document.querySelector('h1').textContent === 'Verão na PRÁIA.mp4'";
    browser.wait_until(opened).await;
    // The search is a part of the place in the list.
    browser.client.back().await.expect("the browser can go back");
    browser.wait_for_count(shown, 1).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_and_deletes_the_selected_videos() {
    for screen in [Screen::Desktop, Screen::Phone] {
        let service = Service::start().await;
        let user = service.user().await;
        let files = ["a.mp4", "b.mp4", "c.mp4"].map(|name| (name, clip_bytes(ONE_FRAME)));
        let (_, accepted) = user.upload(&files).await;
        for job in accepted["jobs"].as_array().expect("jobs") {
            user.wait_until_done(job["job_id"].as_str().expect("an id")).await;
        }
        let preferences = Preferences { screen, ..Preferences::default() };
        let browser = Browser::open(&service, preferences).await;
        browser.log_in(&user.email).await;
        browser.wait_for_count(".jobs > li", 3).await;
        for row in [1, 3] {
            browser.click(&format!(".jobs > li:nth-child({row}) .select")).await;
        }
        browser.wait_for_text("2 videos selected").await;
        browser.assert_accessible(&format!("selected_{screen:?}")).await;
        browser.click("#download-selected").await;
        for archive in ["c.zip", "a.zip"] {
            browser.take_download(archive).await;
        }
        browser.click("#delete-selected").await;
        browser.wait_for_text("Delete 2 videos and their frames?").await;
        browser.click(".confirm .danger").await;
        browser.wait_for_count(".jobs > li", 1).await;
        browser.wait_until("document.activeElement.tagName === 'H1'").await;
        browser.wait_for_text("b.mp4").await;
        browser.click(".jobs .select").await;
        browser.wait_for_text("1 video selected").await;
        browser.click("#clear-selection").await;
        browser.wait_until("document.activeElement.textContent === 'b.mp4'").await;
        assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
        browser.assert_no_console_errors().await;
    }
}

/// Texts of the progress of a job, of which ten frames more are finished each five seconds, and of
/// another attempt, which begins anew.
const PROGRESS: &str = "
    const { href } = document.querySelector('link[href$=\"/status.js\"]');
    const { progressBar } = await import(href);
    let seconds = 0;
    performance.now = () => seconds * 1000;
    const text = (done) => {
        seconds += 5;
        const job = { id: 'a', filename: 'a.mp4', status: 'PROCESSING' };
        return progressBar({ ...job, progress: { done, expected: 100 } }).textContent;
    };
    return [10, 10, 20, 30, 0, 50].map(text);";

#[tokio::test(flavor = "multi_thread")]
async fn estimates_the_time_that_is_left() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    let expected = [
        "10 of 100 frames",
        // Nothing is known about the speed.
        "10 of 100 frames",
        // 10 frames in 10 seconds.
        "20 of 100 frames · about 1 min 20 s left",
        // 20 frames in 15 seconds.
        "30 of 100 frames · about 53 s left",
        "0 of 100 frames",
        // 50 frames in 5 seconds.
        "50 of 100 frames · about 5 s left",
    ];
    assert_eq!(browser.js_async(PROGRESS).await, json!(expected));
}
