//! Account screen: password, sessions and second factor.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::account_links::log_in_status;
use super::browser::{Browser, Preferences, Screen};
use crate::harness::client::{PASSWORD, User, fetch_json};
use crate::harness::second_factor::App;
use crate::harness::service::Service;

const ACCOUNT: &str = "/#/account";
/// Duration of a code of a second factor.
const STEP: Duration = Duration::from_secs(30);

/// Open the dialog of a setting.
pub async fn change(browser: &Browser, setting: &str) {
    browser.click(&format!("[data-setting={setting}] button")).await;
    browser.find("dialog[open]").await;
}

/// Submit the form of the dialog.
pub async fn submit(browser: &Browser) {
    browser.click("dialog [type=submit]").await;
}

/// Wait until the dialog is closed and the focus is back at the setting.
pub async fn wait_until_closed(browser: &Browser, setting: &str) {
    browser.wait_for_count("dialog", 0).await;
    let selector = format!("[data-setting={setting}] button");
    browser.wait_until(&format!("document.activeElement.matches({selector:?})")).await;
}

/// Wait until a field has an error with this text, and the focus.
pub async fn wait_for_error(browser: &Browser, field: &str, text: &str) {
    let element = |id: String| format!("document.getElementById('{id}')");
    let error = element(format!("{field}-error"));
    browser.wait_until(&format!("{error}?.textContent.includes({text:?})")).await;
    let input = element(field.to_owned());
    browser.wait_until(&format!("{input}.getAttribute('aria-invalid') === 'true'")).await;
    browser.wait_until(&format!("document.activeElement === {input}")).await;
}

