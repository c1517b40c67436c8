//! Account screen: name, language, address, export and deletion.

use std::io::Cursor;

use app::settings::Confirm;
use reqwest::StatusCode;
use serde_json::json;

use super::account::{change, submit, wait_for_error, wait_until_closed};
use super::account_links::{link_token, log_in_status, open_link};
use super::browser::Browser;
use crate::harness::checks::eventually;
use crate::harness::client::PASSWORD;
use crate::harness::clips::TINY;
use crate::harness::service::Service;

const ACCOUNT: &str = "/#/account";

#[tokio::test(flavor = "multi_thread")]
async fn changes_the_name_and_the_language() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    change(&browser, "name").await;
    browser.fill("#name", " ").await;
    submit(&browser).await;
    wait_for_error(&browser, "name", "Enter your name").await;
    browser.assert_accessible("change_name").await;
    browser.fill("#name", "Ana Souza").await;
    submit(&browser).await;
    wait_until_closed(&browser, "name").await;
    browser.wait_until("document.querySelector('.user-name').textContent === 'Ana Souza'").await;
    change(&browser, "mail_language").await;
    browser.wait_until("document.getElementById('language').value === 'en'").await;
    browser.press("P").await;
    submit(&browser).await;
    wait_until_closed(&browser, "mail_language").await;
    browser.wait_for_text("Português").await;
    let account = user.get("/auth/me").await.1;
    assert_eq!([&account["name"], &account["language"]], [&json!("Ana Souza"), &json!("pt")]);
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chooses_the_mails_and_reports_the_time_zone() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    browser.wait_for_text("One for each video").await;
    change(&browser, "mails").await;
    browser.wait_until("document.getElementById('mails').value === 'each'").await;
    browser.assert_accessible("change_mails").await;
    browser.press("N").await;
    submit(&browser).await;
    wait_until_closed(&browser, "mails").await;
    browser
        .wait_until("document.querySelector('[data-setting=mails]').innerText.includes('None')")
        .await;
    assert_eq!(user.get("/auth/me").await.1["mails"], "none");
    let zone = browser.js("return new Intl.DateTimeFormat().resolvedOptions().timeZone").await;
    eventually("the account has the time zone", || async {
        (user.get("/auth/me").await.1["time_zone"] == zone).then_some(())
    })
    .await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_follow_the_language_that_is_chosen_on_the_page() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.click(".languages [lang=pt]").await;
    eventually("the account has the language", || async {
        (user.get("/auth/me").await.1["language"] == "pt").then_some(())
    })
    .await;
    user.upload_clip(TINY).await;
    let mails = service.expect_mails(1).await;
    assert!(mails[0].subject.starts_with("Seu vídeo está pronto: "), "{mails:?}");
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_the_address_when_the_new_one_is_confirmed() {
    let service = Service::with(|settings| settings.accounts.confirm = Confirm::Never).await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    change(&browser, "email").await;
    browser.fill("#email", "ana").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    wait_for_error(&browser, "email", "a valid e-mail").await;
    browser.fill("#email", "new@example.com").await;
    browser.fill("#password", "wrong").await;
    submit(&browser).await;
    wait_for_error(&browser, "password", "Wrong password").await;
    browser.assert_accessible("change_address").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    browser.wait_for_text("We sent a link to new@example.com").await;
    browser.click("dialog .primary").await;
    wait_until_closed(&browser, "email").await;
    assert_eq!(user.get("/auth/me").await.1["email"], json!(user.email));

    let token = link_token(&service.mails_to("new@example.com", 1).await[0], "change-address");
    open_link(&browser, "change-address", &token).await;
    browser.wait_for_text("you want to use it for your account").await;
    browser.click("main [type=submit]").await;
    browser.wait_for_text("From now on, log in with the new e-mail.").await;
    assert_eq!(log_in_status(&service, &user.email, PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in_status(&service, "new@example.com", PASSWORD).await, StatusCode::OK);
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_the_data() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    change(&browser, "export").await;
    browser.fill("#password", "wrong").await;
    submit(&browser).await;
    wait_for_error(&browser, "password", "Wrong password").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    let archive = browser.take_download("account.zip").await;
    let archive = zip::ZipArchive::new(Cursor::new(archive)).expect("a valid archive");
    let names: Vec<String> =
        archive.file_names().map(|name| name.expect("a name").into_owned()).collect();
    assert!(names.contains(&"account.json".to_owned()), "{names:?}");
    wait_until_closed(&browser, "export").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_the_account_with_everything_in_it() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let browser = Browser::logged_in(&service, &user, ACCOUNT).await;
    change(&browser, "delete_account").await;
    browser.wait_for_text("This deletes at once and for good:").await;
    browser.assert_accessible("delete_account").await;
    browser.fill("#password", "wrong").await;
    submit(&browser).await;
    wait_for_error(&browser, "password", "Wrong password").await;
    browser.fill("#password", PASSWORD).await;
    submit(&browser).await;
    browser.wait_for_text("Your account and everything in it were deleted.").await;
    browser.assert_accessible("account_deleted").await;
    assert!(browser.js("return localStorage.getItem('fiapx.session')").await.is_null());
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    eventually("no file is left", async || service.files().await.is_empty().then_some(())).await;
    browser.submit_login(&user.email, PASSWORD).await;
    browser.wait_for_text("Wrong e-mail or password").await;
    browser.assert_no_console_errors().await;
}
