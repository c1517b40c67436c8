//! Account screen: API keys.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::account::{submit, wait_for_error};
use super::browser::{Browser, Preferences, Screen};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::service::Service;

const ACCOUNT: &str = "/#/account";
/// Keys of WebDriver (W3C WebDriver, 17.4.2).
const CONTROL: &str = "\u{E009}";
const ESCAPE: &str = "\u{E00C}";

/// Status of a request with a key.
async fn use_key(service: &Service, key: &str) -> StatusCode {
    fetch_json(service.request(Method::GET, "/videos").bearer_auth(key)).await.0
}

/// Open the dialog for a new key.
async fn open_dialog(browser: &Browser) {
    browser.click("#create-key").await;
    browser.find("dialog[open] #name").await;
}

/// Text of the key that the dialog shows.
async fn shown_key(browser: &Browser) -> String {
    let key = browser.js("return document.getElementById('key').textContent").await;
    key.as_str().expect("a key").to_owned()
}

/// Paste the clipboard into a dialog for a new key, and close it.
async fn assert_clipboard(browser: &Browser, text: &str) {
    open_dialog(browser).await;
    browser.fill("#name", &format!("{CONTROL}v")).await;
    browser.wait_until(&format!("document.getElementById('name').value === '{text}'")).await;
    browser.press(ESCAPE).await;
    browser.wait_for_count("dialog", 0).await;
}

/// Wait until the list shows a text, and return the list.
async fn list_with(browser: &Browser, text: &str) -> String {
    let list = "document.querySelector('[aria-labelledby=keys-title] ul')?.innerText";
    browser.wait_until(&format!("{list}?.includes({})", json!(text))).await;
    let shown = browser.js(&format!("return {list}")).await;
    shown.as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn creates_a_key_shows_it_once_and_deletes_it() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    browser.wait_for_text("No keys yet.").await;
    open_dialog(&browser).await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    wait_for_error(&browser, "name", "up to 100 characters").await;
    browser.wait_for_text("Choose at least one permission.").await;
    browser.assert_accessible("create_key").await;
    browser.fill("#name", "Nightly backup").await;
    for scope in ["videos:read", "videos:write"] {
        browser.click(&format!("dialog [value='{scope}']")).await;
    }
    browser.fill("#password", "wrong").await;
    submit(&browser).await;
    wait_for_error(&browser, "password", "Wrong password").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    browser.wait_for_text("It is not shown again.").await;
    browser.assert_accessible("new_key").await;
    let key = shown_key(&browser).await;
    assert_eq!(use_key(&service, &key).await, StatusCode::OK);
    // The key is not shown again, so the Escape key does not hide it.
    browser.press(ESCAPE).await;
    browser.find("dialog[open] #key").await;
    browser.click("dialog .secret button").await;
    browser
        .wait_until("document.querySelector('dialog .secret button').innerText === 'Copied'")
        .await;
    browser.click("dialog .primary").await;
    browser.wait_for_count("dialog", 0).await;
    browser.wait_until("document.activeElement.id === 'create-key'").await;
    assert_clipboard(&browser, &key).await;

    browser.client.refresh().await.expect("the page can be reloaded");
    let list = list_with(&browser, "Nightly backup").await;
    let permissions = "View videos and download frames · Upload, process and delete videos";
    for part in [&key[..8], permissions, "expires in 30 days", "used ", "127.0.0.1"] {
        assert!(list.contains(part), "no {part} in {list}");
    }
    assert!(!list.contains(&key), "{list}");
    browser.assert_accessible("keys").await;

    browser.click("[data-key] button").await;
    browser.wait_for_text("Delete the key “Nightly backup”?").await;
    browser.click("dialog .quiet").await;
    browser.wait_for_count("dialog", 0).await;
    assert_eq!(use_key(&service, &key).await, StatusCode::OK);
    browser.click("[data-key] button").await;
    browser.click("dialog .danger").await;
    browser.wait_for_text("No keys yet.").await;
    browser.wait_until("document.activeElement.id === 'keys-title'").await;
    assert_eq!(use_key(&service, &key).await, StatusCode::UNAUTHORIZED);
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_fit_on_a_phone_in_the_dark_color_scheme() {
    let service = Service::start().await;
    let user = service.user_of("pt").await;
    user.create_key(&["videos:read", "videos:write", "webhooks"]).await;
    let preferences = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: true };
    let browser = Browser::open(&service, preferences).await;
    browser.log_in(&user.email).await;
    browser.click(".account-link").await;
    let list = list_with(&browser, "nunca usada").await;
    assert!(list.contains("não expira"), "{list}");
    open_dialog(&browser).await;
    browser.fill("#name", "Cópia").await;
    browser.click("dialog [value=webhooks]").await;
    browser.fill("#password", PASSWORD).await;
    browser.assert_accessible("phone_create_key").await;
    submit(&browser).await;
    browser.wait_for_text("Ela não aparece de novo.").await;
    browser.assert_accessible("phone_new_key").await;
    browser.click("dialog .primary").await;
    let list = list_with(&browser, "Cópia").await;
    assert!(list.contains("expira em 30 dias"), "{list}");
    browser.assert_no_console_errors().await;
}
