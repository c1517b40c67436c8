//! Selection of frames in the gallery, and the download of these only.

use serde_json::json;

use super::browser::{Browser, Preferences, SAMPLE_FRAMES, Screen};
use crate::harness::archive::Archive;
use crate::harness::clips::{LONG, fixture};
use crate::harness::service::Service;

/// Check marks that are set.
const MARKED: &str = "document.querySelectorAll('.frames .mark:checked').length";

impl Browser {
    /// Click the check mark of a frame, in the middle of the window: the bar covers its end.
    async fn mark(&self, number: usize) {
        let selector = format!(".frames li:has(> a[href$='/{number}']) .mark");
        self.find(&selector).await;
        let mark = format!("document.querySelector(\"{selector}\")");
        self.js(&format!("{mark}.scrollIntoView({{ block: 'center' }})")).await;
        self.click(&selector).await;
    }

    /// Click the check mark of a frame with the shift key.
    async fn mark_up_to(&self, number: usize) {
        let click = "new MouseEvent('click', { bubbles: true, shiftKey: true })";
        let mark = format!("document.querySelectorAll('.frames .mark')[{}]", number - 1);
        self.js(&format!("{mark}.dispatchEvent({click})")).await;
    }

    /// Numbers of the frames in the next download whose name ends with `suffix`.
    async fn downloaded_numbers(&self, suffix: &str) -> Vec<u64> {
        let archive = Archive::read(self.take_download(suffix).await).expect("it is valid");
        let numbers = archive.frame_entries().iter().map(|entry| entry["number"].as_u64());
        numbers.map(|number| number.expect("a number")).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_the_selected_frames_only() {
    for screen in [Screen::Desktop, Screen::Phone] {
        let service = Service::start().await;
        let preferences = Preferences { screen, ..Preferences::default() };
        let browser = Browser::registered(&service, preferences).await;
        browser.upload_sample().await;
        browser.open_sample().await;
        browser.wait_for_count(".frames .mark", SAMPLE_FRAMES).await;
        browser.wait_until("document.querySelector('.frame-selection').hidden").await;

        browser.mark(1).await;
        browser.wait_for_text("1 frame selected").await;
        browser.mark(4).await;
        browser.mark_up_to(6).await;
        browser.wait_for_text("4 frames selected").await;
        browser.wait_until(&format!("{MARKED} === 4")).await;
        let overflow = "return document.documentElement.scrollWidth > innerWidth";
        assert_eq!(browser.js(overflow).await, json!(false), "{screen:?}");
        browser.assert_accessible(&format!("frame_selection_{screen:?}")).await;
        browser.click("#download-frames").await;
        assert_eq!(browser.downloaded_numbers("_selected.zip").await, [1, 4, 5, 6]);

        // A range is also taken back at once.
        browser.mark(4).await;
        browser.mark_up_to(6).await;
        browser.wait_for_text("1 frame selected").await;

        // All frames are the whole archive.
        browser.click("#select-all").await;
        browser.wait_for_text("10 frames selected").await;
        browser.click("#download-frames").await;
        let all: Vec<u64> = (1..=SAMPLE_FRAMES as u64).collect();
        assert_eq!(browser.downloaded_numbers("sample.zip").await, all);
        browser.click("#clear-frames").await;
        browser.wait_until(&format!("{MARKED} === 0")).await;
        browser.wait_until("document.querySelector('.frame-selection').hidden").await;
        browser.wait_until("document.activeElement.matches('.mark')").await;
        browser.assert_no_console_errors().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_selected_with_the_keyboard() {
    let service = Service::start().await;
    let preferences = Preferences { languages: "pt-BR", ..Preferences::default() };
    let browser = Browser::registered(&service, preferences).await;
    browser.upload_sample().await;
    browser.open_sample().await;
    browser.wait_for_count(".frames .mark", SAMPLE_FRAMES).await;
    browser.js("document.querySelector('.frames li:nth-child(3) .mark').focus()").await;
    browser.press(" ").await;
    browser.wait_for_text("1 quadro selecionado").await;
    // Each frame has a link and a check mark.
    browser.press("\u{E004}\u{E004}").await;
    browser.press(" ").await;
    browser.wait_for_text("Baixar 2 quadros").await;
    let label = "return document.activeElement.getAttribute('aria-label')";
    assert_eq!(browser.js(label).await, json!("Selecionar o quadro 4, em 0:03,467"));
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_frames_of_a_long_list_are_selected() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.choose(&[fixture(LONG)]).await;
    browser.find(".jobs [data-state=DONE]").await;
    browser.click("#uploads .clear").await;
    browser.click(".name").await;
    browser.mark(2).await;
    browser.click("#select-all").await;
    // The first page of the list has 120 frames.
    browser.wait_for_text("240 frames selected").await;
    browser.js("document.querySelectorAll('.frames .mark')[119].click()").await;
    browser.wait_for_text("239 frames selected").await;
    browser.click("#download-frames").await;
    let expected: Vec<u64> = (1..=240).filter(|number| *number != 120).collect();
    assert_eq!(browser.downloaded_numbers("_selected.zip").await, expected);
    browser.assert_no_console_errors().await;
}
