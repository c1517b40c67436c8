//! Options of the frames: what the user chooses is what is uploaded and shown.

use reqwest::Method;
use serde_json::{Value, json};

use super::browser::{Browser, Preferences, Screen};
use crate::harness::archive::Archive;
use crate::harness::client::fetch_json;
use crate::harness::service::Service;

/// Text of the summary of the options.
const SUMMARY: &str = "document.querySelector('.options summary .hint').textContent";

impl Browser {
    /// Choose a value of an option of frames, as a user does it.
    pub async fn choose_option(&self, name: &str, value: &str) {
        self.click(&format!("#option-{name} option[value={value}]")).await;
    }

    async fn expect_summary(&self, text: &str) {
        self.wait_until(&format!("{SUMMARY} === {}", json!(text))).await;
    }

    /// Errors that the options show, by the names of their fields.
    async fn option_errors(&self) -> Value {
        let script = "return Object.fromEntries([...document.querySelectorAll('[data-field]')]
            .map((row) => [row.dataset.field, row.querySelector('.error').innerText])
            .filter(([, error]) => error));";
        self.js(script).await
    }

    /// The job that was created last.
    async fn newest_job(&self, service: &Service) -> Value {
        let session = "return JSON.parse(localStorage.getItem('fiapx.session')).access";
        let token = self.js(session).await;
        let token = token.as_str().expect("the page has an access token");
        let request = service.request(Method::GET, "/videos?limit=1").bearer_auth(token);
        fetch_json(request).await.1[0].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_with_the_chosen_options_and_remembers_them() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.expect_summary("1 frame per second, PNG").await;
    browser.assert_accessible("options_closed").await;
    browser.click(".options summary").await;
    for hidden in ["count", "at", "quality"] {
        browser
            .wait_until(&format!("!document.querySelector('#option-{hidden}').offsetParent"))
            .await;
    }
    browser.choose_option("select", "count").await;
    browser.fill("#option-count", "3").await;
    browser.fill("#option-from", "0:01,5").await;
    browser.fill("#option-to", "8").await;
    browser.choose_option("format", "jpeg").await;
    browser.fill("#option-quality", "70").await;
    browser.fill("#option-max_width", "320").await;
    let summary = "3 frames spread over the video, from 0:01.5 to 0:08, JPEG at quality 70, \
                   up to 320 pixels wide";
    browser.expect_summary(summary).await;
    browser.assert_accessible("options_open").await;
    browser.upload_sample().await;
    browser.wait_for_text("3 frames spread over the video, JPEG · 3 frames · ZIP").await;
    let job = browser.newest_job(&service).await;
    let image = json!({ "format": "jpeg", "quality": 70, "max_width": 320 });
    let recipe = json!({ "select": { "count": 3 }, "from": 1.5, "to": 8, "image": image });
    assert_eq!(job["recipe"], recipe);

    browser.click(".name").await;
    browser.wait_for_count(".frames img[src]", 3).await;
    browser.wait_for_text(summary).await;
    browser.assert_accessible("job_recipe").await;
    browser.click(".job-head .primary").await;
    let archive = Archive::read(browser.take_download(".zip").await).expect("it is valid");
    for (name, bytes) in &archive.frames {
        // JPEG starts with the marker SOI (ITU-T T.81, B.1.1.3).
        assert!(name.contains(".jpg") && bytes.starts_with(&[0xFF, 0xD8]), "{name} is no JPEG");
    }

    // Another language and another visit.
    browser.click(".languages [lang=pt]").await;
    browser.goto("/").await;
    let summary = "3 quadros distribuídos pelo vídeo, de 0:01,5 a 0:08, JPEG com qualidade 70, \
                   até 320 pixels de largura";
    browser.expect_summary(summary).await;
    browser.click(".options summary").await;
    browser.wait_until("document.querySelector('#option-from').value === '0:01,5'").await;
    browser.assert_accessible("options_pt").await;
    browser.click(".options .quiet").await;
    browser.expect_summary("1 quadro por segundo, PNG").await;
    browser.goto("/").await;
    browser.expect_summary("1 quadro por segundo, PNG").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_selections_by_content() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.click(".options summary").await;
    for (selection, summary, select) in [
        ("scenes", "1 frame at each scene change", json!({ "scenes": { "threshold": 0.3 } })),
        ("keyframes", "key frames", json!({ "keyframes": {} })),
        (
            "sharpest",
            "the sharpest frame of every 5 seconds",
            json!({ "sharpest": { "every": 5 } }),
        ),
    ] {
        let capitalized = summary[..1].to_uppercase() + &summary[1..];
        browser.choose_option("select", selection).await;
        let shown = "document.querySelector('#option-every').offsetParent !== null";
        let takes_interval = selection == "sharpest";
        assert_eq!(browser.js(&format!("return {shown}")).await, json!(takes_interval));
        if takes_interval {
            browser.fill("#option-every", "5").await;
            browser.click("#option-blank").await;
            browser.click("#option-repeated").await;
            browser
                .expect_summary(&format!("{capitalized}, without blank or repeated frames, PNG"))
                .await;
            browser.assert_accessible("options_sharpest").await;
            browser.click("#option-blank").await;
            browser.click("#option-repeated").await;
        }
        browser.expect_summary(&format!("{capitalized}, PNG")).await;
        browser.choose_sample().await;
        browser.wait_for_text(&format!("{summary}, PNG · ")).await;
        let job = browser.newest_job(&service).await;
        let recipe = json!({ "select": select, "image": { "format": "png" } });
        assert_eq!(job["recipe"], recipe);
        browser.wait_for_count(".jobs [data-state=QUEUED], .jobs [data-state=PROCESSING]", 0).await;
    }
    browser.wait_for_count(".jobs [data-state=DONE]", 3).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_sends_no_recipe() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser
        .js("const { send } = XMLHttpRequest.prototype;
            window.parts = [];
            XMLHttpRequest.prototype.send = function (form) {
                window.parts.push([...form.keys()]);
                send.call(this, form);
            };")
        .await;
    browser.upload_sample().await;
    browser.click(".options summary").await;
    browser.fill("#option-every", "2.5").await;
    browser.choose_sample().await;
    browser.wait_for_text("1 frame every 2.5 seconds, PNG · 4 frames").await;
    let parts = browser.js("return window.parts").await;
    assert_eq!(parts, json!([["file"], ["recipe", "file"]]));
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_invalid_options_beside_their_fields() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.click(".options summary").await;
    browser.click("#option-every").await;
    browser.press("x").await;
    assert_eq!(browser.option_errors().await, json!({}), "while the value is typed");
    browser.fill("#option-from", "1:10").await;
    browser.fill("#option-to", "0:10").await;
    browser.fill("#option-max_width", "70000").await;
    browser.choose_option("format", "webp").await;
    browser.fill("#option-quality", "0").await;
    browser.click("h1").await;
    let errors = json!({
        "every": "Enter a number of seconds above zero, like 2, 0.5 or 1/3.",
        "to": "The end has to be after the start.",
        "quality": "Enter a whole number from 1 to 100.",
        "max_width": "Enter a whole number from 1 to 65,535.",
    });
    assert_eq!(browser.option_errors().await, errors);
    browser.expect_summary("A value needs to be corrected").await;
    browser.assert_accessible("options_invalid").await;

    // Files that are chosen nevertheless are not sent, and the closed options open.
    browser.click(".options summary").await;
    browser.choose_sample().await;
    browser.wait_for_text("Correct the frame options, and choose the videos again.").await;
    browser.wait_until("document.querySelector('.options').open").await;
    browser.wait_until("document.activeElement.id === 'option-every'").await;
    browser.wait_for_count("#uploads li", 0).await;

    browser.choose_option("select", "at").await;
    browser.fill("#option-at", "0:05, 1:02.5; 7 x").await;
    browser.fill("#option-to", "").await;
    browser.fill("#option-from", "").await;
    browser.fill("#option-quality", "").await;
    browser.fill("#option-max_width", "").await;
    browser.click("h1").await;
    let at = "“x” is not a time in the video. Use seconds, like 62.5, or minutes and seconds, like \
              1:02.5.";
    assert_eq!(browser.option_errors().await, json!({ "at": at }));
    browser.fill("#option-at", "0:05, 1.5; 7").await;
    browser.expect_summary("Frames at 0:01.5, 0:05, and 0:07, WebP").await;
    assert_eq!(browser.option_errors().await, json!({}));
    browser.upload_sample().await;
    browser.wait_for_text("3 chosen times, WebP · 3 frames").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ignores_what_it_cannot_remember() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    for garbage in [
        "{",
        "null",
        "[]",
        "7",
        r#"{"select":{"every":{}}}"#,
        r#"{"select":{"at":[null,{}]},"image":{"format":"png"}}"#,
        r#"{"select":{"every":1,"count":2},"image":{"format":"png"}}"#,
        r#"{"select":{"every":1},"image":{"format":"bmp"}}"#,
        r#"{"select":{"every":1},"from":{"a":1},"image":null}"#,
        r#"{"select":{"every":1},"image":{"format":"jpeg","quality":900}}"#,
        r#"{"select":{"tomorrow":{}},"image":{"format":"png"}}"#,
    ] {
        browser.js(&format!("localStorage.setItem('fiapx.recipe', {})", json!(garbage))).await;
        browser.goto("/#/state/DONE").await;
        browser.client.refresh().await.expect("the page can be reloaded");
        browser.expect_summary("1 frame per second, PNG").await;
        browser.assert_no_console_errors().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_that_the_service_rejects_is_explained() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser
        .js("const { append } = FormData.prototype;
            FormData.prototype.append = function (name, ...values) {
                if (name === 'file') append.call(this, 'recipe', '{\"select\":{\"at\":[-1]}}');
                append.call(this, name, ...values);
            };")
        .await;
    browser.choose_sample().await;
    browser.find("#uploads [data-state=rejected]").await;
    browser.wait_for_text("Options: This is not a time in the video. Use seconds").await;
    browser.click(".languages [lang=pt]").await;
    browser.wait_for_text("Opções: Este não é um momento do vídeo. Use segundos").await;
    browser.assert_accessible("recipe_rejected").await;
    browser.wait_for_text("Nenhum vídeo ainda").await;
    browser.assert_no_console_errors().await;
}

/// Deny all storage, as a browser does that blocks cookies.
const DENY_STORAGE: &str = "
    for (const name of ['localStorage', 'indexedDB']) {
        Object.defineProperty(window, name, {
            get() { throw new DOMException('Access is denied.', 'SecurityError'); },
        });
    }";

#[tokio::test(flavor = "multi_thread")]
async fn works_without_storage() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.run_in_new_documents(DENY_STORAGE).await;
    browser.client.refresh().await.expect("the page can be reloaded");
    browser.register("ana@example.com").await;
    browser.click(".options summary").await;
    browser.choose_option("format", "webp").await;
    browser.expect_summary("1 frame per second, WebP").await;
    browser.click(".languages [lang=pt]").await;
    browser.expect_summary("1 quadro por segundo, WebP").await;
    browser.upload_sample().await;
    browser.wait_for_text("1 quadro por segundo, WebP · 10 quadros").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn options_fit_on_a_phone_and_in_the_dark() {
    let service = Service::start().await;
    let phone = Preferences { screen: Screen::Phone, languages: "pt-BR", dark: false };
    let dark = Preferences { dark: true, ..Preferences::default() };
    for (name, preferences) in [("phone", phone), ("dark", dark)] {
        let browser = Browser::open(&service, preferences).await;
        browser.register(&format!("{name}@example.com")).await;
        browser.assert_accessible(&format!("{name}_options_closed")).await;
        browser.click(".options summary").await;
        browser.choose_option("select", "at").await;
        browser.choose_option("format", "jpeg").await;
        browser.fill("#option-at", "0:02 0:05").await;
        browser.fill("#option-max_width", "0").await;
        browser.click("h1").await;
        browser.assert_accessible(&format!("{name}_options")).await;
        browser.fill("#option-max_width", "640").await;
        browser.upload_sample().await;
        browser.assert_accessible(&format!("{name}_options_list")).await;
        browser.click("#uploads .clear").await;
        browser.click(".name").await;
        browser.wait_for_count(".frames img[src]", 2).await;
        browser.assert_accessible(&format!("{name}_options_job")).await;
        browser.assert_no_console_errors().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_in_a_recipe_has_a_text_in_both_languages() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    let script = "
        const { href } = document.querySelector('link[href$=\"/problems.js\"]');
        const { PROBLEMS } = await import(href);
        const { components } = await (await fetch('/openapi.json')).json();
        const codes = components.schemas.RecipeErrorCode.enum;
        const text = (code, language) => {
            const text = PROBLEMS[code]?.[language];
            return typeof text === 'function' ? text({}) : text;
        };
        const lacking = codes.filter((code) =>
            !text(code, 0) || !text(code, 1) || text(code, 0) === text(code, 1));
        return { lacking, checked: codes.length };";
    let result = browser.js_async(script).await;
    assert_eq!(result["lacking"], json!([]));
    assert!(result["checked"].as_u64() > Some(10), "{result}");
    browser.assert_no_console_errors().await;
}
