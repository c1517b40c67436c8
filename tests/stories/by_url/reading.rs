//! What is read, stored and counted.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::client::{accepted, permit_loopback};
use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{SHORT, clip_bytes, long_clip};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;
use crate::harness::video_server::{Serving, VideoServer};

/// Archive of the same video, uploaded.
async fn archive_of_upload(user: &User<'_>, name: &str, video: &[u8], recipe: &Value) -> Vec<u8> {
    let file = Part::bytes(video.to_vec()).file_name(name.to_owned());
    let form = Form::new().text("recipe", recipe.to_string()).part("file", file);
    let request = user.request(Method::POST, "/videos/upload").multipart(form);
    let (status, accepted) = fetch_json(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let job = job_id(&accepted);
    user.wait_until_done(&job).await;
    user.archive(&job).await
}

/// Names of the files of a job, with their sizes.
async fn files_of(service: &Service, job: &str) -> Vec<(String, u64)> {
    let files = service.files().await.into_iter();
    let of_job = files.filter(|(path, _)| path.contains(job));
    of_job.map(|(path, size)| (path.rsplit('/').next().unwrap_or_default().into(), size)).collect()
}

/// Bytes that a user has stored.
async fn stored(service: &Service, user: &User<'_>) -> u64 {
    let id = user.id.parse().expect("a user's id");
    service.database().usage(id).await.expect("the database responds").stored_bytes
}

async fn another(user: &User<'_>, job: &str, recipe: &Value) -> String {
    let body = json!({ "recipe": recipe });
    let request = user.request(Method::POST, &format!("/videos/{job}/jobs")).json(&body);
    let (status, accepted) = fetch_json(request).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    job_id(&accepted)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn few_frames_take_few_bytes(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(permit_loopback).await;
    let user = service.user().await;
    let video = std::fs::read(long_clip("mp4")).expect("the clip can be read");
    let recipe = json!({ "select": { "at": [125] } });
    let server = VideoServer::start(video.clone(), Serving::Ranges("\"one\"")).await;
    let url = server.url("videos/f%C3%A9rias.mp4?signature=topsecret");
    let job = accepted(&user, &url, &recipe).await;
    let view = user.wait_until_done(&job).await;

    let (sent, size) = (server.sent_bytes(), video.len());
    println!("{} requests, {} of {size} bytes", server.sent().len(), sent);
    assert!(100 * sent <= 20 * size, "{sent} of {size} bytes: {:?}", server.sent());
    assert!(
        server.sent().iter().all(|it| it.target == "/videos/f%C3%A9rias.mp4?signature=topsecret")
    );
    assert_eq!(view["filename"], "férias.mp4");
    assert_eq!(view["source_url"], server.url("videos/f%C3%A9rias.mp4"));
    assert_eq!(view["video_size_bytes"], size);

    let archive = user.archive(&job).await;
    let archive_bytes = archive.len() as u64;
    let files = files_of(&service, &job).await;
    assert_eq!(files, [("output-1.zip".to_owned(), archive_bytes)], "the video is not stored");
    assert_eq!(stored(&service, &user).await, archive_bytes);
    let uploaded = archive_of_upload(&user, "férias.mp4", &video, &recipe).await;
    assert!(archive == uploaded, "the archive of the upload differs");

    // Another job reads the address again.
    let before = server.sent().len();
    let another = another(&user, &job, &recipe).await;
    let view = user.wait_until_done(&another).await;
    assert_eq!(view["source_url"], server.url("videos/f%C3%A9rias.mp4"));
    assert!(server.sent().len() > before);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_sends_the_whole(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(permit_loopback).await;
    let user = service.user().await;
    let video = clip_bytes(SHORT);
    let expected = archive_of_upload(&user, "a.mp4", &video, &json!({})).await;
    let mut used = stored(&service, &user).await;
    let size = video.len() as u64;
    for serving in [Serving::Whole, Serving::WithoutLength] {
        let server = VideoServer::start(video.clone(), serving.clone()).await;
        let job = accepted(&user, &server.url("a.mp4"), &json!({})).await;
        let view = user.wait_until_done(&job).await;
        assert_eq!(view["video_size_bytes"], size, "{serving:?}");
        assert_eq!((server.sent().len(), server.sent_bytes()), (1, video.len()), "{serving:?}");
        let archive = user.archive(&job).await;
        assert!(archive == expected, "{serving:?}: the archive of the upload differs");
        let archive_bytes = archive.len() as u64;
        let files = files_of(&service, &job).await;
        let stored_files =
            [("input-1.mp4".to_owned(), size), ("output-1.zip".to_owned(), archive_bytes)];
        assert_eq!(files, stored_files, "{serving:?}");
        used += size + archive_bytes;
        assert_eq!(stored(&service, &user).await, used, "{serving:?}");

        // Another job copies the stored video.
        let another = another(&user, &job, &json!({})).await;
        user.wait_until_done(&another).await;
        assert_eq!(server.sent().len(), 1, "{serving:?}");
        used += size + archive_bytes;
        assert_eq!(stored(&service, &user).await, used, "{serving:?}");
    }
    assert_eq!(service.sweep(std::time::Duration::ZERO).await, 0, "every file is known");
    for job in user.get("/videos").await.1.as_array().expect("a list") {
        let path = format!("/videos/{}", job["id"].as_str().expect("an id"));
        assert_eq!(user.delete(&path).await.0, StatusCode::NO_CONTENT);
    }
    assert!(service.files().await.is_empty());
    assert_eq!(stored(&service, &user).await, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_returns_the_same_job(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(permit_loopback).await;
    let user = service.user().await;
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Ranges("\"one\"")).await;
    let post = async |path: &str, filename: Option<&str>| {
        let body = json!({ "url": server.url(path), "filename": filename });
        let request = user.request(Method::POST, "/videos").header("Idempotency-Key", "mine");
        fetch_json(request.json(&body)).await
    };
    let (status, first) = post("a.mp4?key=1", None).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    user.wait_until_done(&job_id(&first)).await;
    let before = server.sent().len();
    let (status, again) = post("a.mp4?key=1", None).await;
    assert_eq!((status, job_id(&again)), (StatusCode::ACCEPTED, job_id(&first)));
    for (path, filename) in [("a.mp4?key=2", None), ("a.mp4?key=1", Some("b.mp4"))] {
        let (status, problem) = post(path, filename).await;
        let code = &problem["code"];
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, &json!("IDEMPOTENCY_KEY_REUSED"));
        assert_eq!((status, code), expected, "{path}");
    }
    assert_eq!(server.sent().len(), before);
    assert_eq!(user.get("/videos").await.1.as_array().map(Vec::len), Some(1));
}

/// The last part of the path is the name, unless another one is stated.
#[tokio::test(flavor = "multi_thread")]
async fn names_come_from_the_path_or_the_request() {
    let service = Service::with(permit_loopback).await;
    let user = service.user().await;
    let server = VideoServer::start(clip_bytes(SHORT), Serving::Ranges("\"one\"")).await;
    for (path, filename, expected) in [
        ("a/b.MP4?x=c.mkv", None, Ok("b.MP4")),
        ("a%2Fb%0A.mp4", None, Ok("b.mp4")),
        ("watch?id=7", Some("../Praia.mp4"), Ok("Praia.mp4")),
        ("watch?id=a.mp4", None, Err("url")),
        ("", None, Err("url")),
        ("a.mp4", Some("a.txt"), Err("filename")),
    ] {
        let body = json!({ "url": server.url(path), "filename": filename });
        let request = user.request(Method::POST, "/videos").json(&body);
        let (status, response) = fetch_json(request).await;
        match expected {
            Ok(name) => {
                assert_eq!(
                    (status, &response["jobs"][0]["filename"]),
                    (StatusCode::ACCEPTED, &json!(name))
                );
                user.wait_until_done(&job_id(&response)).await;
            }
            Err(field) => {
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}: {response}");
                let error = &response["errors"][0];
                let found = [&error["field"], &error["code"]];
                assert_eq!(found, [&json!(field), &json!("FILENAME_UNSUPPORTED")], "{path}");
            }
        }
    }
}
