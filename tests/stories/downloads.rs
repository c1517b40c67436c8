//! Downloads: links that open one archive to anybody for a while.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{fiapx, fixture, output, scratch};
use crate::parts::Parts::{self, Embedded, Servers};
use crate::service::{Client, Service, User, answer, bytes_of};

const CLIP: &str = "good/h264_aac.mp4";
/// A clip that takes no time.
const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// Ask for a link; gives the answer of a success.
async fn link(user: &User<'_>, job: &str) -> Value {
    let (status, link) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!(status, StatusCode::OK, "{link}");
    link
}

/// The address in a link.
fn url(link: &Value) -> String {
    link["download_url"].as_str().expect("a link").to_owned()
}

/// Follow a link as anybody, with these headers.
async fn follow(
    client: &Client,
    url: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let request =
        headers.iter().fold(client.request(Method::GET, url), |request, (name, value)| {
            request.header(*name, *value)
        });
    let response = request.send().await.expect("the service answers");
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.bytes().await.expect("the answer comes whole").to_vec())
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {headers:?}"))
        .to_str()
        .expect("it is text")
        .to_owned()
}

/// Status and code of a refusal.
async fn refused(client: &Client, url: &str) -> (u16, Value) {
    let (status, problem) = answer(client.request(Method::GET, url)).await;
    (status.as_u16(), problem["code"].clone())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_the_one_that_the_command_makes(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.send(CLIP).await;
    let view = user.done(&job).await;
    let link = link(&user, &job).await;
    let fields: Vec<&String> = link.as_object().expect("an object").keys().collect();
    assert_eq!(fields.len(), 4, "{link}");
    assert_eq!(
        (&link["expires_in"], &link["filename"], &link["size_bytes"]),
        (&json!(900), &json!("h264_aac.zip"), &view["zip_size_bytes"])
    );
    let store = match &service.places {
        Some(places) => format!(
            "{}/{}",
            places.told_of("S3_ENDPOINT").expect("it is there"),
            places.bucket.name()
        ),
        None => format!("{}/files", service.base()),
    };
    assert!(url(&link).starts_with(&format!("{store}/videos/{}/{job}/", user.id)), "{link}");

    // Nobody is logged in here.
    let (status, headers, archive) = follow(&service, &url(&link), &[]).await;
    assert_eq!(status, StatusCode::OK);
    let told =
        ["content-type", "content-length", "accept-ranges"].map(|name| header(&headers, name));
    assert_eq!(told, ["application/zip".to_owned(), archive.len().to_string(), "bytes".to_owned()]);
    assert_eq!(link["size_bytes"], archive.len());

    let directory = scratch();
    let path = directory.path().join("archive.zip");
    output(fiapx().arg("extract").arg(fixture(CLIP)).arg("-o").arg(&path))
        .expect("the clip is good");
    assert!(
        std::fs::read(path).expect("the archive is there") == archive,
        "the command makes another archive"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_offered_under_the_videos_name(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let names = [
        (
            "férias na praia.mp4",
            "férias na praia.zip",
            "f_rias na praia.zip",
            "f%C3%A9rias%20na%20praia.zip",
        ),
        (
            "海 100%.final.mp4",
            "海 100%.final.zip",
            "_ 100_.final.zip",
            "%E6%B5%B7%20100%25.final.zip",
        ),
        ("a;b=c'd.mp4", "a;b=c'd.zip", "a_b_c_d.zip", "a%3Bb%3Dc%27d.zip"),
    ];
    for (video, archive, plain, encoded) in names {
        // As browsers send names: as they are, in UTF-8.
        let disposition = format!(
            "--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{video}\"\r\n\r\n"
        );
        let content = [disposition.as_bytes(), &bytes_of(SHORT), b"\r\n--line--\r\n"].concat();
        let request = user
            .request(Method::POST, "/videos/upload")
            .header("Content-Type", "multipart/form-data; boundary=line");
        let (status, accepted) = answer(request.body(content)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let job = accepted["job_id"].as_str().expect("an id").to_owned();
        user.done(&job).await;
        let link = link(&user, &job).await;
        assert_eq!(link["filename"], archive);
        let (status, headers, _) = follow(&service, &url(&link), &[]).await;
        let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
        assert_eq!(
            (status, header(&headers, "content-disposition")),
            (StatusCode::OK, disposition)
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn downloads_can_be_resumed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.send(CLIP).await;
    user.done(&job).await;
    let url = url(&link(&user, &job).await);
    let (_, headers, whole) = follow(&service, &url, &[]).await;
    let (size, etag) = (whole.len(), header(&headers, "etag"));
    assert!(
        etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2,
        "{etag} is no strong one"
    );

    let parts = [
        ("bytes=0-0".to_owned(), 0..1),
        ("bytes=0-99".to_owned(), 0..100),
        ("bytes=1000-1999".to_owned(), 1000..2000),
        (format!("bytes={}-", size - 1), size - 1..size),
        ("bytes=-10".to_owned(), size - 10..size),
        (format!("bytes=-{}", size + 10), 0..size),
        (format!("bytes=5-{}", size + 10), 5..size),
        ("bytes=5-18446744073709551615".to_owned(), 5..size),
    ];
    for (asked, range) in parts {
        let (status, headers, part) = follow(&service, &url, &[("Range", &asked)]).await;
        let told = (
            status,
            header(&headers, "content-range"),
            header(&headers, "content-length"),
            header(&headers, "etag"),
        );
        let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        assert_eq!(
            told,
            (StatusCode::PARTIAL_CONTENT, content_range, range.len().to_string(), etag.clone()),
            "{asked}"
        );
        assert!(part == whole[range], "{asked}: other bytes");
    }
    let middle = size / 2;
    let (_, _, mut resumed) =
        follow(&service, &url, &[("Range", &format!("bytes=0-{}", middle - 1))]).await;
    let rest = [("Range", &*format!("bytes={middle}-")), ("If-Range", &*etag)];
    resumed.extend(follow(&service, &url, &rest).await.2);
    assert!(resumed == whole, "the two halves are not the whole");
}

/// On embedded parts alone, where it is us who answer; stores differ about what is no range.
#[tokio::test(flavor = "multi_thread")]
async fn odd_ranges_are_answered_as_the_standard_says() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.send(CLIP).await;
    user.done(&job).await;
    let url = url(&link(&user, &job).await);
    let (_, headers, whole) = follow(&service, &url, &[]).await;
    let (size, etag) = (whole.len(), header(&headers, "etag"));
    // Several at once, other units and what is no range give the whole (RFC 9110, 14.2).
    for asked in ["bytes=0-1,5-6", "pictures=1-2", "bytes=9-1", "bytes=a-b", "bytes"] {
        let (status, headers, all) = follow(&service, &url, &[("Range", asked)]).await;
        assert_eq!(
            (status, headers.get("content-range"), all == whole),
            (StatusCode::OK, None, true),
            "{asked}"
        );
    }
    for asked in [format!("bytes={size}-"), "bytes=99999999999-".to_owned(), "bytes=-0".to_owned()]
    {
        let (status, headers, problem) = follow(&service, &url, &[("Range", &asked)]).await;
        let problem: Value = serde_json::from_slice(&problem).expect("problems are JSON");
        assert_eq!(
            (status.as_u16(), &problem["code"]),
            (416, &json!("RANGE_NOT_SATISFIABLE")),
            "{asked}"
        );
        assert_eq!(header(&headers, "content-range"), format!("bytes */{size}"), "{asked}");
    }
    for (known, status, length) in
        [(etag.as_str(), 206, 100), ("\"other\"", 200, size), ("W/\"other\"", 200, size)]
    {
        let answer = follow(&service, &url, &[("Range", "bytes=0-99"), ("If-Range", known)]).await;
        assert_eq!((answer.0.as_u16(), answer.2.len()), (status, length), "{known}");
    }

    let head = service.request(Method::HEAD, &url).send().await.expect("the service answers");
    assert_eq!(head.status(), StatusCode::OK);
    let told = ["content-length", "etag", "accept-ranges", "content-type"]
        .map(|name| header(head.headers(), name));
    assert_eq!(told, [size.to_string(), etag, "bytes".to_owned(), "application/zip".to_owned()]);
}

/// On embedded parts alone, where the links are our own: S3 stores check theirs themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_nothing_else_and_not_for_ever() {
    let service = Service::start().await;
    let user = service.user().await;
    let (job, other) = (user.send(SHORT).await, user.send(SHORT).await);
    user.done(&job).await;
    user.done(&other).await;
    let (opened, other) = (url(&link(&user, &job).await), url(&link(&user, &other).await));
    let value = |url: &str, name: &str| {
        let (_, rest) = url.split_once(&format!("{name}=")).expect("a parameter");
        rest.split('&').next().unwrap_or_default().to_owned()
    };
    let (expires, signature) = (value(&opened, "expires"), value(&opened, "signature"));
    let later = (expires.parse::<i64>().expect("seconds") + 60).to_string();
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let paths = [&opened, &other].map(|url| url.split_once('?').expect("a query").0.to_owned());
    let tampered = [
        opened.replace(&paths[0], &paths[1]),
        opened.replace(&user.id, "0190a000-0000-7000-8000-0000000000aa"),
        opened.replace("output-", "output-1"),
        opened.replace(paths[0].rsplit('/').next().expect("a name"), "input.mp4"),
        opened.replace(paths[0].rsplit('/').next().expect("a name"), "%2e%2e%2f%2e%2e%2ffiapx.db"),
        opened.replace(&expires, &later),
        opened.replace("filename=", "filename=x"),
        opened.replace(&signature, &value(&other, "signature")),
        opened.replace(&signature, &format!("{first}{}", &signature[1..])),
        opened.replace(&signature, &signature[..signature.len() - 1]),
        opened.replace(&signature, ""),
    ];
    for tampered in tampered {
        assert_ne!(tampered, opened);
        assert_eq!(refused(&service, &tampered).await, (403, json!("LINK_INVALID")), "{tampered}");
    }
    for name in ["expires", "filename", "signature"] {
        assert_eq!(
            refused(&service, &opened.replace(name, "something")).await,
            (400, json!("INVALID_PARAMETER")),
            "no {name}"
        );
    }

    // The link promises 900 s.
    service.advance(Duration::from_secs(890));
    assert_eq!(follow(&service, &opened, &[]).await.0, StatusCode::OK);
    service.advance(Duration::from_secs(11));
    assert_eq!(refused(&service, &opened).await, (410, json!("LINK_EXPIRED")));
    assert_eq!(
        follow(&service, &url(&link(&user, &job).await), &[]).await.0,
        StatusCode::OK,
        "the next is good"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_link_exactly_while_there_is_an_archive(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let download = |job: &str| format!("/jobs/{job}/download");
    let code = |(status, problem): (StatusCode, Value)| (status.as_u16(), problem["code"].clone());
    let running = user.send("long/240_pictures.mp4").await;
    assert_eq!(code(user.get(&download(&running)).await), (400, json!("NOT_DONE")));
    user.until(&running, &["PROCESSING"]).await;
    assert_eq!(code(user.get(&download(&running)).await), (400, json!("NOT_DONE")));
    assert_eq!(user.delete(&format!("/videos/{running}")).await.0, StatusCode::OK);
    assert_eq!(
        code(user.get(&download(&running)).await),
        (400, json!("NOT_DONE")),
        "there will never be one"
    );
    let failed = user.send("broken/noise_in_mp4.mp4").await;
    user.until(&failed, &["FAILED"]).await;
    assert_eq!(code(user.get(&download(&failed)).await), (400, json!("NOT_DONE")));

    let (deleted, expired) = (user.send(SHORT).await, user.send(SHORT).await);
    for job in [&deleted, &expired] {
        assert_eq!(user.done(job).await["download_available"], true);
    }
    let open = url(&link(&user, &deleted).await);
    assert_eq!(user.delete(&format!("/videos/{deleted}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(code(user.get(&download(&deleted)).await), (404, json!("JOB_NOT_FOUND")));
    assert_eq!(follow(&service, &open, &[]).await.0, StatusCode::NOT_FOUND);

    service.advance(Duration::from_hours(7 * 24));
    user.log_in_again().await;
    assert_eq!(
        code(user.get(&download(&expired)).await),
        (410, json!("ARCHIVE_EXPIRED")),
        "before anybody has cleared up"
    );
    service.running.upkeep().look().await.expect("the upkeep works");
    let (_, view) = user.get(&format!("/videos/{expired}")).await;
    assert_eq!((&view["status"], &view["download_available"]), (&json!("EXPIRED"), &json!(false)));
    assert_eq!(code(user.get(&download(&expired)).await), (410, json!("ARCHIVE_EXPIRED")));
    assert_eq!(service.files().await, [].into());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn ten_downloads_a_minute_are_allowed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, other) = (service.user().await, service.user().await);
    let (job, others) = (user.send(SHORT).await, other.send(SHORT).await);
    user.done(&job).await;
    other.done(&others).await;
    let ask = async |user: &User<'_>, job: &str| {
        let request = user.request(Method::GET, &format!("/jobs/{job}/download"));
        let response = request.send().await.expect("the service answers");
        let number =
            |name: &str| header(response.headers(), name).parse::<u64>().expect("a number");
        let limits = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"].map(number);
        let pause = response.headers().contains_key("retry-after").then(|| number("retry-after"));
        (response.status().as_u16(), limits, pause, response.bytes().await.expect("it comes whole"))
    };
    // What gives no link does not count.
    for _ in 0..12 {
        assert_eq!(user.get(&format!("/jobs/{others}/download")).await.0, StatusCode::FORBIDDEN);
    }
    for remaining in (0..10).rev() {
        let (status, [limit, left, reset], pause, _) = ask(&user, &job).await;
        assert_eq!((status, limit, left, pause), (200, 10, remaining, None));
        assert!((1..=60).contains(&reset), "{reset}");
    }
    for _ in 0..2 {
        let (status, [limit, left, reset], pause, problem) = ask(&user, &job).await;
        let problem: Value = serde_json::from_slice(&problem).expect("problems are JSON");
        assert_eq!(
            (status, limit, left, &problem["code"]),
            (429, 10, 0, &json!("TOO_MANY_DOWNLOADS"))
        );
        assert_eq!(pause, Some(reset));
        assert!((1..=60).contains(&reset), "{reset}");
    }
    assert_eq!(ask(&other, &others).await.1, [10, 9, 60], "somebody else is not affected");

    let (_, [_, _, reset], _, _) = ask(&user, &job).await;
    service.advance(Duration::from_secs(reset));
    let (status, _, _, _) = ask(&user, &job).await;
    assert_eq!(status, 200, "the answer said when");
    service.advance(Duration::from_mins(1));
    assert_eq!(ask(&user, &job).await.1, [10, 9, 60], "all are forgotten after a minute");
}

/// On embedded parts alone: with others, links lead to the S3 store.
#[tokio::test(flavor = "multi_thread")]
async fn links_lead_to_where_the_service_is_reached() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.send(SHORT).await;
    user.done(&job).await;
    let ask = async |headers: &[(&str, &str)]| {
        let request = user.request(Method::GET, &format!("/jobs/{job}/download"));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (status, link) = answer(request).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        url(&link)
    };
    assert!(ask(&[]).await.starts_with(&format!("{}/files/", service.base())));
    let proxied = ask(&[("Host", "videos.example.com"), ("X-Forwarded-Proto", "https")]).await;
    assert!(proxied.starts_with("https://videos.example.com/files/"), "{proxied}");

    let public = Service::with(|settings| {
        settings.server.public_url = Some("https://videos.example.com/".to_owned());
    })
    .await;
    let user = public.user().await;
    let job = user.send(SHORT).await;
    user.done(&job).await;
    let url = url(&link(&user, &job).await);
    let path = url.strip_prefix("https://videos.example.com").expect("the configured base");
    assert!(path.starts_with("/files/videos/"), "{url}");
    assert_eq!(follow(&public, path, &[]).await.0, StatusCode::OK);
}
