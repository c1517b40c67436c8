//! Gallery of a job: thumbnails in sight, and what surrounds the frames.

use fantoccini::actions::{InputSource, MouseActions, PointerAction};
use serde_json::json;

use super::browser::{Browser, Preferences, SAMPLE_FRAMES, Screen};
use crate::harness::clips::{LONG, fixture};
use crate::harness::service::Service;

/// Whether each frame in sight has its thumbnail.
const THUMBNAILS_IN_SIGHT: &str = "
    [...document.querySelectorAll('.frames li:not(.gap)')].filter((cell) => {
        const { top, bottom } = cell.getBoundingClientRect();
        return bottom > 0 && top < innerHeight;
    }).every((cell) => cell.querySelector('img[src]'))";

/// Refuse the first requests for thumbnails, as the service does if there are many at a time.
const REFUSE_THUMBNAILS: &str = "
    const { fetch } = window;
    let refused = 0;
    window.fetch = (path, options) => {
        if (!String(path).includes('?width=') || refused === 5) return fetch(path, options);
        refused += 1;
        const problem = JSON.stringify({ code: 'TOO_MANY_AT_ONCE' });
        return Promise.resolve(new Response(problem, { status: 429 }));
    };";

#[tokio::test(flavor = "multi_thread")]
async fn requests_refused_thumbnails_again() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.find(".jobs .thumbnail img[src]").await;
    browser.js(REFUSE_THUMBNAILS).await;
    browser.open_sample().await;
    browser.wait_for_count(".frames img[src]", SAMPLE_FRAMES).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn actions_and_thumbnails_are_in_sight_after_a_jump() {
    for screen in [Screen::Desktop, Screen::Phone] {
        let service = Service::start().await;
        let preferences = Preferences { screen, ..Preferences::default() };
        let browser = Browser::registered(&service, preferences).await;
        browser.choose(&[fixture(LONG)]).await;
        browser.find(".jobs [data-state=DONE]").await;
        browser.click("#uploads .clear").await;
        browser.click(".name").await;
        browser.find(".frames li").await;
        browser.wait_until(THUMBNAILS_IN_SIGHT).await;
        let below = "document.querySelector('.job-facts').getBoundingClientRect().bottom <=
            document.querySelector('.frames').getBoundingClientRect().top";
        let is_above = browser.js(&format!("return {below}")).await;
        assert_eq!(is_above, json!(screen == Screen::Phone), "facts above the frames");
        // The list continues when its end is near.
        browser
            .wait_until(
                "(scrollTo(0, document.body.scrollHeight),
                    document.querySelectorAll('.frames li').length === 240)",
            )
            .await;
        browser.js("scrollTo(0, document.body.scrollHeight)").await;
        browser.wait_until(THUMBNAILS_IN_SIGHT).await;
        let button = browser
            .js("return document.querySelector('.job-head .primary').getBoundingClientRect()")
            .await;
        let top = button["top"].as_f64().expect("a position");
        assert!((0.0..100.0).contains(&top), "{button}");
        let right = "const right = (name) =>
                document.querySelector(name).getBoundingClientRect().right;
            return Math.abs(right('.job-head .actions') - right('.columns'));";
        let distance = browser.js(right).await.as_f64().expect("a number");
        assert!(distance < 1.0, "the actions are {distance} pixels from the edge");
        browser.assert_accessible(&format!("gallery_end_{screen:?}")).await;
        browser.assert_no_console_errors().await;
    }
}

/// Whether a frame is in sight, with its thumbnail.
fn in_sight(number: u32) -> String {
    format!(
        "[...document.querySelectorAll(\".frames a[href$='/{number}']\")].some((cell) => {{
            const {{ top, bottom }} = cell.getBoundingClientRect();
            return top >= 0 && bottom <= innerHeight && cell.querySelector('img[src]');
        }})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slider_leads_to_every_frame() {
    const SLIDER: &str = "document.querySelector('.scrubber input')";
    for screen in [Screen::Desktop, Screen::Phone] {
        let service = Service::start().await;
        let preferences = Preferences { screen, ..Preferences::default() };
        let browser = Browser::registered(&service, preferences).await;
        browser.choose(&[fixture(LONG)]).await;
        browser.find(".jobs [data-state=DONE]").await;
        browser.click("#uploads .clear").await;
        browser.click(".name").await;
        browser.find(".scrubber input").await;
        // This frame is not on the first page of the list.
        let moved = format!("{SLIDER}.value = 230; {SLIDER}.dispatchEvent(new Event('input'))");
        browser.js(&moved).await;
        browser.wait_until(&in_sight(230)).await;
        browser.assert_accessible(&format!("slider_{screen:?}")).await;
        browser.js(&format!("{SLIDER}.focus()")).await;
        // Right, Home and End.
        for (key, number) in [("\u{E014}", 231), ("\u{E011}", 1), ("\u{E010}", 240)] {
            browser.press(key).await;
            browser.wait_until(&in_sight(number)).await;
            browser.wait_until(&format!("Number({SLIDER}.value) === {number}")).await;
        }
        let text = format!("return {SLIDER}.getAttribute('aria-valuetext')");
        assert_eq!(browser.js(&text).await, json!("Frame 240, at 3:59.000"));
        browser.js("scrollTo(0, 0)").await;
        browser.wait_until(&format!("Number({SLIDER}.value) < 30")).await;
        browser.assert_no_console_errors().await;
    }
}

/// Frames are laid out in blocks of 60.
#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_and_the_viewer_cross_the_blocks_of_a_gallery() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(LONG).await;
    user.wait_until_done(&job).await;
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.find(".frames a[href$='/61']").await;
    let focused = |number| {
        let link = format!("document.activeElement.matches(\".frames a[href$='/{number}']\")");
        format!("{link} && {}", in_sight(number))
    };
    let mark = "document.querySelector(\".frames li:has(> a[href$='/60']) .mark\")";
    browser.js(&format!("{mark}.focus()")).await;
    browser.press("\u{E004}").await;
    browser.wait_until(&focused(61)).await;
    browser.press("\u{E007}").await;
    browser.wait_for_text("Frame 61 of 240").await;
    // End, and then Escape.
    browser.press("\u{E010}").await;
    browser.wait_for_text("Frame 240 of 240").await;
    browser.press("\u{E00C}").await;
    browser.wait_until(&focused(240)).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outline_of_a_frame_under_the_mouse_is_complete() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.open_sample().await;
    let cell = browser.find(".frames a[href$='/2']").await;
    let center = PointerAction::MoveToElement { element: cell, duration: None, x: 0.0, y: 0.0 };
    let mouse = MouseActions::new("mouse".to_owned()).then(center);
    browser.client.perform_actions(mouse).await.expect("the mouse can be moved");
    let style =
        "getComputedStyle(document.querySelector('.frames a:hover .frame') ?? document.body)";
    browser.wait_until(&format!("{style}.outlineStyle === 'solid'")).await;
    // Blocks of frames are clipped at their edges, so the outline has to be inside.
    let clipped = browser.js(&format!("return parseFloat({style}.outlineOffset)")).await;
    assert_eq!(clipped, json!(-2));
    browser.assert_no_console_errors().await;
}
