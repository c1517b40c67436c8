//! Downloads of archives beyond the limit of a minute.

use std::time::Duration;

use serde_json::json;

use super::browser::{Browser, Preferences};
use crate::harness::service::Service;

/// Keep the end of a long pause as `window.endPause`, so that the story need not wait for it.
const HOLD_PAUSE: &str = "
    const { setTimeout } = window;
    window.setTimeout = (run, milliseconds, ...values) => {
        if (milliseconds < 20000) return setTimeout(run, milliseconds, ...values);
        window.endPause = run;
        return 0;
    };";

/// Texts of all errors on the page.
const ERRORS: &str =
    "return [...document.querySelectorAll('.error')].map((line) => line.innerText).join('');";

#[tokio::test(flavor = "multi_thread")]
async fn downloads_beyond_the_limit_begin_by_themselves() {
    let service = Service::with(|settings| settings.limits.downloads_per_minute = 1).await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    for button in [".jobs [title='Download ZIP']", ".job-head .primary"] {
        service.advance(Duration::from_secs(61));
        browser.click(button).await;
        browser.take_download(".zip").await;
        browser.js(HOLD_PAUSE).await;
        browser.click(button).await;
        browser.wait_for_text("This one starts by itself in").await;
        browser.wait_until("window.endPause").await;
        assert_eq!(browser.js(ERRORS).await, json!(""));
        browser.assert_accessible("download_waits").await;
        service.advance(Duration::from_secs(61));
        browser.js("window.endPause()").await;
        browser.take_download(".zip").await;
        browser.wait_until("!document.body.innerText.includes('starts by itself')").await;
        browser.client.refresh().await.expect("the page can be reloaded");
        browser.click(".name, .back-link a").await;
    }
    browser.assert_no_console_errors().await;
}
