//! What a logout leaves in the browser: nothing about the user.

use serde_json::{Value, json};

use super::browser::{Browser, EMAIL, Preferences, SAMPLE_FRAMES};
use crate::harness::service::Service;

/// Everything that the page shows and stores in the browser, as text.
const EVERYTHING: &str = "
    const opening = indexedDB.open('fiapx', 1);
    const result = (request) => new Promise((resolve) => {
      request.onsuccess = () => resolve(request.result);
    });
    const database = await result(opening);
    const stored = await result(database.transaction('session').objectStore('session').getAll());
    database.close();
    const cached = async (name) => (await caches.open(name)).keys();
    return JSON.stringify([
      document.documentElement.outerHTML, document.title, location.href, history.state,
      Array.from(document.querySelectorAll('input, textarea'), (field) => field.value),
      { ...localStorage }, { ...sessionStorage }, document.cookie, stored,
      await Promise.all((await caches.keys()).map(cached)),
    ]);";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_user_is_left() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.upload_sample().await;
    browser.wait_for_count(".jobs [data-state=DONE]", 2).await;
    // The announcement about a deleted job names it.
    browser.click(".name").await;
    browser.click(".job-head .quiet:last-child").await;
    browser.click(".confirm .danger").await;
    browser.wait_for_count(".jobs [data-state=DONE]", 1).await;
    browser.open_sample().await;
    // So does an open question, while another tab logs out.
    browser.click(".job-head .quiet:last-child").await;
    browser.find(".confirm").await;
    let session = browser.js("return JSON.parse(localStorage.getItem('fiapx.session'))").await;
    let job = browser.js("return location.hash.split('/')[2]").await;
    let traces = [&session["access"], &session["refresh"], &job].map(|text| {
        text.as_str().filter(|text| text.len() > 30).expect("a token or an id").to_owned()
    });
    let before = browser.js_async(EVERYTHING).await.as_str().expect("a text").to_owned();
    let traces: Vec<&str> =
        traces.iter().map(String::as_str).chain([EMAIL, ">Ana<", "sample.mp4"]).collect();
    for trace in &traces {
        assert!(before.contains(trace), "the test does not see {trace}: {before}");
    }

    let first = browser.client.window().await.expect("the browser has a tab");
    let second = browser.client.new_window(true).await.expect("a tab can be opened").handle;
    browser.client.switch_to_window(second).await.expect("the tab is open");
    browser.goto("/").await;
    browser.click("#logout").await;
    for tab in [None, Some(first)] {
        if let Some(tab) = tab {
            browser.client.switch_to_window(tab).await.expect("the tab is open");
        }
        browser.find("form #password").await;
        let after = browser.js_async(EVERYTHING).await.as_str().expect("a text").to_owned();
        let left: Vec<&&str> = traces.iter().filter(|trace| after.contains(**trace)).collect();
        assert!(left.is_empty(), "left in the browser: {left:?}: {after}");
    }
    browser.client.back().await.expect("the browser can go back");
    browser.find("form #password").await;
    let shown: Value = browser.js("return document.querySelectorAll('.frames').length").await;
    assert_eq!(shown, json!(0), "{SAMPLE_FRAMES} frames are shown again");
}

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_are_released() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    browser.upload_sample().await;
    browser.open_sample().await;
    let thumbnail = browser.js("return document.querySelector('.frames img[src]').src").await;
    browser.click("#logout").await;
    browser.find("form #password").await;
    let loads = format!(
        "const image = new Image();
        image.src = {thumbnail};
        return image.decode().then(() => true, () => false);"
    );
    assert_eq!(browser.js_async(&loads).await, json!(false), "a thumbnail can still be shown");
}
