//! Registration, login, sessions in several tabs, and logout.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Preferences};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn shows_errors_at_their_fields() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.click("a[href='#/register']").await;
    browser.fill("#name", " ").await;
    browser.submit_login("ana", "praia").await;
    let has_error = async |field: &str, text: &str| {
        let text = json!(text);
        let element = |id: String| format!("document.getElementById('{id}')");
        let error = element(format!("{field}-error"));
        browser.wait_until(&format!("{error}.textContent.includes({text})")).await;
        let input = element(field.to_owned());
        browser.wait_until(&format!("{input}.getAttribute('aria-invalid') === 'true'")).await;
    };
    has_error("name", "Enter your name").await;
    has_error("email", "a valid e-mail").await;
    has_error("password", "at least 8 characters").await;
    has_error("password", "a digit").await;
    browser.wait_until("document.activeElement.id === 'name'").await;
    browser.assert_accessible("register_errors").await;

    browser.fill("#name", "Ana").await;
    browser.submit_login(&user.email, PASSWORD).await;
    has_error("email", "already exists").await;
    browser.click("a[href='#/login']").await;
    browser.wait_until("document.getElementById('email').value.includes('@')").await;
    browser.submit_login(&user.email, "wrong").await;
    browser.wait_for_text("Wrong e-mail or password").await;
    browser.assert_accessible("login_error").await;
    browser.log_in(&user.email).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_checked_without_the_service_until_they_are_mended() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.click("a[href='#/register']").await;
    browser.click("form button[type=submit]").await;
    let empty = ["Enter your name.", "Enter your e-mail.", "Enter the password."];
    for text in empty {
        browser.wait_for_text(text).await;
    }
    browser.wait_until("document.activeElement.id === 'name'").await;
    browser.assert_accessible("register_empty").await;
    browser.fill("#name", "Ana").await;
    browser.wait_until("document.getElementById('name-error').textContent === ''").await;
    browser.wait_for_count("[aria-invalid=true]", 2).await;
    // Each rule is ticked off as soon as it is met.
    for (password, met) in
        [("praia", 0), ("praia#2026", 3), ("Praia#2026", 4), ("quatro palavras", 5), ("Pr", 1)]
    {
        browser.fill("#password", password).await;
        browser.wait_for_count(".rules .met", met).await;
    }
    browser.fill("#email", "ana").await;
    browser.click("form button[type=submit]").await;
    browser.wait_for_text("Enter a valid e-mail, like ana@example.com.").await;
    browser.fill("#email", "ana@example.com").await;
    browser.wait_until("!document.body.innerText.includes('a valid e-mail')").await;
    let sent = "return performance.getEntriesByName(location.origin + '/auth/register').length";
    assert_eq!(browser.js(sent).await, json!(0), "invalid values are not sent");
    browser.fill("#password", PASSWORD).await;
    browser.click("form button[type=submit]").await;
    browser.find(".drop-area").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_form_goes_with_the_next_change() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.submit_login(&user.email, "wrong").await;
    browser.wait_for_text("Wrong e-mail or password").await;
    browser.fill("#password", PASSWORD).await;
    browser.wait_until("!document.body.innerText.includes('Wrong e-mail')").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tabs_share_a_session_until_logout() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, "/").await;
    let mut tabs = vec![browser.client.window().await.expect("the browser has a tab")];
    for _ in 0..2 {
        let tab = browser.client.new_window(true).await.expect("a tab can be opened").handle;
        browser.client.switch_to_window(tab.clone()).await.expect("the tab is open");
        browser.goto("/").await;
        browser.find(".drop-area").await;
        tabs.push(tab);
    }
    let switch_to = async |tab: &fantoccini::wd::WindowHandle| {
        browser.client.switch_to_window(tab.clone()).await.expect("the tab is open");
    };
    // Only the clock of the service advances, so it rejects tokens that the page considers valid.
    // All tabs renew the session at the same time, which must not end it.
    for _ in 0..2 {
        service.advance(Duration::from_mins(61));
        for tab in &tabs {
            switch_to(tab).await;
            browser.js("document.dispatchEvent(new Event('visibilitychange'))").await;
        }
        for tab in &tabs {
            switch_to(tab).await;
            browser.click(".filters a[href='#/state/DONE']").await;
            browser.wait_for_text("No videos with this status").await;
            browser.click(".filters a[href='#/']").await;
            browser.wait_for_text("No videos yet").await;
        }
    }
    let session = browser.js("return JSON.parse(localStorage.getItem('fiapx.session'))").await;
    browser.click("#logout").await;
    for tab in &tabs {
        switch_to(tab).await;
        browser.find("form #password").await;
    }
    assert!(browser.js("return localStorage.getItem('fiapx.session')").await.is_null());
    let refresh = service
        .request(Method::POST, "/auth/refresh")
        .json(&json!({ "refresh_token": session["refresh"] }));
    assert_eq!(fetch_json(refresh).await.0, StatusCode::UNAUTHORIZED, "the session has not ended");
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opens_the_requested_address_after_login() {
    let service = Service::start().await;
    let mut user = service.user().await;
    let job = user.upload_clip("good/shorter_than_half_a_second.mp4").await;
    user.wait_until_done(&job).await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.goto(&format!("/#/jobs/{job}")).await;
    browser.submit_login(&user.email, PASSWORD).await;
    browser.wait_for_text("shorter_than_half_a_second.mp4").await;

    // A change of the password ends all other sessions.
    user.log_in_again().await;
    let change = json!({ "current_password": PASSWORD, "new_password": "Praia#2027" });
    let (status, _) = fetch_json(user.request(Method::POST, "/auth/password").json(&change)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    browser.click(".back-link a").await;
    browser.wait_for_text("Your session has ended").await;
    browser.assert_accessible("session_ended").await;
    browser.assert_no_console_errors().await;
}
