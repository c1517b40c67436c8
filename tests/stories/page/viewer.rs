//! Large view of single frames: keys, swipes, and numbers without a frame.

use std::time::Duration;

use fantoccini::actions::{InputSource, MOUSE_BUTTON_LEFT, PointerAction, TouchActions};

use super::browser::{Browser, Preferences, Screen};
use crate::harness::clips::{clips, file_name};
use crate::harness::service::Service;

/// Keys of WebDriver (W3C WebDriver, 17.4.2).
const LEFT: &str = "\u{E012}";
const RIGHT: &str = "\u{E014}";
const HOME: &str = "\u{E011}";
const END: &str = "\u{E010}";

#[tokio::test(flavor = "multi_thread")]
async fn every_key_works_from_every_frame() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.open_sample().await;
    browser.click(".frames a[href$='/9']").await;
    browser.wait_for_text("Frame 9 of 10").await;
    let keys = [(RIGHT, 10), (LEFT, 9), (END, 10), (HOME, 1), (LEFT, 1), (RIGHT, 2), (HOME, 1)];
    for (key, shown) in keys {
        browser.press(key).await;
        browser.wait_for_text(&format!("Frame {shown} of 10")).await;
        let has_focus = "document.querySelector('.viewer').contains(document.activeElement)";
        browser.wait_until(has_focus).await;
    }
    // A button that leads nowhere, and an area that cannot be focused.
    browser.click(".viewer [title=Previous]").await;
    browser.press(RIGHT).await;
    browser.wait_for_text("Frame 2 of 10").await;
    browser.click(".viewer-frame").await;
    browser.press(RIGHT).await;
    browser.wait_for_text("Frame 3 of 10").await;
    browser.assert_no_console_errors().await;
}

/// Move a finger horizontally over the large view, from one position to another, in pixels.
async fn swipe(browser: &Browser, from: f64, to: f64) {
    let move_to = |x: f64, milliseconds| PointerAction::MoveTo {
        duration: Some(Duration::from_millis(milliseconds)),
        x,
        y: 300.0,
    };
    let finger = TouchActions::new("finger".to_owned())
        .then(move_to(from, 0))
        .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
        .then(move_to(to, 50))
        .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
    browser.client.perform_actions(finger).await.expect("the screen can be touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn swipes_lead_to_the_neighboring_frames() {
    let service = Service::start().await;
    let preferences = Preferences { screen: Screen::Phone, ..Preferences::default() };
    let browser = Browser::registered(&service, preferences).await;
    browser.upload_sample().await;
    browser.click("#uploads .clear").await;
    browser.click(".name").await;
    browser.find(".frames img[src]").await;
    browser.view_third_frame().await;
    swipe(&browser, 300.0, 60.0).await;
    browser.wait_for_text("Frame 4 of 10").await;
    swipe(&browser, 60.0, 300.0).await;
    browser.wait_for_text("Frame 3 of 10").await;
    // Too short a movement is none.
    swipe(&browser, 180.0, 160.0).await;
    swipe(&browser, 300.0, 60.0).await;
    browser.wait_for_text("Frame 4 of 10").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn says_why_there_is_no_frame_with_a_number() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = clips("cut").into_iter().next().expect("there is a truncated clip");
    let job = user.upload_clip(&format!("cut/{}", file_name(&clip))).await;
    user.wait_until_done(&job).await;
    let contents = user.get(&format!("/jobs/{job}/frames?limit=1000")).await.1;
    let missing = contents["missing"][0]["first_number"].as_u64().expect("a frame is missing");
    let last = contents["frames"].as_array().and_then(|frames| frames.last()?["number"].as_u64());
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}/999")).await;
    browser.wait_for_text("This video has only").await;
    browser.assert_accessible("no_such_frame").await;
    browser.press(LEFT).await;
    let last = last.expect("the archive has frames");
    browser.wait_for_text(&format!("Frame {last} of")).await;
    browser.wait_until("document.querySelector('.viewer img[src]')").await;
    browser.goto(&format!("/#/jobs/{job}/{missing}")).await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.wait_for_text("This frame is missing").await;
    browser.assert_no_console_errors().await;
}
