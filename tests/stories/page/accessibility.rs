//! Accessibility: keyboard, small touch screens and the dark color scheme.

use super::browser::{Browser, EMAIL, Preferences, SAMPLE_FRAMES, Screen};
use crate::harness::client::PASSWORD;
use crate::harness::service::Service;

/// Keys of WebDriver (W3C WebDriver, 17.4.2).
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const RIGHT: &str = "\u{E014}";

/// Whether the focus is visible: as the outline of the focused element, of its `::after`, or of
/// the label of a hidden input.
const FOCUS_IS_VISIBLE: &str = "
    const focused = document.activeElement;
    const next = focused.nextElementSibling ?? document.body;
    const styles = [[focused], [next], [focused, '::after']];
    return styles.some((style) => getComputedStyle(...style).outlineStyle !== 'none');";

/// Press Tab until an element that matches the selector has the focus.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..40 {
        browser.press(TAB).await;
        if browser.js(&format!("return document.activeElement.matches({selector:?})")).await == true
        {
            let visible = browser.js(FOCUS_IS_VISIBLE).await;
            assert!(visible == true, "the focus on {selector} is invisible");
            return;
        }
    }
    panic!("Tab does not lead to {selector}");
}

#[tokio::test(flavor = "multi_thread")]
async fn works_with_the_keyboard_alone() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    tab_to(&browser, "a[href='#/register']").await;
    browser.press(ENTER).await;
    browser.wait_until("document.activeElement.id === 'name'").await;
    for text in ["Ana", TAB, EMAIL, TAB, PASSWORD, ENTER] {
        browser.press(text).await;
    }
    browser.wait_until("document.activeElement.tagName === 'H1'").await;
    tab_to(&browser, "#files").await;
    tab_to(&browser, ".options summary").await;
    browser.press(ENTER).await;
    for (field, keys) in [("#option-select", "At"), ("#option-at", "2 3"), ("#option-format", "W")]
    {
        tab_to(&browser, field).await;
        browser.press(keys).await;
    }
    browser.wait_for_text("Frames at 0:02 and 0:03, WebP").await;
    tab_to(&browser, ".options .quiet").await;
    browser.press(ENTER).await;
    browser.wait_for_text("1 frame per second, PNG").await;
    browser.wait_until("document.activeElement.matches('.options summary')").await;
    browser.press(ENTER).await;
    // The file dialog belongs to the system, so the test skips it.
    browser.upload_sample().await;
    browser.wait_until("document.getElementById('announcement').textContent !== ''").await;
    tab_to(&browser, ".name").await;
    browser.press(ENTER).await;
    browser.wait_until("document.activeElement.tagName === 'H1'").await;
    browser.wait_until("document.activeElement.textContent === 'sample.mp4'").await;
    browser.wait_for_count(".frames img[src]", SAMPLE_FRAMES).await;
    tab_to(&browser, ".frames a[href$='/1']").await;
    browser.press(ENTER).await;
    browser.wait_for_text("Frame 1 of 10").await;
    for frame in ["Frame 2 of 10", "Frame 3 of 10"] {
        browser.press(RIGHT).await;
        browser.wait_for_text(frame).await;
    }
    browser.press(ESCAPE).await;
    browser.wait_for_count("dialog", 0).await;
    browser.wait_until("document.activeElement.matches(\".frames a[href$='/3']\")").await;
    browser.client.back().await.expect("the browser can go back");
    browser.assert_no_console_errors().await;
}

/// Buttons of less than 24 pixels, the minimum size of targets (WCAG 2.2, 2.5.8).
const SMALL_BUTTONS: &str = "
    return [...document.querySelectorAll('button')]
        .filter((button) => button.offsetParent)
        .map((button) => [button.outerHTML.slice(0, 80), button.getBoundingClientRect()])
        .filter(([, { width, height }]) => Math.min(width, height) < 24)
        .map(([html]) => html);";

#[tokio::test(flavor = "multi_thread")]
async fn fits_on_a_phone() {
    let service = Service::start().await;
    let preferences =
        Preferences { screen: Screen::Phone, languages: "pt-BR", ..Preferences::default() };
    let browser = Browser::open(&service, preferences).await;
    browser.find("#email").await;
    browser.assert_accessible("phone_login").await;
    browser.register(EMAIL).await;
    browser.upload_sample().await;
    browser.assert_accessible("phone_uploads").await;
    browser.click("#uploads .clear").await;
    browser.wait_until("document.getElementById('uploads').hidden").await;
    browser.assert_accessible("phone_list").await;
    browser.click(".name").await;
    browser.wait_until("document.querySelectorAll('.frames img[src]').length > 3").await;
    browser.assert_accessible("phone_job").await;
    browser.view_third_frame().await;
    browser.assert_accessible("phone_frame").await;
    assert_eq!(browser.js(SMALL_BUTTONS).await, serde_json::json!([]));
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_offers_what_a_finger_can_do() {
    let service = Service::start().await;
    let preferences = Preferences { screen: Screen::Phone, ..Preferences::default() };
    let browser = Browser::registered(&service, preferences).await;
    // Nothing can be dropped with a finger.
    browser.wait_for_text("Upload a video").await;
    let text = browser.js("return document.body.innerText").await;
    let text = text.as_str().expect("a text");
    assert!(!text.contains("Drop") && !text.contains("drop"), "{text}");
    // The last filter is beyond the edge, and shadows hint at those that are not in sight.
    browser.goto("/#/state/EXPIRED").await;
    browser
        .wait_until(
            "[...document.querySelectorAll('.filters [aria-current]')].some((filter) => {
                const { left, right } = filter.getBoundingClientRect();
                return filter.innerText === 'Expired' && left >= 0 && right <= innerWidth;
            })",
        )
        .await;
    let hint = "return getComputedStyle(document.querySelector('.filters')).backgroundAttachment";
    assert_eq!(browser.js(hint).await, serde_json::json!("local, local, scroll, scroll"));
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn is_readable_in_the_dark_color_scheme() {
    let service = Service::start().await;
    let preferences = Preferences { dark: true, ..Preferences::default() };
    let browser = Browser::open(&service, preferences).await;
    browser.wait_until("matchMedia('(prefers-color-scheme: dark)').matches").await;
    browser.assert_accessible("dark_login").await;
    browser.register(EMAIL).await;
    browser.upload_sample().await;
    browser.assert_accessible("dark_list").await;
    browser.open_sample().await;
    browser.assert_accessible("dark_job").await;
    browser.assert_no_console_errors().await;
}
