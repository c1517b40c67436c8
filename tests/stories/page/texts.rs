//! Texts: languages, sizes, times and recipes.

use serde_json::json;

use super::browser::{Browser, EMAIL, Preferences};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn uses_the_language_of_the_browser_until_another_is_chosen() {
    let service = Service::start().await;
    let preferences = Preferences { languages: "de,pt-BR,pt,en", ..Preferences::default() };
    let browser = Browser::open(&service, preferences).await;
    browser.wait_for_text("Envie um vídeo. Receba um quadro por segundo.").await;
    browser.wait_until("document.documentElement.lang === 'pt'").await;
    browser.wait_until("document.title === 'Entrar · FIAP X'").await;
    browser.assert_accessible("login_pt").await;
    browser.fill("#email", EMAIL).await;
    browser.click(".languages [lang=en]").await;
    browser.wait_for_text("Upload a video. Get one frame per second.").await;
    browser.wait_until("document.documentElement.lang === 'en'").await;
    browser.wait_until("document.activeElement.lang === 'en'").await;
    let email = format!("document.getElementById('email').value === '{EMAIL}'");
    browser.wait_until(&email).await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.wait_for_text("Upload a video.").await;
    browser.click(".languages [lang=pt]").await;
    browser.register(EMAIL).await;
    browser.upload_sample().await;
    browser.wait_for_text("10 quadros").await;
    browser.assert_accessible("list_pt").await;
    browser.assert_no_console_errors().await;
    drop(browser);
    // The account has the language of the page in which it was registered.
    let mails = service.expect_mails(1).await;
    assert!(mails[0].text.starts_with("Olá"), "{mails:?}");
}

/// Results of the functions in `format.js`, in the language of the page.
const FORMATTED: &str = "
    const { href } = document.querySelector('link[href$=\"/format.js\"]');
    const { bytes, duration, recipeText, timecode } = await import(href);
    const recipe = (every) => recipeText({ select: { every }, image: { format: 'png' } });
    return [
        [999, 1_500_000, 500_000_000].map(bytes),
        [2.4667, 3_602.5].map(timecode),
        [2.46, 59.6, 185, 4800].map(duration),
        [1, '1/3', 0.5, '1001/30000', 5, '5/2'].map(recipe),
        [undefined, { select: { scenes: 1 } }].map(recipeText).map(String),
    ].flat();";

#[tokio::test(flavor = "multi_thread")]
async fn formats_values_in_both_languages() {
    let expected = [
        ("999 B", "999 B"),
        ("1.5 MB", "1,5 MB"),
        ("500 MB", "500 MB"),
        ("0:02.467", "0:02,467"),
        ("1:00:02.500", "1:00:02,500"),
        ("2.5 s", "2,5 s"),
        ("1 min 0 s", "1 min 0 s"),
        ("3 min 5 s", "3 min 5 s"),
        ("1 h 20 min", "1 h 20 min"),
        ("1 frame per second, PNG", "1 quadro por segundo, PNG"),
        ("3 frames per second, PNG", "3 quadros por segundo, PNG"),
        ("2 frames per second, PNG", "2 quadros por segundo, PNG"),
        ("29.97 frames per second, PNG", "29,97 quadros por segundo, PNG"),
        ("1 frame every 5 seconds, PNG", "1 quadro a cada 5 segundos, PNG"),
        ("1 frame every 2.5 seconds, PNG", "1 quadro a cada 2,5 segundos, PNG"),
        ("null", "null"),
        ("null", "null"),
    ];
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    assert_eq!(browser.js_async(FORMATTED).await, json!(expected.map(|(english, _)| english)));
    browser.click(".languages [lang=pt]").await;
    assert_eq!(
        browser.js_async(FORMATTED).await,
        json!(expected.map(|(_, portuguese)| portuguese))
    );
    browser.assert_no_console_errors().await;
}
