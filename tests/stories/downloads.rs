//! Downloads: signed links to one archive that expire.

mod contact_sheets;
mod rate_limit;
mod selection;

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{Client, User, fetch_json};
use crate::harness::clips::{LONG, ONE_FRAME, SHORT, clip_bytes, fixture, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{fiapx, output};
use crate::harness::service::Service;

/// Request a download link, and return the response.
async fn link(user: &User<'_>, job: &str) -> Value {
    let (status, link) = user.get(&format!("/jobs/{job}/download")).await;
    assert_eq!(status, StatusCode::OK, "{link}");
    link
}

/// URL of a link.
fn url(link: &Value) -> String {
    link["download_url"].as_str().expect("a link").to_owned()
}

/// Response of a download.
struct Download {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Download {
    fn header(&self, name: &str) -> String {
        header(&self.headers, name)
    }
}

/// Follow a link without credentials, with these headers.
async fn follow(client: &Client, url: &str, headers: &[(&str, &str)]) -> Download {
    let request =
        headers.iter().fold(client.request(Method::GET, url), |request, (name, value)| {
            request.header(*name, *value)
        });
    let response = request.send().await.expect("the service responds");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("the response completes").to_vec();
    Download { status, headers, body }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers
        .get(name)
        .unwrap_or_else(|| panic!("no {name} in {headers:?}"))
        .to_str()
        .expect("it is text")
        .to_owned()
}

/// An archive that is ready to be downloaded.
struct Ready {
    url: String,
    etag: String,
    bytes: Vec<u8>,
}

impl Ready {
    /// Upload a clip, wait for its archive, and download it.
    async fn of(user: &User<'_>, clip: &str) -> Self {
        let job = user.upload_clip(clip).await;
        user.wait_until_done(&job).await;
        let url = url(&link(user, &job).await);
        let download = follow(user.client, &url, &[]).await;
        Self { url, etag: download.header("etag"), bytes: download.body }
    }
}

/// Status and error code of a URL.
async fn error_of(client: &Client, url: &str) -> (u16, Value) {
    let (status, problem) = fetch_json(client.request(Method::GET, url)).await;
    (status.as_u16(), problem["code"].clone())
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_archive_equals_that_of_the_command(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    let view = user.wait_until_done(&job).await;
    let link = link(&user, &job).await;
    let fields: Vec<&String> = link.as_object().expect("an object").keys().collect();
    assert_eq!(fields.len(), 4, "{link}");
    assert_eq!(
        (&link["expires_in"], &link["filename"], &link["size_bytes"]),
        (&json!(900), &json!("h264_aac.zip"), &view["zip_size_bytes"])
    );
    let store = match &service.namespaces {
        Some(namespaces) => format!(
            "{}/{}",
            namespaces.setting("S3_ENDPOINT").expect("the setting exists"),
            namespaces.bucket.name()
        ),
        None => format!("{}/files", service.base()),
    };
    assert!(url(&link).starts_with(&format!("{store}/videos/{}/{job}/", user.id)), "{link}");

    // The link itself is the credential.
    let download = follow(&service, &url(&link), &[]).await;
    assert_eq!(download.status, StatusCode::OK);
    let archive = &download.body;
    assert_eq!(
        ["content-type", "content-length", "accept-ranges"].map(|name| download.header(name)),
        ["application/zip".to_owned(), archive.len().to_string(), "bytes".to_owned()]
    );
    assert_eq!(link["size_bytes"], archive.len());

    let directory = scratch();
    let path = directory.path().join("archive.zip");
    output(fiapx().arg("extract").arg(fixture(SHORT)).arg("-o").arg(&path))
        .expect("the clip is valid");
    assert!(
        std::fs::read(path).expect("the archive exists") == *archive,
        "the archive of the command differs"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_named_after_the_video(#[values(Embedded, Servers)] parts: Parts) {
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
        // Browsers send names in UTF-8 without encoding them.
        let disposition = format!(
            "--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{video}\"\r\n\r\n"
        );
        let content =
            [disposition.as_bytes(), &clip_bytes(ONE_FRAME), b"\r\n--line--\r\n"].concat();
        let request = user
            .request(Method::POST, "/videos/upload")
            .header("Content-Type", "multipart/form-data; boundary=line");
        let (status, accepted) = fetch_json(request.body(content)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let job = accepted["job_id"].as_str().expect("an id").to_owned();
        user.wait_until_done(&job).await;
        let link = link(&user, &job).await;
        assert_eq!(link["filename"], archive);
        let download = follow(&service, &url(&link), &[]).await;
        let disposition = format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
        assert_eq!(
            (download.status, download.header("content-disposition")),
            (StatusCode::OK, disposition)
        );
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn downloads_can_be_resumed(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let Ready { url, etag, bytes: whole } = Ready::of(&user, SHORT).await;
    let size = whole.len();
    assert!(
        etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2,
        "{etag} is not a strong entity tag"
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
    for (requested, range) in parts {
        let part = follow(&service, &url, &[("Range", &requested)]).await;
        let headers = ["content-range", "content-length", "etag"].map(|name| part.header(name));
        let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        assert_eq!(
            (part.status, headers),
            (StatusCode::PARTIAL_CONTENT, [content_range, range.len().to_string(), etag.clone()]),
            "{requested}"
        );
        assert!(part.body == whole[range], "{requested}: other bytes");
    }
    let middle = size / 2;
    let mut resumed =
        follow(&service, &url, &[("Range", &format!("bytes=0-{}", middle - 1))]).await.body;
    let rest = [("Range", &*format!("bytes={middle}-")), ("If-Range", &*etag)];
    resumed.extend(follow(&service, &url, &rest).await.body);
    assert!(resumed == whole, "the two halves are not the whole");
}

/// On embedded parts only, where the service itself responds; S3 stores treat invalid ranges in
/// different ways.
#[tokio::test(flavor = "multi_thread")]
async fn unusual_ranges_are_handled_as_the_standard_requires() {
    let service = Service::start().await;
    let user = service.user().await;
    let Ready { url, etag, bytes: whole } = Ready::of(&user, SHORT).await;
    let size = whole.len();
    // Several ranges, other units and invalid ranges return the whole archive (RFC 9110, 14.2).
    for requested in ["bytes=0-1,5-6", "frames=1-2", "bytes=9-1", "bytes=a-b", "bytes"] {
        let all = follow(&service, &url, &[("Range", requested)]).await;
        assert_eq!(
            (all.status, all.headers.get("content-range"), all.body == whole),
            (StatusCode::OK, None, true),
            "{requested}"
        );
    }
    for requested in
        [format!("bytes={size}-"), "bytes=99999999999-".to_owned(), "bytes=-0".to_owned()]
    {
        let rejected = follow(&service, &url, &[("Range", &requested)]).await;
        let problem: Value = serde_json::from_slice(&rejected.body).expect("problems are JSON");
        assert_eq!(
            (rejected.status.as_u16(), &problem["code"]),
            (416, &json!("RANGE_NOT_SATISFIABLE")),
            "{requested}"
        );
        assert_eq!(rejected.header("content-range"), format!("bytes */{size}"), "{requested}");
    }
    for (known, status, length) in
        [(etag.as_str(), 206, 100), ("\"other\"", 200, size), ("W/\"other\"", 200, size)]
    {
        let part = follow(&service, &url, &[("Range", "bytes=0-99"), ("If-Range", known)]).await;
        assert_eq!((part.status.as_u16(), part.body.len()), (status, length), "{known}");
    }

    let head = service.request(Method::HEAD, &url).send().await.expect("the service responds");
    assert_eq!(head.status(), StatusCode::OK);
    let headers = ["content-length", "etag", "accept-ranges", "content-type"]
        .map(|name| header(head.headers(), name));
    assert_eq!(headers, [size.to_string(), etag, "bytes".to_owned(), "application/zip".to_owned()]);
}

/// On embedded parts only, where the service itself checks links; S3 stores check their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_only_its_archive_until_it_expires() {
    let service = Service::start().await;
    let user = service.user().await;
    let (job, other) = (user.upload_clip(ONE_FRAME).await, user.upload_clip(ONE_FRAME).await);
    user.wait_until_done(&job).await;
    user.wait_until_done(&other).await;
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
        assert_eq!(error_of(&service, &tampered).await, (403, json!("LINK_INVALID")), "{tampered}");
    }
    for name in ["expires", "filename", "signature"] {
        assert_eq!(
            error_of(&service, &opened.replace(name, "something")).await,
            (400, json!("INVALID_PARAMETER")),
            "no {name}"
        );
    }

    // Links are valid for 900 s.
    service.advance(Duration::from_secs(890));
    assert_eq!(follow(&service, &opened, &[]).await.status, StatusCode::OK);
    service.advance(Duration::from_secs(11));
    assert_eq!(error_of(&service, &opened).await, (410, json!("LINK_EXPIRED")));
    assert_eq!(
        follow(&service, &url(&link(&user, &job).await), &[]).await.status,
        StatusCode::OK,
        "a new link is valid"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn links_are_available_exactly_while_the_archive_exists(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let download = |job: &str| format!("/jobs/{job}/download");
    let code = |(status, problem): (StatusCode, Value)| (status.as_u16(), problem["code"].clone());
    let running = user.upload_clip(LONG).await;
    assert_eq!(code(user.get(&download(&running)).await), (400, json!("NOT_DONE")));
    user.wait_for(&running, &["PROCESSING"]).await;
    assert_eq!(code(user.get(&download(&running)).await), (400, json!("NOT_DONE")));
    assert_eq!(user.delete(&format!("/videos/{running}")).await.0, StatusCode::OK);
    assert_eq!(
        code(user.get(&download(&running)).await),
        (400, json!("NOT_DONE")),
        "a cancelled job has no archive"
    );
    let failed = user.upload_clip("broken/noise_in_mp4.mp4").await;
    user.wait_for(&failed, &["FAILED"]).await;
    assert_eq!(code(user.get(&download(&failed)).await), (400, json!("NOT_DONE")));

    let (deleted, expired) = (user.upload_clip(ONE_FRAME).await, user.upload_clip(ONE_FRAME).await);
    for job in [&deleted, &expired] {
        assert_eq!(user.wait_until_done(job).await["download_available"], true);
    }
    let open = url(&link(&user, &deleted).await);
    assert_eq!(user.delete(&format!("/videos/{deleted}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(code(user.get(&download(&deleted)).await), (404, json!("JOB_NOT_FOUND")));
    assert_eq!(follow(&service, &open, &[]).await.status, StatusCode::NOT_FOUND);

    service.advance(Duration::from_hours(7 * 24));
    user.log_in_again().await;
    assert_eq!(
        code(user.get(&download(&expired)).await),
        (410, json!("ARCHIVE_EXPIRED")),
        "before the maintenance removes the archive"
    );
    service.run_maintenance().await;
    let (_, view) = user.get(&format!("/videos/{expired}")).await;
    assert_eq!((&view["status"], &view["download_available"]), (&json!("EXPIRED"), &json!(false)));
    assert_eq!(code(user.get(&download(&expired)).await), (410, json!("ARCHIVE_EXPIRED")));
    assert_eq!(service.files().await, [].into());
}

/// On embedded parts only; otherwise links lead to the S3 store.
#[tokio::test(flavor = "multi_thread")]
async fn links_use_the_public_address_of_the_service() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let link_url = async |headers: &[(&str, &str)]| {
        let request = user.request(Method::GET, &format!("/jobs/{job}/download"));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (status, link) = fetch_json(request).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        url(&link)
    };
    assert!(link_url(&[]).await.starts_with(&format!("{}/files/", service.base())));
    let forged = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example.com")];
    let untrusted = link_url(&forged).await;
    assert!(untrusted.starts_with(&format!("{}/files/", service.base())), "{untrusted}");

    let public = Service::with(|settings| {
        settings.server.public_url = Some("https://videos.example.com/".to_owned());
        settings.server.proxies = 1;
    })
    .await;
    let user = public.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let link = user.request(Method::GET, &format!("/jobs/{job}/download"));
    let link = fetch_json(link.header("X-Forwarded-Host", "other.example.com")).await.1;
    let url = url(&link);
    let path = url.strip_prefix("https://videos.example.com").expect("the configured base");
    assert!(path.starts_with("/files/videos/"), "{url}");
    assert_eq!(follow(&public, path, &[]).await.status, StatusCode::OK);
}

/// On embedded parts only; otherwise links lead to the S3 store.
#[tokio::test(flavor = "multi_thread")]
async fn links_use_the_address_that_the_outermost_trusted_proxy_reports() {
    let service = Service::with(|settings| settings.server.proxies = 2).await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&job).await;
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("Host", "a.example"), ("X-Forwarded-Proto", "https,http")], "https://a.example/"),
        (&[("Host", "a.example"), ("X-Forwarded-Proto", "https")], "https://a.example/"),
        (&[("Host", "a.example"), ("X-Forwarded-Proto", "https,http,http")], "http://a.example/"),
        (
            &[("X-Forwarded-Host", "a.example:8443, api"), ("X-Forwarded-Proto", "https, http")],
            "https://a.example:8443/",
        ),
        (
            &[("Forwarded", "for=203.0.113.7;proto=https;host=a.example, for=10.0.0.1")],
            "https://a.example/",
        ),
        (&[("Host", "a.example"), ("X-Forwarded-Host", "b.example/<path>")], "http://a.example/"),
    ];
    for (headers, base) in cases {
        let request = user.request(Method::GET, &format!("/jobs/{job}/download"));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (status, link) = fetch_json(request).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        let url = url(&link);
        assert!(url.starts_with(&format!("{base}files/")), "{headers:?}: {url}");
    }
}
