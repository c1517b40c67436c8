//! Files that are dropped on any view, and uploads that a log-out would end.

use super::browser::{Browser, EMAIL, Preferences};
use crate::harness::service::Service;

/// Drop a file on the main area. Fails if the browser would open the file.
const DROP: &str = "
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['x'], 'notes.txt'));
    for (const type of ['dragover', 'drop']) {
        const options = { bubbles: true, cancelable: true, dataTransfer };
        const event = new DragEvent(type, options);
        document.getElementById('main').dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error(`${type} is not handled`);
    }";

#[tokio::test(flavor = "multi_thread")]
async fn files_can_be_dropped_on_every_view() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    browser.js(DROP).await;
    browser.register(EMAIL).await;
    browser.wait_for_count("#upload-list li", 0).await;
    browser.upload_sample().await;
    browser.click("#uploads .clear").await;
    let mut expected = 0;
    for view in ["/#/", "/#/account", "/#/webhooks", "/#/state/DONE", "/#/nowhere"] {
        browser.goto(view).await;
        browser.find("main h1").await;
        browser.js(DROP).await;
        expected += 1;
        browser.wait_for_count("#upload-list li[data-state=rejected]", expected).await;
    }
    browser.goto("/#/").await;
    browser.open_sample().await;
    browser.js(DROP).await;
    browser.wait_for_count("#upload-list li[data-state=rejected]", expected + 1).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_before_a_log_out_that_cancels_uploads() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.limit_uploads(8_000).await;
    browser.choose_sample().await;
    browser.find("#uploads [data-state=sending]").await;
    browser.click("#logout").await;
    browser.wait_for_text("1 upload is in progress. Log out and cancel it?").await;
    browser.assert_accessible("logout_question").await;
    browser.click(".confirm .quiet").await;
    browser.wait_for_count(".confirm", 0).await;
    browser.find("#uploads [data-state=sending]").await;
    browser.click("#logout").await;
    browser.click(".confirm .danger").await;
    browser.find("form #password").await;
    browser.limit_uploads(-1).await;
    // Without an upload, there is nothing to ask.
    browser.log_in(EMAIL).await;
    browser.click("#logout").await;
    browser.find("form #password").await;
    browser.assert_no_console_errors().await;
}
