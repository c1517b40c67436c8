//! Contact sheets in the browser's own player.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use frames::Options;
use serde_json::json;

use super::browser::{Browser, Preferences, Screen};
use crate::harness::clips::fixture;
use crate::harness::extraction::extract_and_read;
use crate::harness::service::Service;

/// Load a list as the metadata of a video element. Return its cues, with the part of the image that
/// each names and the size of that image.
const READ_CUES: &str = "
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const address = (text, type) => URL.createObjectURL(new Blob([bytes(text)], { type }));
    const image = new Image();
    image.src = address(SHEET, 'image/jpeg');
    await image.decode();
    const video = document.body.appendChild(document.createElement('video'));
    const track = video.appendChild(document.createElement('track'));
    track.kind = 'metadata';
    track.src = address(LIST, 'text/vtt');
    track.track.mode = 'hidden';
    await new Promise((loaded, failed) => {
      track.onload = loaded;
      track.onerror = () => failed(new Error('the list cannot be read'));
    });
    return [...track.track.cues].map((cue) => {
      const part = /^(.+)#xywh=(\\d+),(\\d+),(\\d+),(\\d+)$/.exec(cue.text);
      const [x, y, width, height] = part.slice(2).map(Number);
      const isInside = x + width <= image.naturalWidth && y + height <= image.naturalHeight;
      return [cue.startTime, cue.endTime, part[1], isInside];
    });";

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_reads_the_list_of_tiles() {
    let recipe = json!({
        "select": { "scenes": {} }, "sheet": { "columns": 2, "tile_width": 64 }
    });
    let recipe = serde_json::from_value(recipe).expect("a valid recipe");
    let options = Options { recipe, ..Options::default() };
    let archive = extract_and_read(&fixture("scenes/cuts.mp4"), &options).expect("a valid clip");
    let file = |name: &str| {
        let entry = archive.frames.iter().find(|(other, _)| other == name);
        json!(STANDARD.encode(&entry.expect("the archive has the file").1)).to_string()
    };
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.client.goto("about:blank").await.expect("the browser has an empty page");
    let script =
        READ_CUES.replace("SHEET", &file("sheet_00001.jpg")).replace("LIST", &file("sheets.vtt"));
    let cues = browser.js_async(&script).await;
    let starts = [0, 1, 3, 5, 6, 8, 9, 10];
    let expected: Vec<_> =
        starts.windows(2).map(|pair| json!([pair[0], pair[1], "sheet_00001.jpg", true])).collect();
    assert_eq!(cues, json!(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_shows_and_saves_its_contact_sheet() {
    for screen in [Screen::Desktop, Screen::Phone] {
        let service = Service::start().await;
        let preferences = Preferences { screen, ..Preferences::default() };
        let browser = Browser::registered(&service, preferences).await;
        browser.click(".options summary").await;
        browser.click("#option-sheet").await;
        browser.wait_for_text("1 frame per second, PNG, with a contact sheet").await;
        browser.upload_sample().await;
        browser.click("#uploads .clear").await;
        browser.open_sample().await;
        browser.click(".contact-sheets summary").await;
        browser.wait_until("document.querySelector('.sheets img')?.naturalWidth === 1600").await;
        let overflow = "return document.documentElement.scrollWidth > innerWidth";
        assert_eq!(browser.js(overflow).await, json!(false), "{screen:?}");
        browser.assert_accessible(&format!("contact_sheet_{screen:?}")).await;
        browser.click(".sheets a").await;
        // JPEG starts with the marker SOI (ITU-T T.81, B.1.1.3).
        let saved = browser.take_download("sample_sheet_00001.jpg").await;
        assert!(saved.starts_with(&[0xFF, 0xD8]));
        browser.assert_no_console_errors().await;
    }
}
