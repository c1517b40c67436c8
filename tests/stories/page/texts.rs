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
    const { bytes, duration, position, timecode } = await import(href);
    return [
        [999, 1_500_000, 500_000_000].map(bytes),
        [2.4667, 3_602.5].map(timecode),
        [0, 62.5, 3_600].map(position),
        [2.46, 59.6, 185, 4800].map(duration),
    ].flat();";

/// Check what a script returns in English and in Portuguese.
async fn expect_texts(script: &str, expected: &[(&str, &str)]) {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    let (english, portuguese): (Vec<_>, Vec<_>) = expected.iter().copied().unzip();
    assert_eq!(browser.js_async(script).await, json!(english));
    browser.click(".languages [lang=pt]").await;
    assert_eq!(browser.js_async(script).await, json!(portuguese));
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_values_in_both_languages() {
    let expected = [
        ("999 B", "999 B"),
        ("1.5 MB", "1,5 MB"),
        ("500 MB", "500 MB"),
        ("0:02.467", "0:02,467"),
        ("1:00:02.500", "1:00:02,500"),
        ("0:00", "0:00"),
        ("1:02.5", "1:02,5"),
        ("1:00:00", "1:00:00"),
        ("2.5 s", "2,5 s"),
        ("1 min 0 s", "1 min 0 s"),
        ("3 min 5 s", "3 min 5 s"),
        ("1 h 20 min", "1 h 20 min"),
    ];
    expect_texts(FORMATTED, &expected).await;
}

/// Texts of recipes, in the language of the page: short ones of selections and full ones.
const RECIPES: &str = "
    const { href } = document.querySelector('link[href$=\"/recipe-text.js\"]');
    const { recipeText, shortRecipeText } = await import(href);
    const short = (select) => shortRecipeText({ select, image: { format: 'png' } });
    const full = (recipe) => recipeText({ select: { every: 1 }, ...recipe });
    return [
        [1, '1/3', 0.5, '1001/30000', 5, '5/2'].map((every) => short({ every })),
        [
            { count: 1 }, { at: [1, 2] }, { keyframes: {} }, { scenes: { threshold: 0.5 } },
            { sharpest: { every: 1 } }, { sharpest: { every: '5/2' } },
        ].map(short),
        [
            { select: { count: 12 }, from: 10, image: { format: 'jpeg' } },
            { select: { at: [5] }, to: 70.5, image: { format: 'webp', quality: 50 } },
            { select: { at: [1, 2, 3, 4, 5, 6, 7, 8] }, image: { format: 'png' } },
            { select: { scenes: { threshold: 0.4, min_seconds: 2 } }, from: 1, to: 2 },
            { skip: { blank: true, repeated: true }, max_frames: 500 },
            { skip: { repeated: true }, sheet: { columns: 5, tile_width: 320 } },
            { image: { format: 'png', max_width: 640, max_height: 1, square_pixels: true } },
        ].map(full),
        [
            { select: { tomorrow: 1 } }, { select: { every: 1, at: [1] } }, { brightness: 2 },
            { image: { format: 'avif' } }, { image: { depth: 16 } }, { skip: { dark: true } },
            { select: { scenes: { mode: 'fast' } } },
        ].map(full),
    ].flat();";

#[tokio::test(flavor = "multi_thread")]
async fn describes_recipes_in_both_languages() {
    let expected = [
        ("1 frame per second, PNG", "1 quadro por segundo, PNG"),
        ("3 frames per second, PNG", "3 quadros por segundo, PNG"),
        ("2 frames per second, PNG", "2 quadros por segundo, PNG"),
        ("29.97 frames per second, PNG", "29,97 quadros por segundo, PNG"),
        ("1 frame every 5 seconds, PNG", "1 quadro a cada 5 segundos, PNG"),
        ("1 frame every 2.5 seconds, PNG", "1 quadro a cada 2,5 segundos, PNG"),
        ("1 frame in the middle of the video, PNG", "1 quadro no meio do vídeo, PNG"),
        ("2 chosen times, PNG", "2 momentos escolhidos, PNG"),
        ("key frames, PNG", "quadros-chave, PNG"),
        ("1 frame at each scene change, PNG", "1 quadro a cada mudança de cena, PNG"),
        ("the sharpest frame of each second, PNG", "o quadro mais nítido de cada segundo, PNG"),
        (
            "the sharpest frame of every 2.5 seconds, PNG",
            "o quadro mais nítido a cada 2,5 segundos, PNG",
        ),
        (
            "12 frames spread over the video, from 0:10, JPEG",
            "12 quadros distribuídos pelo vídeo, a partir de 0:10, JPEG",
        ),
        (
            "frame at 0:05, up to 1:10.5, WebP at quality 50",
            "quadro em 0:05, até 1:10,5, WebP com qualidade 50",
        ),
        (
            "frames at 0:01, 0:02, 0:03, 0:04, 0:05, 0:06, and 2 more, PNG",
            "quadros em 0:01, 0:02, 0:03, 0:04, 0:05, 0:06 e mais 2 momentos, PNG",
        ),
        (
            "1 frame at each scene change, with threshold 0.4, at least 2 s apart, \
             from 0:01 to 0:02, PNG",
            "1 quadro a cada mudança de cena, com limiar 0,4, com pelo menos 2 s entre eles, \
             de 0:01 a 0:02, PNG",
        ),
        (
            "1 frame per second, without blank or repeated frames, at most 500 frames, PNG",
            "1 quadro por segundo, sem quadros vazios nem repetidos, no máximo 500 quadros, PNG",
        ),
        (
            "1 frame per second, without repeated frames, PNG, with a contact sheet",
            "1 quadro por segundo, sem quadros repetidos, PNG, com folha de contato",
        ),
        (
            "1 frame per second, PNG, up to 640 pixels wide, up to 1 pixel high, \
             with square pixels",
            "1 quadro por segundo, PNG, até 640 pixels de largura, até 1 pixel de altura, \
             com pixels quadrados",
        ),
    ];
    let unknown = [("other options", "outras opções"); 7];
    expect_texts(RECIPES, &[&expected[..], &unknown].concat()).await;
}