/// Status of a request with an access token.
async fn access(service: &Service, token: &str) -> StatusCode {
    fetch_json(service.request(Method::GET, "/auth/me").bearer_auth(token)).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_the_password_and_stays_logged_in() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    browser.wait_for_count("[data-session]", 2).await;
    change(&browser, "password").await;
    browser.wait_until("document.activeElement.id === 'current_password'").await;
    browser.fill("#current_password", "wrong").await;
    browser.fill("#new_password", "Duna#2027").await;
    submit(&browser).await;
    wait_for_error(&browser, "current_password", "Wrong password").await;
    browser.fill("#current_password", PASSWORD).await;
    browser.fill("#new_password", "duna").await;
    submit(&browser).await;
    wait_for_error(&browser, "new_password", "at least 8 characters").await;
    browser.assert_accessible("change_password").await;
    browser.fill("#new_password", "Duna#2027").await;
    submit(&browser).await;
    browser.wait_for_text("Your other sessions have ended.").await;
    browser.click("dialog .primary").await;
    wait_until_closed(&browser, "password").await;
    browser.wait_for_count("[data-session]", 1).await;
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in_status(&service, &user.email, PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in_status(&service, &user.email, "Duna#2027").await, StatusCode::OK);
    browser.goto("/").await;
    browser.upload_sample().await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_sessions_and_ends_them() {
    let service = Service::start().await;
    let mut user = service.user().await;
    let first = user.access.clone();
    service.advance(Duration::from_mins(1));
    user.log_in_again().await;
    service.advance(Duration::from_mins(1));
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    browser.wait_for_count("[data-session]", 3).await;
    let current = "[data-session]:has(.badge)";
    let text = browser.js(&format!("return document.querySelector('{current}').innerText")).await;
    let text = text.as_str().expect("a text");
    for part in [browser.session_name(), "this session", "127.0.0.1"] {
        assert!(text.contains(part), "{text}");
    }
    browser.wait_for_count(&format!("{current} button"), 0).await;
    browser.assert_accessible("sessions").await;

    // The session that was used least recently is the last one.
    browser.click("[data-session]:last-child button").await;
    browser.wait_for_count("[data-session]", 2).await;
    browser.wait_until("document.activeElement.id === 'sessions-title'").await;
    assert_eq!(access(&service, &first).await, StatusCode::UNAUTHORIZED);
    assert_eq!(access(&service, &user.access).await, StatusCode::OK);
    browser.click("section[aria-labelledby=sessions-title] div > button.quiet:last-child").await;
    browser.wait_for_count("[data-session]", 1).await;
    assert_eq!(access(&service, &user.access).await, StatusCode::UNAUTHORIZED);
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.wait_for_count("[data-session]", 1).await;
    browser.assert_no_console_errors().await;
}

/// Turn the second factor on, with a wrong code first. Returns the secret and the recovery codes.
async fn turn_second_factor_on(browser: &Browser, service: &Service) -> (String, Vec<String>) {
    change(browser, "second_factor").await;
    browser.fill("#password", "wrong").await;
    submit(browser).await;
    wait_for_error(browser, "password", "Wrong password").await;
    browser.fill("#password", PASSWORD).await;
    submit(browser).await;
    browser.wait_until("document.activeElement.id === 'code'").await;
    browser.assert_accessible("second_factor_secret").await;
    let secret = browser.js("return document.getElementById('secret').textContent").await;
    let secret = secret.as_str().expect("a secret").replace(' ', "");
    let uri = browser.js("return document.getElementById('otpauth').href").await;
    assert!(uri.as_str().is_some_and(|uri| uri.contains(&secret)), "{uri}");
    let app = App::new(&secret, &service.clock);
    browser.fill("#code", &app.wrong_code()).await;
    submit(browser).await;
    wait_for_error(browser, "code", "The code is wrong").await;
    browser.fill("#code", &app.code()).await;
    submit(browser).await;
    browser.wait_for_count(".codes code", 10).await;
    browser.assert_accessible("recovery_codes").await;
    let codes = browser
        .js("return [...document.querySelectorAll('.codes code')].map((it) => it.textContent)")
        .await;
    let codes: Vec<String> = serde_json::from_value(codes).expect("texts");
    (secret, codes)
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_in_with_a_second_factor() {
    let service = Service::with(|settings| settings.limits.logins_per_minute = 1000).await;
    service.clock.pause();
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    let (secret, recovery_codes) = turn_second_factor_on(&browser, &service).await;
    let app = App::new(&secret, &service.clock);
    // The codes are not shown again, so the Escape key does not hide them.
    browser.press("\u{E00C}").await;
    browser.wait_for_count("dialog[open] .codes code", 10).await;
    browser.click("dialog .quiet:nth-last-child(2)").await;
    let saved = browser.take_download("codes.txt").await;
    assert_eq!(String::from_utf8_lossy(&saved).lines().collect::<Vec<_>>(), recovery_codes);
    browser.click("dialog .primary").await;
    wait_until_closed(&browser, "second_factor").await;
    browser.wait_for_text("On: you log in with your password and a code").await;

    let log_in = async |code: &str| {
        browser.click("#logout").await;
        browser.wait_for_count("#code", 0).await;
        browser.submit_login(&user.email, PASSWORD).await;
        browser.wait_until("document.activeElement.id === 'code'").await;
        browser.fill("#code", &app.wrong_code()).await;
        browser.click("form [type=submit]").await;
        wait_for_error(&browser, "code", "The code is wrong").await;
        browser.assert_accessible("login_code").await;
        browser.fill("#code", code).await;
        browser.click("form [type=submit]").await;
        browser.find(".drop-area").await;
    };
    service.advance(STEP);
    log_in(&app.code()).await;
    log_in(&recovery_codes[0].to_lowercase()).await;

    service.advance(STEP);
    browser.goto(ACCOUNT).await;
    change(&browser, "second_factor").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    wait_for_error(&browser, "code", "The code is wrong").await;
    browser.fill("#code", &app.code()).await;
    submit(&browser).await;
    wait_until_closed(&browser, "second_factor").await;
    browser.wait_for_text("Off: your password suffices.").await;
    assert_eq!(log_in_status(&service, &user.email, PASSWORD).await, StatusCode::OK);
    browser.assert_no_console_errors().await;
}

/// Turn the second factor of a user on by the API.
async fn turn_on_by_api<'a>(service: &'a Service, user: &User<'_>) -> App<'a> {
    let start = user.request(Method::POST, "/auth/second-factor");
    let (_, created) = fetch_json(start.json(&json!({ "password": PASSWORD }))).await;
    let app = App::new(created["secret"].as_str().expect("a secret"), &service.clock);
    let confirm = user.request(Method::POST, "/auth/second-factor/confirm");
    let (status, _) = fetch_json(confirm.json(&json!({ "code": app.code() }))).await;
    assert_eq!(status, StatusCode::OK);
    service.advance(STEP);
    app
}

/// The new session needs a code that was not used for the change, so the user has to log in.
#[tokio::test(flavor = "multi_thread")]
async fn asks_for_a_login_after_a_password_change_with_a_second_factor() {
    let service = Service::start().await;
    service.clock.pause();
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    browser.find("[data-session]").await;
    // The page learns of the second factor from the response to the change.
    let app = turn_on_by_api(&service, &user).await;
    change(&browser, "password").await;
    browser.fill("#current_password", PASSWORD).await;
    browser.fill("#new_password", "Duna#2027").await;
    submit(&browser).await;
    browser.wait_until("document.activeElement.id === 'code'").await;
    browser.fill("#code", &app.code()).await;
    submit(&browser).await;
    browser.wait_for_text("Your password is changed. Log in with the new one.").await;
    assert_eq!(browser.js("return localStorage.getItem('fiapx.session')").await, Value::Null);
    service.advance(STEP);
    browser.submit_login(&user.email, "Duna#2027").await;
    browser.wait_until("document.activeElement.id === 'code'").await;
    browser.fill("#code", &app.code()).await;
    browser.click("form [type=submit]").await;
    browser.find(".drop-area").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fits_on_a_phone_in_the_dark_color_scheme() {
    let service = Service::start().await;
    let user = service.user_of("pt").await;
    let preferences = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: true };
    let browser = Browser::open(&service, preferences).await;
    browser.log_in(&user.email).await;
    browser.click(".account-link").await;
    browser.wait_for_count("[data-session]", 2).await;
    browser.assert_accessible("phone_account").await;
    change(&browser, "second_factor").await;
    browser.wait_for_text("Primeiro, digite sua senha.").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    browser.find("#secret").await;
    browser.assert_accessible("phone_second_factor").await;
    browser.press("\u{E00C}").await;
    wait_until_closed(&browser, "second_factor").await;
    change(&browser, "delete_account").await;
    browser.wait_for_text("Serão excluídos agora, sem volta:").await;
    browser.assert_accessible("phone_delete_account").await;
    browser.assert_no_console_errors().await;
}
