//! The list: live while videos are processed, and quick however long it is.

use std::time::Duration;

use database::accept::Video;
use database::{Database, Rules};
use jobs::{Clock, JobId, VideoFormat};
use serde_json::json;

use super::browser::{Browser, Taste};
use crate::harness::fixture;
use crate::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_as_it_happens_and_a_job_can_be_cancelled() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.register("ana@example.com").await;
    browser.choose(&[fixture("long/240_pictures.mp4")]).await;
    browser.until("document.querySelector('.jobs progress[value]')?.value > 0").await;
    browser.accessible("processing").await;
    browser.click(".name").await;
    browser.reads("The frames appear here when the archive is complete.").await;
    browser.until("document.querySelector('.job-status progress[value]')?.value > 0").await;
    browser.accessible("job_processing").await;
    browser.click(".job-head .quiet").await;
    browser.reads("Cancel the processing of").await;
    browser.accessible("question").await;
    browser.click(".ask .danger").await;
    browser.find(".job-head [data-state=CANCELLED]").await;
    browser.reads("There are no frames of this video.").await;
    browser.click(".job-head .quiet").await;
    browser.click(".ask .danger").await;
    browser.reads("No video yet").await;
    browser.content().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_scroll_smoothly() {
    const JOBS: usize = 1_000;
    let service = Service::start().await;
    let user = service.user().await;
    let owner = user.id.parse().expect("a user's id");
    // By a clock that is ahead, so that the workers are not invited before the story is over.
    let clock = Clock::default();
    clock.advance(Duration::from_hours(1));
    let file = service.directory.path().join("fiapx.db");
    let database =
        Database::sqlite(&file, clock, Rules::default()).await.expect("the database can be opened");
    for part in 0..JOBS / 500 {
        let video = |number: usize| {
            let (id, format) = (JobId::generate(), VideoFormat::Mp4);
            let filename = format!("film {}.mp4", part * 500 + number);
            Video {
                id,
                filename,
                format,
                path: format!("videos/{owner}/{id}/input.mp4"),
                size_bytes: 1,
                recipe: jobs::Recipe::default(),
            }
        };
        let videos: Vec<Video> = (0..500).map(video).collect();
        database.accept(owner, &videos, None, None).await.expect("they are accepted");
    }
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.log_in(&user.email).await;
    browser.reads("film 999.mp4").await;
    browser
        .js("window.longest = 0;
            new PerformanceObserver((seen) => seen.getEntries().forEach((task) => { window.longest = Math.max(window.longest, task.duration); }))
                .observe({ type: 'longtask', buffered: false });
            window.timer = setInterval(() => scrollBy(0, 1500), 50);")
        .await;
    browser.until("document.querySelectorAll('.jobs > li').length === 1000").await;
    browser.until("[...document.querySelectorAll('.name')].at(-1).getBoundingClientRect().top < innerHeight").await;
    browser.js("clearInterval(window.timer)").await;
    let longest = browser.js("return window.longest").await.as_f64().expect("a number");
    let elements = browser
        .js("return document.querySelectorAll('*').length")
        .await
        .as_u64()
        .expect("a number");
    println!("the longest task took {longest:.0} ms, among {elements} elements");
    assert!(elements < 25_000, "{elements} elements");
    // On a machine of the tests, which does other things besides: what is not smooth at all is
    // seconds away.
    assert!(longest < 1_000.0, "a task of {longest} ms");
    assert_eq!(
        browser.js("return [...document.querySelectorAll('.name')].at(-1).textContent").await,
        json!("film 0.mp4")
    );
    browser.shot("thousand").await;
    browser.content().await;
}
