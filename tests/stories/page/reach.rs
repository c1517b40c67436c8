//! The page for everybody: in both languages, by keyboard alone, on a small screen, in the dark.

use super::browser::{Browser, Screen, Taste};
use crate::harness::client::PASSWORD;
use crate::harness::programs::root;
use crate::harness::service::Service;

/// Keys, as WebDriver names them (W3C WebDriver, 17.4.2).
const TAB: &str = "\u{E004}";
const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";
const RIGHT: &str = "\u{E014}";

#[tokio::test(flavor = "multi_thread")]
async fn the_language_is_the_browsers_and_can_be_changed() {
    let service = Service::start().await;
    let browser =
        Browser::open(service.base(), Taste { languages: "de,pt-BR,pt,en", ..Taste::default() })
            .await;
    browser.reads("Entra um vídeo. Sai um quadro por segundo.").await;
    browser
        .until("document.documentElement.lang === 'pt' && document.title === 'Entrar · FIAP X'")
        .await;
    browser.accessible("entrar").await;
    browser.fill("#email", "ana@example.com").await;
    browser.click(".languages [lang=en]").await;
    browser.reads("A video goes in. A frame a second comes out.").await;
    browser
        .until("document.documentElement.lang === 'en' && document.activeElement.lang === 'en'")
        .await;
    browser.until("document.getElementById('email').value === 'ana@example.com'").await;
    browser.client.refresh().await.expect("it can be read again");
    browser.reads("A video goes in.").await;
    browser.click(".languages [lang=pt]").await;
    // Whoever registers in a language is written to in it.
    browser.register("ana@example.com").await;
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.reads("10 quadros").await;
    browser.accessible("lista").await;
    browser.content().await;
    drop(browser);
    let letters = service.expect_mails(1).await;
    assert!(letters[0].text.starts_with("Olá"), "{letters:?}");
}

/// Press Tab until something has the focus.
async fn tab_to(browser: &Browser, selector: &str) {
    for _ in 0..40 {
        browser.press(TAB).await;
        if browser.js(&format!("return document.activeElement.matches({selector:?})")).await == true
        {
            let ring =
                browser.js("return getComputedStyle(document.activeElement).outlineStyle").await;
            let label = browser.js("const next = document.activeElement.nextElementSibling ?? document.body; return getComputedStyle(next).outlineStyle").await;
            let after = browser
                .js("return getComputedStyle(document.activeElement, '::after').outlineStyle")
                .await;
            assert!(
                ring != "none" || label != "none" || after != "none",
                "nobody sees that {selector} has the focus"
            );
            return;
        }
    }
    panic!("Tab does not lead to {selector}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_can_be_done_by_keyboard() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.find("#email").await;
    tab_to(&browser, "a[href='#/register']").await;
    browser.press(ENTER).await;
    browser.until("document.activeElement.id === 'name'").await;
    browser.press("Ana").await;
    browser.press(TAB).await;
    browser.press("ana@example.com").await;
    browser.press(TAB).await;
    browser.press(PASSWORD).await;
    browser.press(ENTER).await;
    browser.until("document.activeElement.tagName === 'H1'").await;
    tab_to(&browser, "#files").await;
    // The dialogue of the system is none of the page; what it gives is.
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.until("document.getElementById('said').textContent !== ''").await;
    tab_to(&browser, ".name").await;
    browser.press(ENTER).await;
    browser.until("document.activeElement.tagName === 'H1' && document.activeElement.textContent === 'sample.mp4'").await;
    tab_to(&browser, ".sheet a[href$='/1']").await;
    browser.press(ENTER).await;
    browser.reads("Frame 1 of 10").await;
    for frame in ["Frame 2 of 10", "Frame 3 of 10"] {
        browser.press(RIGHT).await;
        browser.reads(frame).await;
    }
    browser.press(ESCAPE).await;
    browser.until("!document.querySelector('dialog') && document.activeElement.matches(\".sheet a[href$='/3']\")").await;
    browser.client.back().await.expect("there is a way back");
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_shows_all_of_it() {
    let service = Service::start().await;
    let browser = Browser::open(
        service.base(),
        Taste { screen: Screen::Phone, languages: "pt-BR", ..Taste::default() },
    )
    .await;
    browser.find("#email").await;
    browser.accessible("phone_login").await;
    browser.register("ana@example.com").await;
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.accessible("phone_uploads").await;
    browser.click(".tray .clear").await;
    browser.until("document.getElementById('tray').hidden").await;
    browser.accessible("phone_list").await;
    browser.click(".name").await;
    browser.until("document.querySelectorAll('.sheet img[src]').length > 3").await;
    browser.accessible("phone_job").await;
    browser.click(".sheet a[href$='/3']").await;
    browser.until("document.querySelector('.viewer img')?.naturalWidth === 640 && !document.querySelector('.coming')").await;
    browser.accessible("phone_frame").await;
    // What is touched is large enough to be hit.
    let small = browser
        .js("return [...document.querySelectorAll('button')].filter((button) => button.offsetParent)
            .map((button) => [button.outerHTML.slice(0, 80), button.getBoundingClientRect()])
            .filter(([, { width, height }]) => Math.min(width, height) < 24).map(([html]) => html)")
        .await;
    assert_eq!(small, serde_json::json!([]));
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dark_is_dark_and_can_be_read() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste { dark: true, ..Taste::default() }).await;
    browser.until("matchMedia('(prefers-color-scheme: dark)').matches").await;
    browser.accessible("dark_login").await;
    browser.register("ana@example.com").await;
    browser.choose(&[root().join("fixtures/sample.mp4")]).await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.accessible("dark_list").await;
    browser.click(".name").await;
    browser.until("document.querySelectorAll('.sheet img[src]').length === 10").await;
    browser.accessible("dark_job").await;
    browser.content().await;
}
