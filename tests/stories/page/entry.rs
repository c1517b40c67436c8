//! Registering, logging in, staying logged in and logging out.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Taste};
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_stands_beside_its_field() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.click("a[href='#/register']").await;
    browser.fill("#name", " ").await;
    browser.fill("#email", "ana").await;
    browser.fill("#password", "praia").await;
    browser.click("form button[type=submit]").await;
    let said = async |field: &str, text: &str| {
        let script = format!(
            "document.getElementById('{field}-error').textContent.includes({})",
            json!(text)
        );
        browser.until(&script).await;
        browser
            .until(&format!(
                "document.getElementById('{field}').getAttribute('aria-invalid') === 'true'"
            ))
            .await;
    };
    said("name", "1 to 100 characters").await;
    said("email", "no e-mail address").await;
    said("password", "at least 8 characters").await;
    said("password", "a digit").await;
    browser.until("document.activeElement.id === 'name'").await;
    browser.accessible("register_wrong").await;

    browser.fill("#name", "Ana").await;
    browser.fill("#email", &user.email).await;
    browser.fill("#password", PASSWORD).await;
    browser.click("form button[type=submit]").await;
    said("email", "There is an account").await;
    browser.click("a[href='#/login']").await;
    browser.until("document.getElementById('email').value.includes('@')").await;
    browser.fill("#password", "wrong").await;
    browser.click("form button[type=submit]").await;
    browser.reads("E-mail or password are wrong").await;
    browser.accessible("login_wrong").await;
    browser.log_in(&user.email).await;
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_in_all_tabs_until_its_user_ends_it() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.log_in(&user.email).await;
    let mut tabs = vec![browser.client.window().await.expect("there is one")];
    for _ in 0..2 {
        let tab = browser.client.new_window(true).await.expect("there is another").handle;
        browser.client.switch_to_window(tab.clone()).await.expect("it is there");
        browser.goto("/").await;
        browser.find(".drop").await;
        tabs.push(tab);
    }
    // Time passes for the service alone, so it refuses what the page believes in. All tabs renew at
    // once, twice, and none ends the session.
    for _ in 0..2 {
        service.advance(Duration::from_mins(31));
        for tab in &tabs {
            browser.client.switch_to_window(tab.clone()).await.expect("it is there");
            browser.js("document.dispatchEvent(new Event('visibilitychange'))").await;
        }
        for tab in &tabs {
            browser.client.switch_to_window(tab.clone()).await.expect("it is there");
            browser.click(".filters a[href='#/state/DONE']").await;
            browser.reads("No video in this state").await;
            browser.click(".filters a[href='#/']").await;
            browser.reads("No video yet").await;
        }
    }
    let session = browser.js("return JSON.parse(localStorage.getItem('fiapx.session'))").await;
    browser.click("#logout").await;
    for tab in &tabs {
        browser.client.switch_to_window(tab.clone()).await.expect("it is there");
        browser.find("form #password").await;
    }
    assert!(browser.js("return localStorage.getItem('fiapx.session')").await.is_null());
    let renewed = service
        .request(Method::POST, "/auth/refresh")
        .json(&json!({ "refresh_token": session["refresh"] }));
    assert_eq!(fetch_json(renewed).await.0, StatusCode::UNAUTHORIZED, "the session goes on");
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_too_late_is_asked_again_and_gets_where_they_wanted() {
    let service = Service::start().await;
    let mut user = service.user().await;
    let job = user.upload_clip("good/shorter_than_half_a_second.mp4").await;
    user.wait_until_done(&job).await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.goto(&format!("/#/jobs/{job}")).await;
    browser.fill("#email", &user.email).await;
    browser.fill("#password", PASSWORD).await;
    browser.click("form button[type=submit]").await;
    browser.reads("shorter_than_half_a_second.mp4").await;

    // Whoever changes the password elsewhere ends this session, too.
    user.log_in_again().await;
    let change = json!({ "current_password": PASSWORD, "new_password": "Praia#2027" });
    let (status, _) = fetch_json(user.request(Method::POST, "/auth/password").json(&change)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    browser.click(".back a").await;
    browser.reads("Your session has ended").await;
    browser.accessible("session_ended").await;
    browser.content().await;
}
