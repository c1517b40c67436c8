//! Screens of webhooks: create, test, repeat, change, replace the secret, delete.

use super::account::{submit, wait_for_error};
use super::browser::{Browser, Preferences, Screen};
use crate::harness::receiver::{Receiver, Reply};
use crate::harness::service::Service;

/// Text of the secret that the dialog shows.
async fn secret(browser: &Browser) -> String {
    browser.find("dialog[open] #secret").await;
    let secret = browser.js("return document.getElementById('secret').textContent").await;
    secret.as_str().expect("a secret").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_created_tested_and_deleted() {
    let service = Service::with(|settings| settings.webhooks.allow_private = true).await;
    let replies = [Reply::Respond(500, "", "<b>out of order</b>".to_owned()), Reply::status(204)];
    let receiver = Receiver::start(replies).await;
    let user = service.user().await;
    // The first test is not tried again, so that all requests are those of the user.
    service.clock.pause();
    let browser = Browser::logged_in(&service, &user, "/#/account").await;
    browser.click("section[aria-labelledby=webhooks-title] a").await;
    browser.wait_for_text("No webhooks yet").await;
    browser.assert_accessible("no_webhooks").await;
    browser.click("#add-webhook").await;
    browser.fill("#url", "ftp://example.com").await;
    submit(&browser).await;
    wait_for_error(&browser, "url", "must begin with https://").await;
    browser.assert_accessible("add_webhook").await;
    browser.fill("#url", &receiver.url()).await;
    submit(&browser).await;
    let first = secret(&browser).await;
    assert!(first.starts_with("whsec_"), "{first}");
    browser.assert_accessible("webhook_secret").await;
    // It is not shown again, so the Escape key does not hide it.
    browser.press("\u{E00C}").await;
    browser.click("dialog .primary").await;

    browser.wait_for_text("No deliveries yet").await;
    browser.click("#send-test").await;
    browser.wait_for_text("The server rejected the event.").await;
    browser.wait_for_text("response 500").await;
    browser.click("details summary").await;
    browser.wait_for_text("<b>out of order</b>").await;
    browser.assert_accessible("webhook").await;
    browser.click("#send-test").await;
    browser.wait_for_count("[data-status=DELIVERED]", 1).await;
    browser.click("[data-status=DELIVERED] button").await;
    browser.wait_for_text("2 attempts").await;
    browser.wait_for_count("[data-status=DELIVERED]", 1).await;
    assert_eq!(receiver.received().len(), 3);

    browser.click("#new-secret").await;
    browser.click("dialog .danger").await;
    let second = secret(&browser).await;
    assert_ne!(first, second);
    browser.click("dialog .primary").await;
    browser.click("#change-webhook").await;
    for event in ["job.completed", "job.failed"] {
        browser.click(&format!("input[value='{event}']")).await;
    }
    submit(&browser).await;
    browser.wait_for_text("Choose at least one event.").await;
    browser.click("input[value='job.expired']").await;
    submit(&browser).await;
    browser.wait_for_text("Video expired").await;
    browser.click("#enable-webhook").await;
    browser.wait_for_text("You disabled it.").await;
    browser.click("#delete-webhook").await;
    browser.click("dialog .danger").await;
    browser.wait_for_text("No webhooks yet").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_fit_on_a_phone_in_portuguese() {
    let service = Service::with(|settings| settings.webhooks.allow_private = true).await;
    let receiver = Receiver::start([Reply::status(410)]).await;
    let user = service.user_of("pt").await;
    let preferences = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: true };
    let browser = Browser::open(&service, preferences).await;
    browser.log_in(&user.email).await;
    browser.goto("/#/webhooks").await;
    browser.click("#add-webhook").await;
    browser.fill("#url", &receiver.url()).await;
    browser.assert_accessible("phone_add_webhook").await;
    submit(&browser).await;
    browser.wait_for_text("Guarde o segredo").await;
    browser.assert_accessible("phone_webhook_secret").await;
    browser.click("dialog .primary").await;
    browser.click("#send-test").await;
    browser.wait_for_text("O servidor recusou o evento.").await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.wait_for_text("o endereço não existe mais (410)").await;
    browser.assert_accessible("phone_webhook").await;
    browser.click("a[href='#/webhooks']").await;
    browser.wait_for_text("Desativado").await;
    browser.assert_accessible("phone_webhooks").await;
    browser.assert_no_console_errors().await;
}
