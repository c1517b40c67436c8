//! Links to a finished job: the dialog of its owner, and what others see without an account.

use serde_json::json;

use super::account::submit;
use super::browser::{Browser, Preferences, Screen};
use crate::harness::service::Service;

/// Keys of WebDriver (W3C WebDriver, 17.4.2).
const ESCAPE: &str = "\u{E00C}";
const ENTER: &str = "\u{E007}";
const RIGHT: &str = "\u{E014}";

/// Create a link in the dialog that is open, and return its address below the service.
async fn create(browser: &Browser, service: &Service) -> String {
    submit(browser).await;
    browser.find("dialog[open] #key").await;
    let url = browser.js("return document.getElementById('key').textContent").await;
    let url = url.as_str().expect("an address");
    let path = url.strip_prefix(service.base()).expect("it is an address of the service");
    assert!(path.starts_with("/#/shared/fxs_"), "{path}");
    path.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_job_is_seen_without_a_login_until_its_link_is_revoked() {
    let service = Service::start().await;
    let owner = Browser::registered(&service, Preferences::default()).await;
    owner.upload_sample().await;
    owner.open_sample().await;
    owner.click("#share").await;
    owner.wait_for_text("No links yet").await;
    owner.assert_accessible("share").await;
    let path = create(&owner, &service).await;
    owner.assert_accessible("share_created").await;
    // The address is not shown again, so the Escape key does not hide it.
    owner.press(ESCAPE).await;
    owner.find("dialog[open] #key").await;
    owner.click("dialog .primary").await;
    owner.wait_for_count("dialog [data-share]", 1).await;
    owner.wait_for_text("expires in 3 days").await;
    let hides = format!("return !document.body.innerText.includes({})", json!(path));
    assert_eq!(owner.js(&hides).await, json!(true));

    let visitor = Browser::open(&service, Preferences::default()).await;
    visitor.goto(&path).await;
    visitor.wait_for_count(".frames img[src]", super::browser::SAMPLE_FRAMES).await;
    visitor.wait_for_text("sample.mp4").await;
    // Archives of selected frames are made for the owner only.
    visitor.wait_for_count("input.mark", 0).await;
    visitor.find("meta[name=robots][content=noindex]").await;
    visitor.assert_accessible("shared").await;
    visitor.view_third_frame().await;
    visitor.press(RIGHT).await;
    visitor.wait_until("location.hash.endsWith('/4')").await;
    visitor.press(ESCAPE).await;
    visitor.wait_for_count("dialog", 0).await;
    visitor.click(".job-head .primary").await;
    assert!(visitor.take_download(".zip").await.starts_with(b"PK"), "it is an archive");
    visitor.assert_no_console_errors().await;

    owner.js("document.querySelector('dialog [data-share] button').focus()").await;
    owner.press(ENTER).await;
    owner.wait_for_text("No links yet").await;
    owner.wait_until("document.activeElement.id === 'links-title'").await;
    owner.assert_no_console_errors().await;
    visitor.client.refresh().await.expect("the page can be reloaded");
    visitor.wait_for_text("This link is not valid any more").await;
    visitor.assert_accessible("shared_ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_fit_on_a_phone_in_portuguese() {
    let service = Service::start().await;
    let preferences = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: true };
    let browser = Browser::registered(&service, preferences).await;
    browser.upload_sample().await;
    browser.open_sample().await;
    browser.click("#share").await;
    browser.wait_for_text("Nenhum link ainda").await;
    browser.assert_accessible("phone_share").await;
    let path = create(&browser, &service).await;
    browser.assert_accessible("phone_share_created").await;
    browser.click("dialog .primary").await;
    browser.wait_for_count("dialog [data-share]", 1).await;
    browser.assert_accessible("phone_shares").await;
    browser.press(ESCAPE).await;
    browser.goto(&path).await;
    browser.wait_for_text("Compartilhado por link").await;
    browser.wait_for_count(".frames img[src]", super::browser::SAMPLE_FRAMES).await;
    browser.assert_accessible("phone_shared").await;
    browser.assert_no_console_errors().await;
}
