//! Frames on the page of a job that is being processed.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::Browser;
use super::end_to_end::MEASURE_LAYOUT_SHIFT;
use crate::harness::clips::LONG;
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn frames_appear_while_a_video_is_processed() {
    let service = Service::with(|settings| settings.worker.concurrency = 1).await;
    let (user, neighbor) = (service.user().await, service.user().await);
    // The page is open before the processing begins.
    let blocking = neighbor.upload_endless().await;
    neighbor.wait_for(&blocking, &["PROCESSING"]).await;
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.js(MEASURE_LAYOUT_SHIFT).await;
    let job = user.upload_clip(LONG).await;
    browser.js(&format!("location.hash = '#/jobs/{job}'")).await;
    browser.find(".job-head [data-state=QUEUED]").await;
    assert_eq!(neighbor.delete(&format!("/videos/{blocking}")).await.0, StatusCode::OK);
    let may_leave = format!("You can leave this page: we will e-mail {}", user.email);
    browser
        .wait_until(&format!(
            "[...document.querySelectorAll('.previews img')].some((image) => image.naturalWidth)
                && document.body.textContent.includes('{may_leave}')"
        ))
        .await;
    let shift = browser.js("return window.shift").await.as_f64().expect("a number");
    // A cumulative layout shift of at most 0.1 is good (https://web.dev/articles/cls).
    assert!(shift < 0.1, "layout shift of {shift}");
    // The gallery takes their place.
    browser.find(".frames a img[src]").await;
    browser.wait_for_count(".previews", 0).await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn promises_only_the_mails_that_the_user_wants() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_endless().await;
    user.wait_for(&job, &["PROCESSING"]).await;
    for (mails, text) in [
        ("digest", "when the video is done"),
        ("failures", "if something goes wrong"),
        ("none", "processing continues"),
    ] {
        let change = user.request(Method::PATCH, "/auth/me").json(&json!({ "mails": mails }));
        let response = change.send().await.expect("the service responds");
        assert_eq!(response.status(), StatusCode::OK);
        let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
        browser.wait_for_text(text).await;
        browser.assert_accessible(&format!("processing_{mails}")).await;
        browser.assert_no_console_errors().await;
    }
    assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::OK);
}
