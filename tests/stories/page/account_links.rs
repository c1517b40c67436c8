//! Links in mails about accounts: confirmation of the address, and a new password.

use app::settings::Confirm;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, EMAIL, Preferences};
use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::mails::Mail;
use crate::harness::service::Service;

/// Token of the link to this path of the page in a mail.
pub fn link_token(mail: &Mail, path: &str) -> String {
    let (_, rest) = mail
        .text
        .split_once(&format!("/#/{path}/"))
        .unwrap_or_else(|| panic!("no link to {path} in {mail:?}"));
    rest.split_whitespace().next().expect("a token").to_owned()
}

/// Open a link of a mail. Its token has to leave the address and the history at once, and must not
/// be part of any address that the page loads.
pub async fn open_link(browser: &Browser, path: &str, token: &str) {
    browser.goto(&format!("/#/{path}/{token}")).await;
    browser.wait_until(&format!("location.hash === '#/{path}'")).await;
    let loaded = "performance.getEntriesByType('resource').map(({ name }) => name)";
    let leaked = format!("return {loaded}.filter((it) => it.includes({token:?}))");
    assert_eq!(browser.js(&leaked).await, json!([]));
}

/// Status of a login.
pub async fn log_in_status(client: &Client, email: &str, password: &str) -> StatusCode {
    let credentials = json!({ "email": email, "password": password });
    fetch_json(client.request(Method::POST, "/auth/login").json(&credentials)).await.0
}

/// Fill in the registration form and submit it.
async fn submit_registration(browser: &Browser, password: &str) {
    browser.click("a[href='#/register']").await;
    browser.fill("#name", "Ana").await;
    browser.submit_login(EMAIL, password).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_to_confirm_the_address_before_uploads() {
    let service = Service::with(|settings| settings.accounts.confirm = Confirm::Always).await;
    let browser = Browser::open(&service, Preferences::default()).await;
    submit_registration(&browser, PASSWORD).await;
    browser.wait_for_text(&format!("We sent a link to {EMAIL}")).await;
    browser.assert_accessible("check_mail").await;
    let first = link_token(&service.mails_to(EMAIL, 1).await[0], "confirm");
    browser.click("main .quiet").await;
    browser.wait_for_text("Another link is on its way.").await;
    service.mails_to(EMAIL, 2).await;

    browser.click("main a.primary").await;
    browser.wait_for_text("Confirm your e-mail to upload videos").await;
    browser.choose_sample().await;
    browser.wait_for_text("Confirm your e-mail first").await;
    browser.assert_accessible("unconfirmed").await;
    open_link(&browser, "confirm", &first).await;
    browser.wait_for_text("Confirm that this e-mail is yours").await;
    browser.assert_accessible("confirm").await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("E-mail confirmed").await;
    browser.wait_until("document.activeElement.tagName === 'H1'").await;
    browser.wait_until("document.getElementById('banner').hidden").await;
    browser.click("#uploads [title='Try again']").await;
    browser.wait_for_count("#uploads [data-state=received]", 1).await;

    open_link(&browser, "confirm", &first).await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("This link was used already or has expired.").await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.wait_for_text("Open it again from the message.").await;
    browser.click("#logout").await;
    browser.find("form #password").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registering_a_known_address_asks_to_look_into_the_mailbox() {
    let service = Service::with(|settings| settings.accounts.confirm = Confirm::Always).await;
    let browser = Browser::open(&service, Preferences::default()).await;
    submit_registration(&browser, PASSWORD).await;
    browser.find("main a.primary").await;
    browser.click("#logout").await;
    submit_registration(&browser, "Outra#2026").await;
    browser.wait_for_text(&format!("We sent a link to {EMAIL}")).await;
    browser.wait_for_text("Did you have an account with this e-mail already?").await;
    browser.assert_accessible("check_mail_known").await;
    let subjects: Vec<String> =
        service.mails_to(EMAIL, 2).await.into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.contains(&"You already have an account".to_owned()), "{subjects:?}");
    browser.click("main a.primary").await;
    browser.submit_login(EMAIL, PASSWORD).await;
    browser.wait_for_text("Confirm your e-mail to upload videos").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_on_another_device_ends_the_reminder() {
    let service = Service::with(|settings| settings.accounts.confirm = Confirm::Always).await;
    let browser = Browser::open(&service, Preferences::default()).await;
    submit_registration(&browser, PASSWORD).await;
    browser.find("main a.primary").await;
    let token = link_token(&service.mails_to(EMAIL, 1).await[0], "confirm");
    let confirm = service.request(Method::POST, "/auth/confirm").json(&json!({ "token": token }));
    assert_eq!(fetch_json(confirm).await.0, StatusCode::NO_CONTENT);
    browser.js("document.dispatchEvent(new Event('visibilitychange'))").await;
    browser.find(".drop-area").await;
    browser.wait_until("document.getElementById('banner').hidden").await;
    browser.upload_sample().await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replaces_a_forgotten_password() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.click("a[href='#/forgot']").await;
    browser.fill("#email", &user.email).await;
    browser.assert_accessible("forgot_password").await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("If there is an account with the e-mail").await;
    let token = link_token(&service.mails_to(&user.email, 1).await[0], "reset");
    open_link(&browser, "reset", &token).await;
    browser.fill("#new_password", "praia").await;
    browser.click("main [type=submit]").await;
    let error = "document.getElementById('new_password-error').textContent";
    browser.wait_until(&format!("{error}.includes('at least 8 characters')")).await;
    browser.wait_until("document.activeElement.id === 'new_password'").await;
    browser.assert_accessible("reset_password").await;
    browser.fill("#new_password", "Duna#2027").await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("Your password is changed. Log in with the new one.").await;
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in_status(&service, &user.email, PASSWORD).await, StatusCode::UNAUTHORIZED);
    browser.submit_login(&user.email, "Duna#2027").await;
    browser.find(".drop-area").await;

    open_link(&browser, "reset", &token).await;
    browser.fill("#new_password", "Serra#2028").await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("This link was used already or has expired.").await;
    let session = browser.js("return localStorage.getItem('fiapx.session')").await;
    assert_ne!(session, Value::Null, "the session continues");
    browser.assert_no_console_errors().await;
}
