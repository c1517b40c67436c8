//! Frames by the interface: what the archive holds, without fetching it.

use reqwest::header::{ACCEPT_RANGES, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::browser::{Browser, Taste};
use crate::harness::archive::{Archive, Pixels};
use crate::harness::client::User;
use crate::harness::service::Service;

/// Content type and bytes of a frame.
async fn frame(user: &User<'_>, path: &str) -> (String, Vec<u8>) {
    let response = user.request(Method::GET, path).send().await.expect("the service answers");
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let told = |name: &str| response.headers()[name].to_str().expect("it is text").to_owned();
    assert_eq!(told("cache-control"), "private, max-age=604800, immutable");
    assert_eq!(told("vary"), "Authorization");
    assert!(response.headers().get(ACCEPT_RANGES).is_none());
    let (kind, length) = (told(CONTENT_TYPE.as_str()), told("content-length"));
    let bytes = response.bytes().await.expect("it comes whole").to_vec();
    assert_eq!(length, bytes.len().to_string());
    (kind, bytes)
}

/// All frames of a job, turned over page by page.
async fn listed(user: &User<'_>, job: &str, limit: usize) -> (Value, Vec<Value>) {
    let (mut path, mut frames) = (format!("/jobs/{job}/frames?limit={limit}"), Vec::new());
    loop {
        let response = user.request(Method::GET, &path).send().await.expect("the service answers");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        let next = response
            .headers()
            .get("link")
            .map(|link| link.to_str().expect("it is text").to_owned());
        let mut page: Value = response.json().await.expect("answers are JSON");
        let Value::Array(on_page) = page["frames"].take() else { panic!("{page} has no frames") };
        assert!(on_page.len() <= limit);
        frames.extend(on_page);
        let Some(link) = next else { return (page, frames) };
        link.strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .expect("a link")
            .clone_into(&mut path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_frame_is_the_one_in_the_archive() {
    let service = Service::start().await;
    let user = service.user().await;
    let clips = [
        "good/h264_aac.mp4",
        "good/gap_of_four_seconds.mkv",
        "good/alpha16.mov",
        "good/gray.mp4",
        "good/shorter_than_half_a_second.mp4",
    ];
    for clip in clips {
        let job = user.upload_clip(clip).await;
        user.wait_until_done(&job).await;
        let archive = Archive::read(user.archive(&job).await).expect("it is whole");
        let (page, frames) = listed(&user, &job, 3).await;
        assert_eq!(listed(&user, &job, 1000).await.1, frames, "{clip}");
        assert_eq!(frames.len(), archive.frames.len(), "{clip}");
        let source = &archive.manifest["source"];
        for (ours, theirs) in [
            ("complete", "complete"),
            ("expected", "expected"),
            ("written", "written"),
            ("missing", "missing"),
        ] {
            assert_eq!(page[ours], archive.manifest[theirs], "{clip}");
        }
        for same in ["container", "codec", "duration_s", "width", "height", "pixel_format"] {
            assert_eq!(page["video"][same], source[same], "{clip}");
        }
        for ((listed, (name, bytes)), image) in
            frames.iter().zip(&archive.frames).zip(archive.frame_entries())
        {
            for same in [
                "number",
                "name",
                "timestamp_s",
                "width",
                "height",
                "length",
                "sha256",
                "decode_errors",
            ] {
                assert_eq!(listed[same], image[same], "{clip}");
            }
            assert_eq!(listed["name"], json!(name));
            let path = format!("/jobs/{job}/frames/{}", listed["number"]);
            let (kind, whole) = frame(&user, &path).await;
            assert!((kind.as_str(), &whole) == ("image/png", bytes), "{clip}: {name} differs");
            let (kind, small) = frame(&user, &format!("{path}?width=32")).await;
            assert_eq!(kind, "image/jpeg");
            assert!(small.len() < 4000, "{} bytes at 32 pixels", small.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_frames_look_like_the_large_ones() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip("good/h264_aac.mp4").await;
    user.wait_until_done(&job).await;
    let (_, whole) = frame(&user, &format!("/jobs/{job}/frames/1")).await;
    let whole = Pixels::of(&whole).expect("it is a PNG");
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.log_in(&user.email).await;
    browser.goto(&format!("/#/jobs/{job}/1")).await;
    browser.until("document.querySelector('.sheet img[src]')?.complete").await;
    // The mean of each colour, as the browser sees it in the small one.
    let seen = browser
        .js("const image = document.querySelector('.sheet img[src]');
            const canvas = Object.assign(document.createElement('canvas'), { width: image.naturalWidth, height: image.naturalHeight });
            const context = canvas.getContext('2d');
            context.drawImage(image, 0, 0);
            const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
            const mean = [0, 1, 2].map((colour) => data.filter((_, at) => at % 4 === colour).reduce((sum, value) => sum + value, 0) / (data.length / 4));
            return { mean, ratio: canvas.width / canvas.height };")
        .await;
    assert_eq!(whole.layout, "rgb24");
    let ratio = f64::from(whole.width) / f64::from(whole.height);
    assert!((seen["ratio"].as_f64().expect("a number") - ratio).abs() < 0.05, "{seen}");
    for colour in 0..3 {
        let values = whole.bytes.iter().skip(colour).step_by(3).map(|value| f64::from(*value));
        let mean = values.sum::<f64>() / (whole.bytes.len() / 3) as f64;
        let small = seen["mean"][colour].as_f64().expect("a number");
        assert!((small - mean).abs() < 4.0, "colour {colour}: {small} instead of {mean}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_are_shown_where_they_are() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = crate::harness::clips::clips("cut").into_iter().next().expect("there is one");
    let name = clip.file_name().expect("it has a name").to_string_lossy().into_owned();
    let job = user.upload_clip(&format!("cut/{name}")).await;
    let view = user.wait_until_done(&job).await;
    assert_eq!(view["complete"], json!(false), "{name} is whole");
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.log_in(&user.email).await;
    browser.goto(&format!("/#/jobs/{job}")).await;
    browser.reads("What is missing").await;
    browser.find("[data-state=INCOMPLETE]").await;
    let (page, _) = listed(&user, &job, 1000).await;
    let gaps = page["missing"].as_array().expect("a list").len();
    browser.until(&format!("document.querySelectorAll('.sheet .gap').length === {gaps}")).await;
    browser.accessible("incomplete").await;
    browser.content().await;
}
