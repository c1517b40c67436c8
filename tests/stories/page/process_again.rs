//! Processing a stored video again, with other options.

use std::time::Duration;

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Preferences, Screen};
use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{ONE_FRAME, SHORT, clip_bytes};
use crate::harness::service::{Service, long_sessions};

/// Button of the job page.
const BUTTON: &str = ".job-head .quiet:not(:last-child)";

/// Upload a clip with a recipe, and wait until its job is done.
async fn upload(user: &User<'_>, recipe: &str) -> String {
    let file = Part::bytes(clip_bytes(SHORT)).file_name("beach.mp4");
    let form = Form::new().text("recipe", recipe.to_owned()).part("file", file);
    let (status, accepted) =
        fetch_json(user.request(Method::POST, "/videos/upload").multipart(form)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = job_id(&accepted);
    user.wait_until_done(&job).await;
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_a_stored_video_with_other_options() {
    let service = Service::start().await;
    let user = service.user().await;
    let recipe = r#"{
        "select": {"every": "1/3"}, "from": 0.5, "max_frames": 4,
        "image": {"format": "jpeg", "quality": 50, "max_height": 90, "square_pixels": true}
    }"#;
    let job = upload(&user, recipe).await;
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.wait_for_count(".frames img[src]", 4).await;
    browser.click(BUTTON).await;
    browser.find(".again[open]").await;
    let expected = "3 frames per second, from 0:00.5, at most 4 frames, JPEG at quality 50, \
                    up to 90 pixels high, with square pixels";
    browser.wait_for_text(expected).await;
    let values = browser
        .js("return Object.fromEntries([...document.querySelectorAll('.again [name]')]
                .map((field) => [field.name, field.value]));")
        .await;
    let filled = json!({
        "select": "every", "every": "1/3", "count": "12", "at": "", "from": "0:00.5", "to": "",
        "max_frames": "4", "blank": "on", "repeated": "on", "format": "jpeg", "quality": "50",
        "max_width": "", "sheet": "on", "kept": "on",
    });
    assert_eq!(values, filled);
    browser.assert_accessible("again").await;

    // Invalid values are not sent.
    browser.fill("#option-every", "0").await;
    browser.click(".again .primary").await;
    browser.wait_for_text("Enter a number of seconds above zero").await;
    browser.wait_until("document.activeElement.id === 'option-every'").await;
    browser.choose_option("select", "count").await;
    browser.fill("#option-count", "2").await;
    browser.fill("#option-max_frames", "").await;
    browser.choose_option("format", "webp").await;
    // From below the end of the dialog, which stays in sight.
    browser.js("document.getElementById('option-kept').scrollIntoView({ block: 'center' })").await;
    browser.click("#option-kept").await;
    browser.click(".again .primary").await;
    browser.wait_for_count(".again", 0).await;
    let old = json!(format!("#/jobs/{job}"));
    browser
        .wait_until(&format!("location.hash.startsWith('#/jobs/') && location.hash !== {old}"))
        .await;
    browser.wait_for_text("2 frames spread over the video, from 0:00.5, WebP at quality 50").await;
    browser.wait_for_count(".frames img[src]", 2).await;
    let listed = user.get("/videos").await.1;
    let image = json!({ "format": "webp", "quality": 50 });
    let recipe = json!({ "select": { "count": 2 }, "from": 0.5, "image": image });
    assert_eq!(listed[0]["recipe"], recipe, "{listed}");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");

    // The options of uploads are remembered on their own.
    browser.goto("/").await;
    browser.wait_for_text("1 frame per second, PNG").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_not_offered_when_the_video_is_no_longer_stored() {
    let service = Service::with(long_sessions).await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.click(BUTTON).await;
    browser.find(".again[open]").await;
    service.advance(Duration::from_hours(24 * 8));
    service.run_maintenance().await;
    browser.click(".again .primary").await;
    browser.wait_for_text("The original video is no longer stored. Upload it again.").await;
    browser.assert_accessible("again_expired").await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.find(".job-head [data-state=EXPIRED]").await;
    browser.wait_for_count(BUTTON, 0).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_response_adds_no_second_job() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.click(BUTTON).await;
    browser.find(".again[open]").await;
    // The request reaches the service, and its response becomes a network error.
    browser
        .js("const { fetch } = window;
            window.fetch = async (...request) => {
                await fetch(...request);
                if (!request[0].endsWith('/jobs')) return fetch(...request);
                window.fetch = fetch;
                throw new TypeError('lost');
            };")
        .await;
    browser.click(".again .primary").await;
    browser.wait_for_text("The service cannot be reached").await;
    browser.click(".again .primary").await;
    browser.wait_for_count(".again", 0).await;
    let listed = user.get("/videos").await.1;
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fits_on_a_phone_and_closes_with_its_page() {
    let service = Service::start().await;
    let preferences = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: true };
    let browser = Browser::registered(&service, preferences).await;
    browser.upload_sample().await;
    browser.click("#uploads .clear").await;
    browser.click(".name").await;
    browser.wait_until("document.querySelectorAll('.frames img[src]').length > 3").await;
    browser.assert_accessible("phone_again_job").await;
    browser.click(BUTTON).await;
    browser.wait_for_text("1 quadro por segundo, PNG").await;
    browser.choose_option("format", "jpeg").await;
    browser.assert_accessible("phone_again").await;
    browser.client.back().await.expect("the browser can go back");
    browser.wait_for_count(".again", 0).await;
    browser.find(".drop-area").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_a_forecast_and_the_limit_that_would_be_exceeded() {
    let service = Service::with(|settings| settings.limits.frames_per_job = 50).await;
    let user = service.user().await;
    let recipe = r#"{"select":{"count":2},"image":{"format":"jpeg"}}"#;
    let job = upload(&user, recipe).await;
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.click(BUTTON).await;
    browser.wait_for_text("Expected result: 2 frames, about ").await;
    browser.choose_option("select", "every").await;
    browser.choose_option("format", "webp").await;
    // The clip lasts six seconds, and its frames are known as JPEG only.
    browser.fill("#option-every", "2").await;
    browser.wait_for_text("Expected result: about 3 frames.").await;
    browser.assert_accessible("again_forecast").await;
    browser.click("#option-repeated").await;
    browser.wait_for_text("Expected result: at most 3 frames.").await;
    browser.click("#option-repeated").await;
    browser.fill("#option-every", "0.1").await;
    browser.wait_for_text("Expected result: about 60 frames. These are more frames").await;
    browser.assert_accessible("again_exceeds").await;
    browser.click(".again .primary").await;
    browser
        .wait_until(
            "document.querySelector('[data-field=every] .error').innerText.includes('more')",
        )
        .await;
    browser.wait_until("document.activeElement.id === 'option-every'").await;
    browser.fill("#option-every", "6").await;
    browser.wait_for_text("Expected result: about 1 frame.").await;
    browser.click(".again .primary").await;
    browser.wait_for_count(".again", 0).await;
    browser.wait_for_text("1 frame every 6 seconds, WebP").await;
    browser.wait_for_count(".frames img[src]", 1).await;
    browser.assert_no_console_errors().await;
}
