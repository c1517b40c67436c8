//! Swagger UI in a browser: the page leads to it, and a log-in there needs no copied token.

use super::browser::Browser;
use crate::harness::client::PASSWORD;
use crate::harness::service::Service;

/// Button of the dialog "Authorize" that logs in by e-mail and password.
const LOG_IN: &str = "button[aria-label='Apply given OAuth2 credentials']";

/// Send an e-mail and a password in the dialog "Authorize".
async fn log_in(browser: &Browser, email: &str, password: &str) {
    browser.fill("#oauth_username", email).await;
    browser.fill("#oauth_password", password).await;
    browser.click(LOG_IN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_logs_in_by_email_and_password() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, "/#/account").await;
    browser.find("#api-docs[href='/docs']").await;
    browser.goto("/docs").await;
    browser.click(".scheme-container button.authorize").await;
    log_in(&browser, &user.email, "Praia#2027").await;
    browser.wait_for_text("invalid_grant").await;
    browser.wait_for_text("The e-mail address or the password is wrong.").await;
    log_in(&browser, &user.email, PASSWORD).await;
    browser.click("button[aria-label='Remove authorization'] + .btn-done").await;

    let operation = "#operations-Accounts-getCurrentUser";
    browser.click(&format!("{operation} .opblock-summary-control")).await;
    browser.click(&format!("{operation} .try-out__btn")).await;
    browser.click(&format!("{operation} .execute")).await;
    let response = browser.find(&format!("{operation} .live-responses-table")).await;
    let text = response.text().await.expect("the response is shown");
    assert!(text.contains("200") && text.contains(&user.email), "{text}");
    browser.assert_no_console_errors().await;
}
