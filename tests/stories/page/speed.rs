//! Speed of the page with many jobs and with many frames.
//!
//! `make page-speed` measures 10,000 of each with strict limits, on a machine that does nothing
//! else. Without `PAGE_ITEMS`, there are fewer, and tasks may last longer, which leaves room for
//! other tests on the same machine.

use std::fs;

use serde_json::{Value, json};

use super::browser::{Browser, Preferences};
use crate::harness::client::{User, job_id};
use crate::harness::clips::scratch;
use crate::harness::programs::{output, tool};
use crate::harness::service::Service;

/// Largest sum of all shifts of the layout that the user did not cause.
const MAX_SHIFT: f64 = 0.02;

/// Measure the tasks of more than 50 ms (Long Tasks API) and the shifts of the layout (Layout
/// Instability API) from the start of the next document on.
const MEASURE: &str = "
    window.tasks = [];
    window.shift = 0;
    new PerformanceObserver((list) => {
        window.tasks.push(...list.getEntries().map(({ duration }) => duration));
    }).observe({ type: 'longtask', buffered: true });
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (!entry.hadRecentInput) window.shift += entry.value;
        }
    }).observe({ type: 'layout-shift', buffered: true });";

/// Measure when a selector first matches (`drawn`) and when the last task of more than 50 ms ends
/// (`busy`), in milliseconds since the start of the navigation.
fn measure_start(selector: &str) -> String {
    format!(
        "window.busy = 0;
        new PerformanceObserver((list) => {{
            for (const {{ startTime, duration }} of list.getEntries()) {{
                window.busy = startTime + duration;
            }}
        }}).observe({{ type: 'longtask', buffered: true }});
        new MutationObserver(() => {{
            if (document.querySelector('{selector}')) window.drawn ??= performance.now();
        }}).observe(document, {{ childList: true, subtree: true }});"
    )
}

/// Scroll down, as a user does who turns the wheel without a pause.
const START_SCROLLING: &str = "
    scrollTo(0, 0);
    window.timer = setInterval(() => scrollBy(0, 1500), 50);";

/// Items to show, and the longest task in milliseconds that is accepted.
fn load() -> (usize, f64) {
    match std::env::var("PAGE_ITEMS") {
        Ok(items) => (items.parse().expect("PAGE_ITEMS is a whole number"), 100.0),
        Err(_) => (1_000, 1_000.0),
    }
}

/// Wait until the page has at least this number of elements that match a selector.
async fn wait_for_at_least(browser: &Browser, selector: &str, count: usize) {
    // Each thousand has the time of one step.
    for count in (1_000..count).step_by(1_000).chain([count]) {
        let all = format!("document.querySelectorAll('{selector}').length >= {count}");
        browser.wait_until(&all).await;
    }
}

/// Print what was measured, and check it. The measurement begins again.
async fn check(browser: &Browser, what: &str, longest: f64) {
    let measured = browser
        .js("const measured = {
                tasks: window.tasks.splice(0),
                shift: window.shift,
                elements: document.querySelectorAll('*').length,
            };
            window.shift = 0;
            return measured;")
        .await;
    let tasks = measured["tasks"].as_array().expect("a list");
    let tasks: Vec<f64> = tasks.iter().filter_map(Value::as_f64).collect();
    let max = tasks.iter().copied().fold(0.0, f64::max);
    let over = tasks.iter().filter(|task| **task > 100.0).count();
    let shift = measured["shift"].as_f64().expect("a number");
    println!(
        "{what}: longest task {max:.0} ms, {over} of more than 100 ms, layout shift {shift:.4}, \
         {} elements",
        measured["elements"]
    );
    assert!(max <= longest, "{what}: a task of {max:.0} ms");
    assert!(shift < MAX_SHIFT, "{what}: a layout shift of {shift:.4}");
}

/// Open a path of the page as a user whose session is stored, and measure from its start on.
async fn open(service: &Service, user: &User<'_>, path: &str) -> Browser {
    let browser = Browser::open(service, Preferences::default()).await;
    browser.log_in(&user.email).await;
    browser.run_in_new_documents(MEASURE).await;
    // Another fragment of the same address would not load the page again.
    browser.client.goto("about:blank").await.expect("the address can be opened");
    browser.goto(path).await;
    browser
}

