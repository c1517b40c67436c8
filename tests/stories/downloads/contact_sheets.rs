//! Contact sheets that are read without the archive.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::json;

use super::{error_of, header};
use crate::harness::archive::Archive;
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Upload a clip, whose archive has contact sheets, and wait until its job is done.
async fn upload_with_sheet(user: &User<'_>) -> String {
    let file = Part::bytes(clip_bytes(ONE_FRAME)).file_name("a.mp4");
    let recipe = json!({ "sheet": { "columns": 2, "tile_width": 64 } }).to_string();
    let form = Form::new().text("recipe", recipe).part("file", file);
    let request = user.request(Method::POST, "/videos/upload").multipart(form);
    let (status, accepted) = fetch_json(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_until_done(&job).await;
    job
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_contact_sheet_is_that_of_the_archive(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = upload_with_sheet(&user).await;
    let archive = Archive::read(user.archive(&job).await).expect("a valid archive");
    let (_, expected) = archive
        .frames
        .iter()
        .find(|(name, _)| name == "sheet_00001.jpg")
        .expect("the archive has a contact sheet");
    let (_, frames) = user.get(&format!("/jobs/{job}/frames")).await;
    assert_eq!(frames["sheets"], 1);

    let request = user.request(Method::GET, &format!("/jobs/{job}/sheets/1"));
    let response = request.send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK);
    let headers = ["content-type", "content-length", "content-disposition"]
        .map(|name| header(response.headers(), name));
    let disposition = storage::content_disposition("sheet_00001.jpg");
    assert_eq!(headers, ["image/jpeg".to_owned(), expected.len().to_string(), disposition]);
    assert_eq!(response.bytes().await.expect("the response completes"), *expected);

    let missing = user.get(&format!("/jobs/{job}/sheets/2")).await;
    assert_eq!((missing.0.as_u16(), &missing.1["code"]), (404, &json!("FILE_NOT_FOUND")));
    // Selected frames are without them.
    let path = format!("/jobs/{job}/archive?frames=1");
    let response = user.request(Method::GET, &path).send().await.expect("the service responds");
    let selected = response.bytes().await.expect("the response completes").to_vec();
    let selected = Archive::read(selected).expect("a valid archive");
    assert_eq!(selected.frames.len(), 1);
    assert!(selected.manifest.get("sheets").is_none(), "{}", selected.manifest);
    // A URL alone gives no access.
    let url = format!("/jobs/{job}/sheets/1");
    assert_eq!(error_of(&service, &url).await, (401, json!("NOT_LOGGED_IN")));
}
