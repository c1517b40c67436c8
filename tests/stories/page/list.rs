//! List of videos: live progress and cancellation.

use reqwest::header::ACCEPT_LANGUAGE;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, EMAIL, Preferences};
use crate::harness::client::{fetch_json, job_id};
use crate::harness::clips::{
    ONE_FRAME, SHORT, clips, file_name, scratch, with_decoder_command_from,
};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn tells_missing_frames_from_damage() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = clips("cut").into_iter().next().expect("there is a truncated clip");
    let job = user.upload_clip(&format!("cut/{}", file_name(&clip))).await;
    let view = user.wait_until_done(&job).await;
    let (count, expected) = (&view["frame_count"], &view["progress"]["expected"]);
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.find(".jobs [data-state=INCOMPLETE]").await;
    browser.wait_for_text(&format!("{count} of {expected} frames")).await;
    // The same archive, as if only pictures in it were damaged.
    service.execute_sql("UPDATE jobs SET progress_expected = frame_count");
    browser.goto("/#/account").await;
    browser.goto("/#/").await;
    browser.find(".jobs [data-state=DAMAGED]").await;
    browser.wait_for_text("Damaged").await;
    browser.wait_for_text(&format!("{count} frames")).await;
    assert_eq!(
        browser.js("return document.querySelector('[data-state=INCOMPLETE]')").await,
        json!(null)
    );
    // What was found is in the language of the page.
    browser.click(".languages [lang=pt]").await;
    browser.click(".name").await;
    let (_, translated) = fetch_json(
        user.request(Method::GET, &format!("/videos/{job}")).header(ACCEPT_LANGUAGE, "pt"),
    )
    .await;
    let warning = translated["warnings"][0].as_str().expect("a warning");
    browser.wait_for_text(warning).await;
    assert_eq!(
        browser.js("return document.querySelector('.job-warnings [lang]')").await,
        json!(null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shows_progress_and_cancels_and_deletes_a_job() {
    let service = Service::start().await;
    let browser = Browser::registered(&service, Preferences::default()).await;
    // Two of its four frames are extracted, and then it is processed until it is cancelled.
    let directory = scratch();
    let clip = directory.path().join("endless.avi");
    std::fs::write(&clip, with_decoder_command_from(60, "spins")).expect("it can be written");
    browser.choose(&[clip]).await;
    browser.wait_until("document.querySelector('.jobs progress[value]')?.value > 0").await;
    browser.assert_accessible("processing").await;
    browser.click(".name").await;
    browser.wait_for_text("Some frames already appear here during processing.").await;
    let leave = format!("You can leave this page: we will e-mail {EMAIL}");
    browser.wait_for_text(&leave).await;
    browser.wait_until("document.querySelector('.job-status progress[value]')?.value > 0").await;
    browser.assert_accessible("job_processing").await;
    browser.click(".job-head .quiet").await;
    browser.wait_for_text("Cancel processing “").await;
    browser.assert_accessible("confirmation").await;
    browser.click(".confirm .danger").await;
    browser.find(".job-head [data-state=CANCELLED]").await;
    browser.wait_for_text("No frames were extracted.").await;
    browser.click(".job-head .quiet:last-child").await;
    browser.click(".confirm .danger").await;
    browser.wait_for_text("No videos yet").await;
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finishes_before_its_cancellation_is_kept() {
    let service = Service::with(|settings| settings.worker.concurrency = 1).await;
    let (neighbor, user) = (service.user().await, service.user().await);
    let browser = Browser::logged_in(&service, &user, "/").await;
    for (path, button, name) in [
        ("/", ".jobs .round[title='Cancel processing']", "list_kept"),
        ("/#/jobs/", ".job-head .quiet", "job_kept"),
    ] {
        // The job waits for one that is processed until it is cancelled.
        let endless = ("endless.avi", with_decoder_command_from(60, "spins"));
        let (status, blocking) = neighbor.upload(&[endless]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{blocking}");
        let blocking = job_id(&blocking);
        neighbor.wait_for_first_frames(&blocking).await;
        let job = user.upload_clip(SHORT).await;
        let path = if path == "/" { path.to_owned() } else { format!("{path}{job}") };
        browser.goto(&path).await;
        browser.client.refresh().await.expect("the page can be reloaded");
        browser.click(button).await;
        browser.wait_for_text("Cancel processing “").await;
        assert_eq!(neighbor.delete(&format!("/videos/{blocking}")).await.0, StatusCode::OK);
        user.wait_until_done(&job).await;
        browser.click(".confirm .danger").await;
        browser.wait_for_text("Processing was already finished, so nothing was cancelled.").await;
        browser.find("main [data-state=DONE]").await;
        browser.assert_accessible(name).await;
        assert_eq!(user.get(&format!("/videos/{job}")).await.1["status"], "DONE");
        assert!(!user.archive(&job).await.is_empty());
    }
    browser.assert_no_console_errors().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_recipes_of_later_versions() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    service.execute_sql(r#"UPDATE jobs SET recipe = '{"select":{"tomorrow":{"hours":3}}}'"#);
    let browser = Browser::logged_in(&service, &user, "/").await;
    browser.wait_for_text("other options · 1 frame").await;
    browser.click(".name").await;
    browser.wait_for_text("Other options").await;
    browser.wait_for_count(".frames img[src]", 1).await;
    browser.click(".languages [lang=pt]").await;
    browser.wait_for_text("Outras opções").await;
    browser.assert_no_console_errors().await;
}
