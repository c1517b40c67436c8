//! Uploads: streamed, whole or not at all.

mod bounds;
mod repeated;
mod large;

use database::Job;
use database::reading::Page;
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Archive, PATIENCE, listing};
use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{Client, Service, User, answer, bytes_of, eventually, form};

/// A clip that takes no time.
const SHORT: &str = "good/shorter_than_half_a_second.mp4";
const MIB: usize = 1 << 20;

/// The rows of somebody's jobs, newest first.
async fn rows(service: &Service, user: &User<'_>) -> Vec<Job> {
    let user = user.id.parse().expect("a user's id");
    service
        .database()
        .list_jobs(user, &Page { limit: 1000, ..Page::default() })
        .await
        .expect("the rows can be read")
}

/// A form as it travels, of parts with these parameters of their `Content-Disposition`.
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

/// The ids of accepted jobs.
fn ids(accepted: &Value) -> Vec<String> {
    let jobs = accepted["jobs"].as_array().expect("jobs are accepted");
    jobs.iter().map(|job| job["job_id"].as_str().expect("an id").to_owned()).collect()
}

/// The files that done jobs should have, and no others.
fn files_of(jobs: &[Job]) -> Vec<String> {
    let archives = jobs.iter().filter_map(|job| job.zip_path.clone());
    let mut files: Vec<String> =
        jobs.iter().map(|job| job.video_path.clone()).chain(archives).collect();
    files.sort();
    files
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn videos_of_all_suffixes_in_one_request_become_archives(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let clips = [
        "good/h264_aac.mp4",
        "good/mjpeg.avi",
        "good/prores.mov",
        "good/h264_open_gop.mkv",
        "good/wmv2.wmv",
        "good/flv1.flv",
        "good/vp8_altref.webm",
    ];
    let service = parts.start().await;
    let user = service.user().await;
    let files = clips.map(|clip| (clip.rsplit('/').next().unwrap_or(clip), bytes_of(clip)));
    let request = user.request(Method::POST, "/videos/upload").multipart(form(&files));
    let response = request.send().await.expect("the service answers");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()["location"].to_str().expect("it is text").to_owned();
    let accepted: Value = response.json().await.expect("answers are JSON");
    let jobs = ids(&accepted);
    assert_eq!((location, &accepted["job_id"]), (format!("/videos/{}", jobs[0]), &json!(jobs[0])));
    let names: Vec<&Value> =
        accepted["jobs"].as_array().expect("jobs").iter().map(|job| &job["filename"]).collect();
    assert_eq!(names, files.each_ref().map(|(name, _)| *name), "in the order of the parts");

    for ((job, clip), (name, bytes)) in jobs.iter().zip(clips).zip(&files) {
        let view = user.done(job).await;
        let seen = (&view["filename"], &view["video_size_bytes"], &view["complete"]);
        assert_eq!(seen, (&json!(name), &json!(bytes.len()), &json!(true)), "{clip}: {view}");
        let archive = Archive::read(user.archive(job).await)
            .unwrap_or_else(|error| panic!("{clip}: {error}"));
        assert_eq!(
            (archive.pictures.len() as u64, archive.bytes.len() as u64),
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
        "a video and an archive of each job, and nothing else"
    );
    for job in rows {
        assert_eq!(
            (stored[&job.video_path], Some(stored[job.zip_path.as_ref().expect("an archive")])),
            (job.video_size_bytes, job.zip_size_bytes)
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_acceptable_video_is_refused_and_leaves_nothing(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.max_video_mb = 1).await;
    let user = service.user().await;
    let (mp4, webm, png) =
        (bytes_of(SHORT), bytes_of("good/vp9.webm"), b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".repeat(40));
    let mut large = mp4.clone();
    large.resize(MIB + 1, 0);
    let named = |name: &str, content: &[u8]| {
        body(&[(&format!("name=\"file\"; filename=\"{name}\""), content)])
    };
    let whole = named("film.mp4", &mp4);
    let cut = whole[..whole.len() / 2].to_vec();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        ("an unknown suffix", FORM, named("film.txt", &mp4), 415, "UNSUPPORTED_FORMAT"),
        ("no suffix", FORM, named("film", &mp4), 415, "UNSUPPORTED_FORMAT"),
        ("a suffix alone", FORM, named(".mp4", &mp4), 415, "UNSUPPORTED_FORMAT"),
        ("a suffix behind another", FORM, named("film.mp4.exe", &mp4), 415, "UNSUPPORTED_FORMAT"),
        (
            "a picture that is called a video",
            FORM,
            named("film.mp4", &png),
            415,
            "CONTENT_MISMATCH",
        ),
        ("a video that is called another", FORM, named("film.mp4", &webm), 415, "CONTENT_MISMATCH"),
        ("a few bytes", FORM, named("film.mp4", b"ftyp"), 415, "CONTENT_MISMATCH"),
        ("an empty file", FORM, named("film.mp4", b""), 422, "EMPTY_FILE"),
        ("no part", FORM, body(&[]), 422, "FILE_MISSING"),
        (
            "a part of another name",
            FORM,
            body(&[("name=\"video\"; filename=\"film.mp4\"", &mp4)]),
            422,
            "UNKNOWN_FIELD",
        ),
        (
            "a part without a name",
            FORM,
            body(&[("filename=\"film.mp4\"", &mp4)]),
            422,
            "UNKNOWN_FIELD",
        ),
        (
            "a part without a file name",
            FORM,
            body(&[("name=\"file\"", &mp4)]),
            422,
            "FILENAME_MISSING",
        ),
        ("a file name of a directory", FORM, named("../", &mp4), 422, "FILENAME_MISSING"),
        (
            "51 files",
            FORM,
            body(&[("name=\"file\"; filename=\"film.mp4\"", mp4.as_slice()); 51]),
            413,
            "TOO_MANY_FILES",
        ),
        ("a byte too many", FORM, named("film.mp4", &large), 413, "VIDEO_TOO_LARGE"),
        ("text", "text/plain", b"film".to_vec(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("JSON", "application/json", b"{}".to_vec(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("a video that is no form", "video/mp4", mp4.clone(), 415, "UNSUPPORTED_MEDIA_TYPE"),
        (
            "a form without a boundary",
            "multipart/form-data",
            whole.clone(),
            415,
            "UNSUPPORTED_MEDIA_TYPE",
        ),
        ("another boundary", "multipart/form-data; boundary=other", whole, 400, "UPLOAD_BROKEN"),
        ("half a form", FORM, cut, 400, "UPLOAD_BROKEN"),
        ("an empty body", FORM, Vec::new(), 400, "UPLOAD_BROKEN"),
        ("a NUL in the name", FORM, named("a\0b.mp4", &mp4), 400, "UPLOAD_BROKEN"),
    ];
    for (what, content_type, content, status, code) in cases {
        let (answered, problem) = answer(post(&user, content_type, content)).await;
        let told = problem["errors"][0]["code"].as_str().or(problem["code"].as_str());
        assert_eq!((answered.as_u16(), told), (status, Some(code)), "{what}: {problem}");
        assert_eq!(service.files().await, [].into(), "{what}");
    }
    let (status, problem) = answer(
        service.request(Method::POST, "/videos/upload").header("Content-Type", FORM).body(""),
    )
    .await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("NOT_LOGGED_IN")));
    assert_eq!(rows(&service, &user).await, []);
    assert_eq!(user.get("/videos").await, (StatusCode::OK, json!([])));

    // A byte less, one file less and the name of the same container are no offence.
    large.truncate(MIB);
    let (status, accepted) = answer(post(&user, FORM, named("film.MOV", &large))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    let fifty = body(&[("name=\"file\"; filename=\"film.mp4\"", mp4.as_slice()); 50]);
    let (status, accepted) = answer(post(&user, FORM, fifty)).await;
    assert_eq!((status, ids(&accepted).len()), (StatusCode::ACCEPTED, 50));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn one_bad_video_among_three_refuses_all(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let good = || ("good.mp4", bytes_of(SHORT));
    let bad = [
        ("bad.mp4", bytes_of("good/vp9.webm")),
        ("bad.txt", bytes_of(SHORT)),
        ("bad.mp4", Vec::new()),
    ];
    for bad in bad {
        for place in 0..3 {
            let mut files = vec![good(), good()];
            files.insert(place, bad.clone());
            let request =
                user.request(Method::POST, "/videos/upload").header("Idempotency-Key", "three");
            let (status, problem) = answer(request.multipart(form(&files))).await;
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
    // What was refused has not used its key up.
    let (status, accepted) = repeated::send(&user, "three", 3).await;
    assert_eq!((status, ids(&accepted).len()), (StatusCode::ACCEPTED, 3));
}

/// On embedded parts alone, where a name could lead to another place on the disk.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_shown_and_decide_nothing_else() {
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
    let around = || (listing(directory), listing(&directory.join("files")));
    let before = around();
    for (sent, shown) in names {
        let content = body(&[(&format!("name=\"file\"; filename=\"{sent}\""), &bytes_of(SHORT))]);
        let (status, accepted) = answer(post(&user, FORM, content)).await;
        assert_eq!(
            (status, &accepted["jobs"][0]["filename"]),
            (StatusCode::ACCEPTED, &json!(shown)),
            "{sent:?}: {accepted}"
        );
        let view = user.done(&ids(&accepted)[0]).await;
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
    assert_eq!(after, before, "nothing lies elsewhere");
}

/// Begin an upload with these headers that announces so many bytes, and send a part of them.
async fn begin(service: &Client, headers: &str, announced: usize, sent: &[u8]) -> TcpStream {
    let address = service.base().trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.expect("the service listens");
    let head = format!(
        "POST /videos/upload HTTP/1.1\r\nHost: {address}\r\n{headers}\r\nContent-Length: {announced}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.expect("the head is read");
    connection.write_all(sent).await.expect("the body is read");
    connection
}

/// The status that comes back on a connection, and the code of its problem.
async fn answered(connection: &mut TcpStream) -> (String, Value) {
    let mut text = String::new();
    let read = tokio::time::timeout(PATIENCE, async {
        while !text.ends_with('}') {
            let mut piece = [0; 4096];
            let length =
                connection.read(&mut piece).await.expect("an answer, not a broken connection");
            assert!(length > 0, "the connection ends before the answer: {text}");
            text += &String::from_utf8_lossy(&piece[..length]);
        }
    });
    read.await.expect("an answer comes");
    let (head, document) = text.split_once("\r\n\r\n").expect("a head and a body");
    let problem: Value = serde_json::from_str(document).expect("answers are JSON");
    let status = head
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .expect("a line with the status");
    (status.to_owned(), problem["code"].clone())
}

/// The first part of a form with two files, the second of which is not whole.
fn half() -> Vec<u8> {
    let mut large = bytes_of(SHORT);
    large.resize(11 * MIB, 0);
    let mut form = body(&[
        ("name=\"file\"; filename=\"a.mp4\"", &bytes_of(SHORT)),
        ("name=\"file\"; filename=\"b.mp4\"", &large),
    ]);
    form.truncate(form.len() - MIB / 2);
    form
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_leaves_nothing(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    let connection = begin(&service, &head, 12 * MIB, &half()).await;
    eventually("both videos on their way", || async {
        let files = service.files().await;
        // An S3 store shows an upload once the first part of it has been sent.
        let there = match parts {
            Embedded => files.len() == 2 && files.values().any(|size| *size >= MIB as u64),
            Servers => files.keys().any(|path| path.starts_with("unfinished")),
        };
        there.then_some(())
    })
    .await;
    drop(connection);
    eventually("what was written is removed", || async {
        service.files().await.is_empty().then_some(())
    })
    .await;
    assert_eq!(rows(&service, &user).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stalls_is_told_so_and_leaves_nothing(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.patience_seconds = 1).await;
    let user = service.user().await;
    let head = format!("Content-Type: {FORM}\r\nAuthorization: Bearer {}", user.access);
    for sent in [half(), Vec::new(), b"--line\r\nContent-Dispo".to_vec()] {
        let mut connection = begin(&service, &head, 12 * MIB, &sent).await;
        assert_eq!(
            answered(&mut connection).await,
            ("408 Request Timeout".to_owned(), json!("UPLOAD_STALLED"))
        );
        assert_eq!(service.files().await, [].into());
    }
    assert_eq!(rows(&service, &user).await, []);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn who_sends_everything_before_reading_gets_the_answer(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.upload.max_video_mb = 1).await;
    let (user, mut stranger) = (service.user().await, service.user().await);
    "no token".clone_into(&mut stranger.access);
    let mut large = bytes_of(SHORT);
    large.resize(30 * MIB, 0);
    let named = |name: &str| body(&[(&format!("name=\"file\"; filename=\"{name}\""), &large)]);
    let film = named("film.mp4");
    let cases = [
        (&user, FORM, film.clone(), "413 Payload Too Large", "VIDEO_TOO_LARGE"),
        (&user, FORM, named("film.txt"), "415 Unsupported Media Type", "UNSUPPORTED_FORMAT"),
        (&user, FORM, named("film.avi"), "415 Unsupported Media Type", "CONTENT_MISMATCH"),
        (&user, "video/mp4", film.clone(), "415 Unsupported Media Type", "UNSUPPORTED_MEDIA_TYPE"),
        (&stranger, FORM, film.clone(), "401 Unauthorized", "TOKEN_INVALID"),
    ];
    for (user, content_type, content, status, code) in cases {
        let head = format!("Content-Type: {content_type}\r\nAuthorization: Bearer {}", user.access);
        let mut connection = begin(&service, &head, content.len(), &content).await;
        assert_eq!(answered(&mut connection).await, (status.to_owned(), json!(code)));
        // What was sent has been read to its end, so the connection serves on.
        connection
            .write_all(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .expect("the connection is open");
        assert_eq!(
            answered(&mut connection).await,
            ("404 Not Found".to_owned(), json!("NOT_FOUND"))
        );
    }
    assert_eq!((service.files().await, rows(&service, &user).await), ([].into(), Vec::new()));

    // So does who repeats a large upload whose answer got lost.
    let (status, _) = repeated::send(&user, "again", 1).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let head = format!(
        "Content-Type: {FORM}\r\nAuthorization: Bearer {}\r\nIdempotency-Key: again",
        user.access
    );
    let mut connection = begin(&service, &head, film.len(), &film).await;
    assert_eq!(answered(&mut connection).await, ("202 Accepted".to_owned(), Value::Null));
    assert_eq!(rows(&service, &user).await.len(), 1);
}
