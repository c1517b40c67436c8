//! Frames of a job: in the API and in the gallery, without a download of the archive.

use futures_util::future::join_all;
use reqwest::header::{ACCEPT_RANGES, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::Browser;
use crate::harness::archive::{Archive, Pixels};
use crate::harness::client::User;
use crate::harness::clips::{clips, file_name};
use crate::harness::service::Service;

/// Fetch a frame or thumbnail, and return its content type and bytes.
async fn fetch(user: &User<'_>, path: &str) -> (String, Vec<u8>) {
    let response = user.request(Method::GET, path).send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let header = |name: &str| response.headers()[name].to_str().expect("it is text").to_owned();
    assert_eq!(header("cache-control"), "private, max-age=604800, immutable");
    assert_eq!(header("vary"), "Authorization");
    assert!(response.headers().get(ACCEPT_RANGES).is_none());
    let (content_type, length) = (header(CONTENT_TYPE.as_str()), header("content-length"));
    let bytes = response.bytes().await.expect("the response is complete").to_vec();
    assert_eq!(length, bytes.len().to_string());
    (content_type, bytes)
}

/// Contents of a job's archive.
struct Contents {
    /// The last page, without its frames.
    summary: Value,
    /// The frames of all pages.
    frames: Vec<Value>,
}

/// Fetch all pages of a job's frames.
async fn list(user: &User<'_>, job: &str, limit: usize) -> Contents {
    let (mut path, mut frames) = (format!("/jobs/{job}/frames?limit={limit}"), Vec::new());
    loop {
        let response = user.request(Method::GET, &path).send().await.expect("the service responds");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let next = response
            .headers()
            .get("link")
            .map(|link| link.to_str().expect("it is text").to_owned());
        let mut summary: Value = response.json().await.expect("the response is JSON");
        let Value::Array(page) = summary["frames"].take() else { panic!("no frames: {summary}") };
        assert!(page.len() <= limit);
        frames.extend(page);
        let Some(link) = next else { return Contents { summary, frames } };
        link.strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .expect("a link to the next page")
            .clone_into(&mut path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_the_frames_of_the_archive() {
    let service = Service::start().await;
    let user = service.user().await;
    for clip in [
        "good/h264_aac.mp4",
        "good/gap_of_four_seconds.mkv",
        "good/alpha16.mov",
        "good/gray.mp4",
        "good/shorter_than_half_a_second.mp4",
    ] {
        let job = user.upload_clip(clip).await;
        user.wait_until_done(&job).await;
        let archive = Archive::read(user.archive(&job).await).expect("the archive is valid");
        let Contents { summary, frames } = list(&user, &job, 3).await;
        assert_eq!(list(&user, &job, 1000).await.frames, frames, "{clip}");
        assert_eq!(frames.len(), archive.frames.len(), "{clip}");
        let manifest = &archive.manifest;
        for field in ["complete", "expected", "written", "missing"] {
            assert_eq!(summary[field], manifest[field], "{clip}");
        }
        for field in ["container", "codec", "duration_s", "width", "height", "pixel_format"] {
            assert_eq!(summary["video"][field], manifest["source"][field], "{clip}");
        }
        for ((frame, (name, bytes)), entry) in
            frames.iter().zip(&archive.frames).zip(archive.frame_entries())
        {
            let fields = ["number", "name", "timestamp_s", "width", "height", "length", "sha256"];
            for field in fields.into_iter().chain(["decode_errors"]) {
                assert_eq!(frame[field], entry[field], "{clip}");
            }
            assert_eq!(frame["name"], json!(name));
            let path = format!("/jobs/{job}/frames/{}", frame["number"]);
            let (content_type, content) = fetch(&user, &path).await;
            assert_eq!(content_type, "image/png");
            assert!(&content == bytes, "{clip}: {name} differs");
            let (content_type, thumbnail) = fetch(&user, &format!("{path}?width=32")).await;
            assert_eq!(content_type, "image/jpeg");
            assert!(thumbnail.len() < 4000, "{} bytes at 32 pixels", thumbnail.len());
        }
    }
}

/// Statuses of requests for thumbnails that a user makes at the same time.
async fn statuses_at_once(user: &User<'_>, job: &str, count: usize) -> Vec<StatusCode> {
    let requests = (0..count).map(|number| {
        let path = format!("/jobs/{job}/frames/1?width={}", 16 * (1 + number % 40));
        async move {
            let response = user.request(Method::GET, &path).send().await.expect("it responds");
            let status = response.status();
            assert_eq!(status.is_success(), response.headers().get("retry-after").is_none());
            response.bytes().await.expect("the response is complete");
            status
        }
    });
    join_all(requests).await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_thumbnails_at_once_keep_no_other_user_from_theirs() {
    let service = Service::with(|settings| settings.limits.reads_at_once = 3).await;
    let (greedy, modest) = (service.user().await, service.user().await);
    let mut jobs = Vec::new();
    for user in [&greedy, &modest] {
        let job = user.upload_clip("good/h264_aac.mp4").await;
        user.wait_until_done(&job).await;
        jobs.push(job);
    }
    let (many, few) = tokio::join!(
        statuses_at_once(&greedy, &jobs[0], 200),
        // As many as the gallery of the page.
        statuses_at_once(&modest, &jobs[1], 3),
    );
    assert_eq!(few, [StatusCode::OK; 3]);
    let limited = many.iter().filter(|status| **status == StatusCode::TOO_MANY_REQUESTS).count();
    assert!((1..200).contains(&limited), "{limited} of 200");
    assert!(many.iter().all(|status| status.is_success() || status.as_u16() == 429), "{many:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_the_page_leads_to_no_other_path_of_the_api() {
    const HOSTILE: &str = "/#/jobs/..%2F..%2Fauth%2Fme";
    let service = Service::start().await;
    let user = service.user().await;
    let browser = Browser::logged_in(&service, &user, HOSTILE).await;
    // A new document requests nothing but what the address leads to.
    browser.goto("/docs").await;
    browser.goto(HOSTILE).await;
    browser.wait_for_text("Page not found").await;
    let requested = "return performance.getEntriesByType('resource').map(({ name }) => name)";
    let requested = browser.js(requested).await.to_string();
    assert!(requested.contains("/main.js") && !requested.contains("/auth/me"), "{requested}");
}

/// Mean of each color channel and aspect ratio of the first thumbnail, as the browser decodes it.
const MEASURE_THUMBNAIL: &str = "
    const image = document.querySelector('.frames img[src]');
    const [width, height] = [image.naturalWidth, image.naturalHeight];
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const mean = (channel) => {
        const values = data.filter((_, index) => index % 4 === channel);
        return values.reduce((sum, value) => sum + value, 0) / values.length;
    };
    return { mean: [0, 1, 2].map(mean), ratio: width / height };";

#[tokio::test(flavor = "multi_thread")]
async fn thumbnails_look_like_their_frames() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip("good/h264_aac.mp4").await;
    user.wait_until_done(&job).await;
    let (_, frame) = fetch(&user, &format!("/jobs/{job}/frames/1")).await;
    let frame = Pixels::of(&frame).expect("the frame is a PNG");
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}/1")).await;
    browser.wait_until("document.querySelector('.frames img[src]')?.complete").await;
    let thumbnail = browser.js(MEASURE_THUMBNAIL).await;
    assert_eq!(frame.layout, "rgb24");
    let ratio = f64::from(frame.width) / f64::from(frame.height);
    let difference = thumbnail["ratio"].as_f64().expect("a number") - ratio;
    assert!(difference.abs() < 0.05, "{thumbnail}");
    for channel in 0..3 {
        let values = frame.bytes.iter().skip(channel).step_by(3).map(|value| f64::from(*value));
        let mean = values.sum::<f64>() / (frame.bytes.len() / 3) as f64;
        let seen = thumbnail["mean"][channel].as_f64().expect("a number");
        assert!((seen - mean).abs() < 4.0, "channel {channel}: {seen} instead of {mean}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gallery_shows_gaps_between_frames() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = clips("cut").into_iter().next().expect("there is a truncated clip");
    let job = user.upload_clip(&format!("cut/{}", file_name(&clip))).await;
    let view = user.wait_until_done(&job).await;
    assert_eq!(view["complete"], json!(false), "{} is complete", clip.display());
    let browser = Browser::logged_in(&service, &user, &format!("/#/jobs/{job}")).await;
    browser.wait_for_text("Missing frames").await;
    browser.find("[data-state=INCOMPLETE]").await;
    let Contents { summary, .. } = list(&user, &job, 1000).await;
    let gaps = summary["missing"].as_array().expect("a list").len();
    browser.wait_for_count(".frames .gap", gaps).await;
    browser.assert_accessible("incomplete").await;
    browser.assert_no_console_errors().await;
}
