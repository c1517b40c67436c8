//! List of videos: what it shows stays true, and its place is kept.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Preferences};
use crate::harness::client::{User, job_id};
use crate::harness::clips::{ONE_FRAME, fixture, with_decoder_command_from};
use crate::harness::service::Service;

/// Occupy the only worker with a job that runs until it is cancelled. Return its id.
async fn occupy_worker(user: &User<'_>) -> String {
    let endless = ("endless.avi", with_decoder_command_from(60, "spins"));
    let (status, accepted) = user.upload(&[endless]).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = job_id(&accepted);
    user.wait_for_first_frames(&job).await;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_follow_the_states_of_jobs() {
    let service = Service::with(|settings| settings.worker.concurrency = 1).await;
    let neighbor = service.user().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    for (filter, rows_before, rows_after) in [("QUEUED", 1, 0), ("DONE", 1, 2)] {
        let blocking = occupy_worker(&neighbor).await;
        browser.goto(&format!("/#/state/{filter}")).await;
        browser.choose(&[fixture(ONE_FRAME)]).await;
        browser.find("#uploads [data-state=received]").await;
        browser.wait_for_count(".jobs > li", rows_before).await;
        let (status, _) = neighbor.delete(&format!("/videos/{blocking}")).await;
        assert_eq!(status, StatusCode::OK);
        browser.wait_for_count(".jobs > li", rows_after).await;
        browser.click("#uploads .clear").await;
    }
    browser.assert_no_console_errors().await;
}

/// Let the clock of the page jump ahead by a number of days.
async fn advance_page(browser: &Browser, days: u32) {
    let script = format!("const {{ now }} = Date; Date.now = () => now() + {days} * 86400000;");
    browser.js(&script).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_times_advance_while_they_are_shown() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.wait_for_text("expires in 7 days").await;
    advance_page(&browser, 3).await;
    browser.wait_for_text("expires in 4 days").await;
    advance_page(&browser, 5).await;
    browser.wait_for_text("expired yesterday").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_leads_to_the_place_in_the_list() {
    let service = Service::start().await;
    let user = service.user().await;
    let names = (0..250).map(|number| format!("film {number}.mp4")).collect();
    service.insert_jobs(&user.id, names).await;
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.wait_for_text("film 249.mp4").await;
    browser
        .wait_until(
            "(scrollTo(0, document.body.scrollHeight),
                document.querySelectorAll('.jobs > li').length === 250)",
        )
        .await;
    // Newest first.
    let row = "document.querySelectorAll('.jobs > li')[150]";
    browser.js(&format!("{row}.scrollIntoView({{ block: 'center' }})")).await;
    let is_stable = format!("{row}.getBoundingClientRect().top > 100");
    browser.wait_until(&is_stable).await;
    let top = browser.js(&format!("return {row}.getBoundingClientRect().top")).await;
    for back in [true, false] {
        browser.js(&format!("{row}.querySelector('.name').click()")).await;
        browser.wait_until("document.querySelector('h1').textContent === 'film 99.mp4'").await;
        if back {
            browser.client.back().await.expect("the browser can go back");
        } else {
            browser.click(".back-link a").await;
        }
        browser.wait_until("document.activeElement.textContent === 'film 99.mp4'").await;
        let moved = format!("Math.abs({row}.getBoundingClientRect().top - {top})");
        browser.wait_until(&format!("{moved} < 3")).await;
        browser.wait_for_count(".jobs > li", 250).await;
    }
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_have_a_date_and_the_first_frame_that_is_not_blank() {
    let service = Service::start().await;
    let user = service.user().await;
    let mut jobs = Vec::new();
    // The first one begins with a black frame.
    for clip in ["scenes/cuts.mp4", ONE_FRAME] {
        let job = user.upload_clip(clip).await;
        user.wait_until_done(&job).await;
        jobs.push(job);
    }
    let bytes = async |path: String| {
        let response = user.request(Method::GET, &path).send().await.expect("it responds");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("the response is complete")
    };
    for (job, number) in [(&jobs[0], 2), (&jobs[1], 1)] {
        let thumbnail = bytes(format!("/jobs/{job}/thumbnail?width=64")).await;
        assert!(thumbnail == bytes(format!("/jobs/{job}/frames/{number}?width=64")).await);
    }
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.wait_for_count(".jobs .thumbnail img[src]", 2).await;
    let created = user.get(&format!("/videos/{}", jobs[1])).await.1["created_at"].clone();
    let shown = "return document.querySelector('.jobs .facts time').getAttribute('datetime')";
    assert_eq!(browser.js(shown).await, created);
    assert_ne!(created, json!(null));
    browser.assert_accessible("list_thumbnails").await;
    browser.assert_no_console_errors().await;
}
