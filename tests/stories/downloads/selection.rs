//! Archives of selected frames.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Download, error_of, follow, header, url};
use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::{User, fetch_json, form};
use crate::harness::clips::{ONE_FRAME, SHORT, WRONG};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::root;
use crate::harness::service::Service;

/// Frames of `fixtures/sample.mp4`, which lasts ten seconds.
const FRAMES: u64 = 10;

/// Upload the sample, and wait until its job is done.
async fn upload_sample(user: &User<'_>) -> String {
    let bytes = std::fs::read(root().join("fixtures/sample.mp4")).expect("the sample exists");
    let form = form(&[("praia.mp4", bytes)]);
    let request = user.request(Method::POST, "/videos/upload").multipart(form);
    let (status, accepted) = fetch_json(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_until_done(&job).await;
    job
}

/// Request the archive of frames of a job.
async fn select(user: &User<'_>, job: &str, frames: &str) -> Download {
    let path = format!("/jobs/{job}/archive?frames={frames}");
    let response = user.request(Method::GET, &path).send().await.expect("the service responds");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("the response completes").to_vec();
    Download { status, headers, body }
}

/// Check that an archive has the frames of the whole one with these numbers, and nothing else.
fn expect_frames(archive: &Archive, whole: &Archive, numbers: &[u64], text: &str) {
    let entries = |of: &Archive| of.frame_entries().to_vec();
    let is_selected =
        |entry: &Value| entry["number"].as_u64().is_some_and(|number| numbers.contains(&number));
    let selected: Vec<Value> = entries(whole).into_iter().filter(is_selected).collect();
    assert_eq!(selected.len(), numbers.len());
    let files = whole.frames.iter().filter(|(name, _)| {
        selected.iter().any(|entry| entry["name"].as_str() == Some(name.as_str()))
    });
    assert!(archive.frames.iter().eq(files), "the files of {text} differ");
    for (mut entry, mut expected) in entries(archive).into_iter().zip(selected) {
        let [offset, length] =
            ["offset", "length"].map(|name| entry[name].as_u64().expect("a number") as usize);
        let file = &archive.bytes[offset..offset + length];
        let name = entry["name"].as_str().expect("a name");
        assert!(archive.frames.iter().any(|(other, bytes)| other == name && bytes == file));
        for entry in [&mut entry, &mut expected] {
            entry["offset"] = Value::Null;
        }
        assert_eq!(entry, expected);
    }
    let (manifest, count) = (&archive.manifest, numbers.len() as u64);
    assert_eq!(
        [&manifest["expected"], &manifest["written"], &manifest["complete"]],
        [&json!(count), &json!(count), &json!(true)]
    );
    assert_eq!(manifest["selected"], json!({ "numbers": text, "left_out": FRAMES - count }));
    for same in ["source", "recipe", "engine", "manifest_version"] {
        assert_eq!(manifest[same], whole.manifest[same], "{same}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_archive_has_the_selected_frames_only(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = upload_sample(&user).await;
    let whole = Archive::read(user.archive(&job).await).expect("a valid archive");
    let cases: [(&str, &[u64], &str); 4] = [
        ("1,5,7-9", &[1, 5, 7, 8, 9], "1,5,7-9"),
        ("10,2,2-3", &[2, 3, 10], "2-3,10"),
        ("4", &[4], "4"),
        ("1-10", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "1-10"),
    ];
    for (frames, numbers, text) in cases {
        let download = select(&user, &job, frames).await;
        assert_eq!(download.status, StatusCode::OK, "{frames}");
        let headers = ["content-type", "content-length", "content-disposition"]
            .map(|name| download.header(name));
        let expected = [
            "application/zip".to_owned(),
            download.body.len().to_string(),
            storage::content_disposition("praia_selected.zip"),
        ];
        assert_eq!(headers, expected);
        let archive = Archive::read(download.body).expect("a valid archive");
        expect_frames(&archive, &whole, numbers, text);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_the_selected_frames_until_it_expires(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let (job, other) = (upload_sample(&user).await, user.upload_clip(ONE_FRAME).await);
    user.wait_until_done(&other).await;
    let link = async |job: &str, frames: &str| {
        let (status, link) = user.get(&format!("/jobs/{job}/download?frames={frames}")).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        link
    };
    let opened = link(&job, "3,6-7").await;
    let (other, opened_url) = (url(&link(&other, "1").await), url(&opened));
    assert!(opened_url.starts_with(&format!("{}/files/selection?token=", service.base())));
    let download = follow(&service, &opened_url, &[]).await;
    assert_eq!(download.status, StatusCode::OK);
    assert_eq!(
        [&opened["expires_in"], &opened["filename"], &opened["size_bytes"]],
        [&json!(900), &json!("praia_selected.zip"), &json!(download.body.len())]
    );
    assert_eq!(download.body, select(&user, &job, "3,6-7").await.body);

    let token = |url: &str| url.split_once("token=").expect("a token").1.to_owned();
    let parts = |url: &str| token(url).split('.').map(str::to_owned).collect::<Vec<_>>();
    let (own, others) = (parts(&opened_url), parts(&other));
    for tampered in [
        format!("{}.{}.{}", own[0], others[1], own[2]),
        format!("{}.{}.{}", own[0], own[1], others[2]),
        format!("{}.{}.", own[0], own[1]),
        user.access.clone(),
        String::new(),
    ] {
        let url = opened_url.replace(&token(&opened_url), &tampered);
        assert_eq!(error_of(&service, &url).await, (403, json!("LINK_INVALID")), "{tampered}");
    }
    // The token of a link is no access token.
    let request = service.request(Method::GET, "/videos").bearer_auth(token(&opened_url));
    let (status, problem) = fetch_json(request).await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("TOKEN_INVALID")));

    service.advance(Duration::from_secs(890));
    assert_eq!(follow(&service, &opened_url, &[]).await.status, StatusCode::OK);
    service.advance(Duration::from_secs(20));
    assert_eq!(error_of(&service, &opened_url).await, (410, json!("LINK_EXPIRED")));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn wrong_selections_are_explained(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let job = upload_sample(&user).await;
    let many = (1..=1001).map(|_| "1").collect::<Vec<_>>().join(",");
    for (frames, status, code, part) in [
        ("", 400, "INVALID_PARAMETER", "`1,5,9-12`"),
        ("x", 400, "INVALID_PARAMETER", "`x`"),
        ("0", 400, "INVALID_PARAMETER", "`0`"),
        ("5-2", 400, "INVALID_PARAMETER", "`5-2`"),
        ("1,,2", 400, "INVALID_PARAMETER", "neither"),
        (many.as_str(), 400, "INVALID_PARAMETER", "more than 1000"),
        ("1,11", 404, "FRAME_NOT_FOUND", "no frame 11"),
        ("8-12", 404, "FRAME_NOT_FOUND", "no frame 12"),
    ] {
        for operation in ["archive", "download"] {
            // An empty optional parameter may count as absent.
            if frames.is_empty() && operation == "download" {
                continue;
            }
            let path = format!("/jobs/{job}/{operation}?frames={frames}");
            let (found, problem) = user.get(&path).await;
            assert_eq!((found.as_u16(), &problem["code"]), (status, &json!(code)), "{problem}");
            let detail = problem["detail"].as_str().expect("a detail");
            assert!(detail.contains(part), "{detail}");
        }
    }
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    let unfinished = user.get(&format!("/jobs/{failed}/archive?frames=1")).await;
    assert_eq!((unfinished.0.as_u16(), &unfinished.1["code"]), (400, &json!("NOT_DONE")));
    service.advance(Duration::from_hours(24 * 8));
    user.log_in_again().await;
    let expired = user.get(&format!("/jobs/{job}/archive?frames=1")).await;
    assert_eq!((expired.0.as_u16(), &expired.1["code"]), (410, &json!("ARCHIVE_EXPIRED")));
}

/// Selected frames count as downloads of the whole archive do.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn selections_and_whole_archives_have_one_rate_limit(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    // Requests for frames that do not exist do not count.
    for _ in 0..12 {
        assert_eq!(select(&user, &job, "4000").await.status, StatusCode::NOT_FOUND);
    }
    let paths = ["archive?frames=1", "download?frames=1", "download"];
    for path in paths.iter().cycle().take(10) {
        let request = user.request(Method::GET, &format!("/jobs/{job}/{path}"));
        let response = request.send().await.expect("the service responds");
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.bytes().await.expect("the response completes");
    }
    for path in paths {
        let request = user.request(Method::GET, &format!("/jobs/{job}/{path}"));
        let response = request.send().await.expect("the service responds");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
        assert!(header(response.headers(), "retry-after").parse::<u64>().is_ok());
    }
}

/// A slot is free again when its download ends, also if the client leaves.
#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_are_left_free_their_slots() {
    let service = Service::with(|settings| settings.limits.downloads_per_minute = 1000).await;
    let user = service.user().await;
    let job = upload_sample(&user).await;
    for _ in 0..100 {
        let request = user.request(Method::GET, &format!("/jobs/{job}/archive?frames=1-10"));
        drop(request.send().await.expect("the service responds"));
    }
    eventually("a download", || async {
        (select(&user, &job, "1").await.status == StatusCode::OK).then_some(())
    })
    .await;
}