/// Check that the page is drawn and quiet soon after its start on a processor of a quarter of the
/// speed.
async fn expect_quick_start(browser: &Browser, path: &str, selector: &str) {
    let longest = if std::env::var("PAGE_ITEMS").is_ok() { 1_000.0 } else { 10_000.0 };
    browser.client.goto("about:blank").await.expect("the address can be opened");
    browser.run_in_new_documents(&measure_start(selector)).await;
    browser.devtools("Emulation.setCPUThrottlingRate", json!({ "rate": 4 })).await;
    browser.goto(path).await;
    // Interactive: no long task follows for a second.
    browser
        .wait_until("performance.now() > Math.max(window.drawn ?? Infinity, window.busy) + 1000")
        .await;
    let times = browser.js("return [window.drawn, window.busy]").await;
    browser.devtools("Emulation.setCPUThrottlingRate", json!({ "rate": 1 })).await;
    println!("{selector}: drawn and quiet after {times} ms");
    for time in times.as_array().expect("two times") {
        assert!(time.as_f64().expect("a time") <= longest, "{selector}: {times} ms");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_view_is_interactive_soon_on_a_slow_processor() {
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    expect_quick_start(&browser, "/", "#password").await;
    let names = (0..20).map(|number| format!("film {number}.mp4")).collect();
    service.insert_jobs(&user.id, names).await;
    browser.log_in(&user.email).await;
    expect_quick_start(&browser, "/", ".jobs > li").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_jobs_scrolls_and_is_searched() {
    let (jobs, longest) = load();
    let service = Service::start().await;
    let user = service.user().await;
    let names = (0..jobs).map(|number| format!("film {number}.mp4")).collect();
    service.insert_jobs(&user.id, names).await;
    let browser = open(&service, &user, "/").await;
    browser.wait_for_text(&format!("film {}.mp4", jobs - 1)).await;
    check(&browser, "list", longest).await;
    browser.js(START_SCROLLING).await;
    wait_for_at_least(&browser, ".jobs > li", jobs).await;
    let last = "[...document.querySelectorAll('.name')].at(-1)";
    browser.wait_until(&format!("{last}.getBoundingClientRect().top < innerHeight")).await;
    browser.js("clearInterval(window.timer)").await;
    check(&browser, "scrolled list", longest).await;
    assert_eq!(browser.js(&format!("return {last}.textContent")).await, json!("film 0.mp4"));
    let elements = browser.js("return document.querySelectorAll('*').length").await;
    let elements = elements.as_u64().expect("a number") as usize;
    assert!(elements < jobs * 25, "{elements} elements");
    browser.assert_no_console_errors().await;
}

/// A video with a frame per second, and this number of frames.
fn video(frames: usize) -> Vec<u8> {
    let directory = scratch();
    let path = directory.path().join("long.mp4");
    let source = format!("testsrc=size=160x90:rate=1:duration={frames}");
    let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"];
    output(
        tool("ffmpeg")
            .args(["-v", "error", "-nostdin", "-f", "lavfi", "-i", &source])
            .args(encoder)
            .arg(&path),
    )
    .expect("ffmpeg makes the video");
    fs::read(path).expect("the video can be read")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gallery_of_many_frames_scrolls_and_jumps() {
    let (frames, longest) = load();
    let service = Service::start().await;
    let user = service.user().await;
    let (_, accepted) = user.upload(&[("long.mp4", video(frames))]).await;
    let job = job_id(&accepted);
    let view = user.wait_until_done(&job).await;
    assert_eq!(view["frame_count"], json!(frames));
    let browser = open(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.find(".frames img[src]").await;
    check(&browser, "gallery", longest).await;
    let jump = format!(
        "const slider = document.querySelector('.scrubber input');
        slider.value = {frames};
        slider.dispatchEvent(new Event('input'));"
    );
    browser.js(&jump).await;
    wait_for_at_least(&browser, ".frames > li", frames).await;
    browser.find(&format!(".frames a[href$='/{frames}'] img[src]")).await;
    check(&browser, "gallery at its end", longest).await;
    browser.js(START_SCROLLING).await;
    browser.wait_until("scrollY + innerHeight >= document.documentElement.scrollHeight - 2").await;
    browser.js("clearInterval(window.timer)").await;
    check(&browser, "scrolled gallery", longest).await;
    browser.assert_no_console_errors().await;
}
