//! Uploads: accepted completely or not at all.

mod connections;
mod quotas;
mod reservations;
mod idempotency;
mod large;
mod slow;

use database::Job;
use database::reading::Page;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::archive::Archive;
use crate::harness::client::{User, fetch_json, form};
use crate::harness::clips::{MJPEG, ONE_FRAME, SHORT, clip_bytes, file_names};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

const MIB: usize = 1 << 20;
/// Unit of the settings.
const MEGABYTE: usize = 1_000_000;

/// Rows of a user's jobs, newest first.
async fn rows(service: &Service, user: &User<'_>) -> Vec<Job> {
    let user = user.id.parse().expect("a user's id");
    service
        .database()
        .list_jobs(user, &Page { limit: 1000, ..Page::default() })
        .await
        .expect("the database responds")
}

/// Body of a form, of parts with these parameters of their `Content-Disposition`.
fn body(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (parameters, content) in parts {
        body.extend(
            format!("--line\r\nContent-Disposition: form-data; {parameters}\r\n\r\n").into_bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--line--\r\n");
    body
}

const FORM: &str = "multipart/form-data; boundary=line";

fn post(user: &User<'_>, content_type: &str, body: impl Into<Body>) -> RequestBuilder {
    user.request(Method::POST, "/videos/upload").header("Content-Type", content_type).body(body)
}

/// Ids of accepted jobs.
fn ids(accepted: &Value) -> Vec<String> {
    let jobs = accepted["jobs"].as_array().expect("jobs are accepted");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

/// Upload a number of short clips with an idempotency key.
async fn upload_with_key(user: &User<'_>, key: &str, files: usize) -> (StatusCode, Value) {
    let request = user.request(Method::POST, "/videos/upload").header("Idempotency-Key", key);
    fetch_json(request.multipart(form(&vec![("short.mp4", clip_bytes(ONE_FRAME)); files]))).await
}

/// Expected files of these jobs, if they are done.
fn files_of(jobs: &[Job]) -> Vec<String> {
    let archives = jobs.iter().filter_map(|job| job.zip_path.clone());
    let mut files: Vec<String> =
        jobs.iter().map(|job| job.video_path.clone()).chain(archives).collect();
    files.sort();
    files
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_request_can_have_videos_of_all_suffixes(#[values(Embedded, Servers)] parts: Parts) {
    let clips = [
        SHORT,
        MJPEG,
        "good/prores.mov",
        "good/h264_open_gop.mkv",
        "good/wmv2.wmv",
        "good/flv1.flv",
        "good/vp8_altref.webm",
    ];
    let service = parts.start().await;
    let user = service.user().await;
    let files = clips.map(|clip| (clip.rsplit('/').next().unwrap_or(clip), clip_bytes(clip)));
    let request = user.request(Method::POST, "/videos/upload").multipart(form(&files));
    let response = request.send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().expect("it is text").to_owned();
    let accepted: Value = response.json().await.expect("responses are JSON");
    let jobs = ids(&accepted);
    assert_eq!((location, &accepted["job_id"]), (format!("/videos/{}", jobs[0]), &json!(jobs[0])));
    let names: Vec<&Value> =
        accepted["jobs"].as_array().expect("jobs").iter().map(|job| &job["filename"]).collect();
    assert_eq!(names, files.each_ref().map(|(name, _)| *name), "in the order of the parts");

    for ((job, clip), (name, bytes)) in jobs.iter().zip(clips).zip(&files) {
        let view = user.wait_until_done(job).await;
        let seen = (&view["filename"], &view["video_size_bytes"], &view["complete"]);
        assert_eq!(seen, (&json!(name), &json!(bytes.len()), &json!(true)), "{clip}: {view}");
        let archive = Archive::read(user.archive(job).await)
            .unwrap_or_else(|error| panic!("{clip}: {error}"));
        assert_eq!(
            (archive.frames.len() as u64, archive.bytes.len() as u64),
            (
                view["frame_count"].as_u64().expect("a count"),
                view["zip_size_bytes"].as_u64().expect("a size")
            )
        );
    }
    let rows = rows(&service, &user).await;
    let newest_first: Vec<String> = rows.iter().map(|job| job.id.to_string()).collect();
    assert_eq!(newest_first, jobs.iter().rev().cloned().collect::<Vec<_>>());
    let stored = service.files().await;
    assert_eq!(
        stored.keys().cloned().collect::<Vec<_>>(),
        files_of(&rows),
        "not exactly a video and an archive of each job"
    );
    for job in rows {
        assert_eq!(
            (stored[&job.video_path], Some(stored[job.zip_path.as_ref().expect("an archive")])),
            (job.video_size_bytes, job.zip_size_bytes)
        );
    }
}

/// A file of a form.
fn named(name: &str, content: &[u8]) -> Vec<u8> {
    body(&[(&format!("name=\"file\"; filename=\"{name}\""), content)])
}

/// The same file several times in a form.
fn repeated(content: &[u8], times: usize) -> Vec<u8> {
    body(&vec![("name=\"file\"; filename=\"video.mp4\"", content); times])
}

/// An upload that has to be rejected.
struct Rejection {
    what: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
}

/// A form that has to be rejected.
fn rejected(what: &'static str, body: Vec<u8>, status: u16, code: &'static str) -> Rejection {
    Rejection { what, content_type: FORM, body, status, code }
}

/// A body with a content type for which it has to be rejected.
fn mistyped(what: &'static str, content_type: &'static str, body: Vec<u8>) -> Rejection {
    Rejection { what, content_type, body, status: 415, code: "UNSUPPORTED_MEDIA_TYPE" }
}

/// Files and forms that have to be rejected, with a limit of 1 MiB.
fn rejections() -> Vec<Rejection> {
    let (mp4, webm) = (clip_bytes(ONE_FRAME), clip_bytes("good/vp9.webm"));
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".repeat(40);
    let mut large = mp4.clone();
    large.resize(MEGABYTE + 1, 0);
    let complete = named("video.mp4", &mp4);
    let half = complete[..complete.len() / 2].to_vec();
    let no_filename = body(&[("name=\"file\"", &mp4)]);
    let large_field = body(&[("name=\"file\"", &large)]);
    let many_fields = body(&[("name=\"type\"", b"video/mp4" as &[u8]); 101]);
    let many_recipes = body(&[("name=\"recipe\"", b"{}" as &[u8]); 101]);
    let endless_header = named(&"x".repeat(MIB), &mp4);
    let unsupported = |what, name| rejected(what, named(name, &mp4), 415, "UNSUPPORTED_FORMAT");
    let mismatch =
        |what, content: &[u8]| rejected(what, named("video.mp4", content), 415, "CONTENT_MISMATCH");
    vec![
        unsupported("an unknown suffix", "video.txt"),
        unsupported("no suffix", "video"),
        unsupported("only a suffix", ".mp4"),
        unsupported("a suffix before another one", "video.mp4.exe"),
        mismatch("an image with the suffix of a video", &png),
        mismatch("a video with the suffix of another container", &webm),
        mismatch("a few bytes", b"ftyp"),
        rejected("an empty file", named("video.mp4", b""), 422, "EMPTY_FILE"),
        rejected("no part", body(&[]), 422, "FILE_MISSING"),
        rejected("a part without a file name", no_filename, 422, "FILE_MISSING"),
        rejected("an empty file name", named("", &mp4), 422, "FILE_MISSING"),
        rejected("a large part without a file name", large_field, 413, "FIELDS_TOO_LARGE"),
        rejected("101 parts without a file name", many_fields, 413, "FIELDS_TOO_LARGE"),
        rejected("101 recipes", many_recipes, 413, "FIELDS_TOO_LARGE"),
        rejected("an endless header", endless_header, 400, "UPLOAD_BROKEN"),
        rejected("the name of a directory", named("../", &mp4), 422, "FILENAME_MISSING"),
        rejected("51 files", repeated(&mp4, 51), 413, "TOO_MANY_FILES"),
        rejected("one byte too many", named("video.mp4", &large), 413, "VIDEO_TOO_LARGE"),
        mistyped("text", "text/plain", b"video".to_vec()),
        mistyped("JSON", "application/json", b"{}".to_vec()),
        mistyped("a video without a form", "video/mp4", mp4.clone()),
        mistyped("a form without a boundary", "multipart/form-data", complete.clone()),
        Rejection {
            what: "another boundary",
            content_type: "multipart/form-data; boundary=other",
            body: complete,
            status: 400,
            code: "UPLOAD_BROKEN",
        },
        rejected("half a form", half, 400, "UPLOAD_BROKEN"),
        rejected("an empty body", Vec::new(), 400, "UPLOAD_BROKEN"),
        rejected("a NUL in the name", named("a\0b.mp4", &mp4), 400, "UPLOAD_BROKEN"),
    ]
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn invalid_uploads_are_rejected_and_leave_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.with(|settings| settings.upload.max_video_mb = 1).await;
    let user = service.user().await;
    for Rejection { what, content_type, body, status, code } in rejections() {
        let (actual, problem) = fetch_json(post(&user, content_type, body)).await;
        let reported = problem["errors"][0]["code"].as_str().or(problem["code"].as_str());
        assert_eq!((actual.as_u16(), reported), (status, Some(code)), "{what}: {problem}");
        assert_eq!(service.files().await, [].into(), "{what}");
    }
    let anonymous =
        service.request(Method::POST, "/videos/upload").header("Content-Type", FORM).body("");
    let (status, problem) = fetch_json(anonymous).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("NOT_LOGGED_IN")));
    assert_eq!(rows(&service, &user).await, []);
    assert_eq!(user.get("/videos").await, (StatusCode::OK, json!([])));

    // One byte less, one file less, and another suffix of the same container are accepted.
    let mut large = clip_bytes(ONE_FRAME);
    large.resize(MEGABYTE, 0);
    let (status, accepted) = fetch_json(post(&user, FORM, named("video.MOV", &large))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let fifty = repeated(&clip_bytes(ONE_FRAME), 50);
    let (status, accepted) = fetch_json(post(&user, FORM, fifty)).await;
    assert_eq!((status, ids(&accepted).len()), (StatusCode::ACCEPTED, 50));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_invalid_video_of_three_rejects_all(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let good = || ("good.mp4", clip_bytes(ONE_FRAME));
    let bad = [
        ("bad.mp4", clip_bytes("good/vp9.webm")),
        ("bad.txt", clip_bytes(ONE_FRAME)),
        ("bad.mp4", Vec::new()),
    ];
    for bad in bad {
        for place in 0..3 {
            let mut files = vec![good(), good()];
            files.insert(place, bad.clone());
            let request =
                user.request(Method::POST, "/videos/upload").header("Idempotency-Key", "three");
            let (status, problem) = fetch_json(request.multipart(form(&files))).await;
            assert!(status.is_client_error(), "{problem}");
            assert!(
                problem["detail"].as_str().is_some_and(|detail| detail.contains(bad.0)),
                "{problem}"
            );
            assert_eq!(
                (service.files().await, rows(&service, &user).await),
                ([].into(), Vec::new()),
                "{} at {place}",
                bad.0
            );
        }
    }
    // A rejected upload does not use up its idempotency key.
    let (status, accepted) = upload_with_key(&user, "three", 3).await;
    assert_eq!((status, ids(&accepted).len()), (StatusCode::ACCEPTED, 3));
}

/// Form as a client sends it.
struct Form {
    /// Header of each part, and whether its content is a clip.
    parts: &'static [(&'static str, bool)],
    /// Names of the videos that are accepted.
    accepted: &'static [&'static str],
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_of_all_clients_are_accepted() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = clip_bytes(ONE_FRAME);
    let forms = [
        // Uppy.
        Form {
            parts: &[
                ("name=\"relativePath\"", false),
                ("name=\"name\"", false),
                ("name=\"type\"", false),
                ("name=\"files[]\"; filename=\"férias.mp4\"", true),
            ],
            accepted: &["férias.mp4"],
        },
        Form {
            parts: &[
                ("name=\"file[]\"; filename=\"a.mp4\"", true),
                ("name=\"files\"; filename=\"b.mp4\"", true),
                ("filename=\"c.mp4\"", true),
            ],
            accepted: &["a.mp4", "b.mp4", "c.mp4"],
        },
        // A page with an input that was left empty.
        Form {
            parts: &[
                ("name=\"first\"; filename=\"\"", false),
                ("name=\"second\"; filename=\"C:\\clips\\a.mp4\"", true),
            ],
            accepted: &["a.mp4"],
        },
        // Python's requests, and .NET.
        Form {
            parts: &[("name=\"file\"; filename*=utf-8''f%C3%A9rias.mp4", true)],
            accepted: &["férias.mp4"],
        },
        Form {
            parts: &[("name=file; filename=\"=?utf-8?B?ZsOpcmlhcy5tcDQ=?=\"", true)],
            accepted: &["férias.mp4"],
        },
    ];
    for Form { parts, accepted: expected } in forms {
        let content = |is_file: bool| if is_file { clip.as_slice() } else { b"" };
        let parts: Vec<(&str, &[u8])> =
            parts.iter().map(|(header, is_file)| (*header, content(*is_file))).collect();
        let (status, accepted) = fetch_json(post(&user, FORM, body(&parts))).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{parts:?} {accepted}");
        let names: Vec<&Value> =
            accepted["jobs"].as_array().expect("jobs").iter().map(|job| &job["filename"]).collect();
        assert_eq!(names, expected);
    }
}

/// PowerShell sends names in ISO 8859-1.
#[tokio::test(flavor = "multi_thread")]
async fn file_names_that_are_not_unicode_are_accepted() {
    let service = Service::start().await;
    let user = service.user().await;
    let clip = clip_bytes(ONE_FRAME);
    let mut latin =
        b"--line\r\nContent-Disposition: form-data; filename=\"f\xE9rias.mp4\"".to_vec();
    latin.extend([b"\r\n\r\n", clip.as_slice(), b"\r\n--line--\r\n"].concat());
    let (status, accepted) = fetch_json(post(&user, FORM, latin)).await;
    assert_eq!(
        (status, &accepted["jobs"][0]["filename"]),
        (StatusCode::ACCEPTED, &json!("férias.mp4"))
    );
}

/// On embedded parts only, where a name might be used as a path on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn file_names_are_sanitized_and_never_used_as_paths() {
    let service = Service::start().await;
    let user = service.user().await;
    let long = format!("{}.mp4", "x".repeat(300));
    let shortened = format!("{}…{}.mp4", "x".repeat(179), "x".repeat(16));
    let names = [
        ("férias na praia.mp4", "férias na praia.mp4"),
        ("../../x.mp4", "x.mp4"),
        ("/etc/cron.d/x.mp4", "x.mp4"),
        (r"..\\..\\x.mp4", "x.mp4"),
        ("..%2f..%2fx.mp4", "..%2f..%2fx.mp4"),
        ("exe\u{202E}4pm.mp4", "exe4pm.mp4"),
        ("<b>'x'</b>&.mp4", "b>&.mp4"),
        ("CON.mp4", "CON.mp4"),
        ("...mp4", "...mp4"),
        (&long, &shortened),
    ];
    let directory = service.directory.path();
    let around = || (file_names(directory), file_names(&directory.join("files")));
    let before = around();
    for (sent, shown) in names {
        let content =
            body(&[(&format!("name=\"file\"; filename=\"{sent}\""), &clip_bytes(ONE_FRAME))]);
        let (status, accepted) = fetch_json(post(&user, FORM, content)).await;
        assert_eq!(
            (status, &accepted["jobs"][0]["filename"]),
            (StatusCode::ACCEPTED, &json!(shown)),
            "{sent:?}: {accepted}"
        );
        let view = user.wait_until_done(&ids(&accepted)[0]).await;
        assert_eq!((&view["filename"], &view["video_format"]), (&json!(shown), &json!("mp4")));
    }
    let rows = rows(&service, &user).await;
    assert_eq!(service.files().await.into_keys().collect::<Vec<_>>(), files_of(&rows));
    for job in rows {
        assert_eq!(job.video_path, format!("videos/{}/{}/input.mp4", user.id, job.id));
    }
    let mut after = around();
    after.0.retain(|name| name != "mails");
    let mut before = before;
    before.0.retain(|name| name != "mails");
    assert_eq!(after, before, "a file was written elsewhere");
}
