//! The protocol: capabilities, versions, methods, origins, and invalid requests.

use reqwest::{Method, StatusCode};
use rstest::rstest;

use super::{BYTES, create, creation, metadata, offset, patch, problem, request, send, text};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn states_its_capabilities() {
    let service = Service::with(|settings| settings.upload.max_video_mb = 7).await;
    let options = send(service.request(Method::OPTIONS, "/uploads")).await;
    assert_eq!(options.status(), StatusCode::NO_CONTENT);
    for (header, expected) in [
        ("tus-resumable", "1.0.0"),
        ("tus-version", "1.0.0"),
        ("tus-extension", "creation,creation-with-upload,termination,expiration,checksum"),
        ("tus-checksum-algorithm", "sha256"),
        ("tus-max-size", "7000000"),
    ] {
        assert_eq!(text(&options, header).as_deref(), Some(expected), "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_other_versions() {
    let service = Service::start().await;
    let user = service.user().await;
    let path = create(&user, 1000).await;
    for version in [None, Some("0.2.2"), Some("1.0.1")] {
        for (method, path) in
            [(Method::POST, "/uploads"), (Method::PATCH, &path), (Method::DELETE, &path)]
        {
            let mut request = user
                .request(method, path)
                .header("Upload-Length", 1)
                .header("Upload-Offset", 0)
                .header("Content-Type", BYTES);
            if let Some(version) = version {
                request = request.header("Tus-Resumable", version);
            }
            let response = send(request).await;
            assert_eq!(text(&response, "tus-version").as_deref(), Some("1.0.0"));
            let expected = (412, "TUS_VERSION_UNSUPPORTED".to_owned());
            assert_eq!(problem(response).await, expected, "{version:?} {path}");
        }
    }
    assert_eq!(offset(&user, &path).await, 0);
}

/// Clients that cannot send a method state it in a header.
#[tokio::test(flavor = "multi_thread")]
async fn accepts_a_method_in_a_header() {
    let service = Service::start().await;
    let user = service.user().await;
    let path = create(&user, 1000).await;
    let post =
        |method: &str| request(&user, Method::POST, &path).header("X-HTTP-Method-Override", method);
    let bytes = post("PATCH").header("Content-Type", BYTES).header("Upload-Offset", 0);
    assert_eq!(send(bytes.body("bytes")).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(offset(&user, &path).await, 5);
    assert_eq!(send(post("DELETE")).await.status(), StatusCode::NO_CONTENT);
    // Other paths know no such header.
    let other = user.request(Method::POST, "/auth/me").header("X-HTTP-Method-Override", "GET");
    assert_eq!(send(other).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_permitted_origins_may_upload() {
    const ORIGIN: &str = "https://films.example.com";
    let service =
        Service::with(|settings| settings.server.cors_origins = vec![ORIGIN.to_owned()]).await;
    let user = service.user().await;
    let headers = "authorization,content-type,tus-resumable,upload-checksum,upload-length,\
                   upload-metadata,upload-offset";
    for method in ["POST", "PATCH", "HEAD", "DELETE"] {
        let preflight = service
            .request(Method::OPTIONS, "/uploads/0190a000-0000-7000-8000-0000000000aa")
            .header("Origin", ORIGIN)
            .header("Access-Control-Request-Method", method)
            .header("Access-Control-Request-Headers", headers);
        let response = send(preflight).await;
        assert!(response.status().is_success(), "{method}: {response:?}");
        let allowed = text(&response, "access-control-allow-headers").expect("headers");
        for header in headers.split(',') {
            assert!(allowed.to_lowercase().contains(header), "{header}: {allowed}");
        }
    }
    let created = send(creation(&user, 1000).header("Origin", ORIGIN)).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let exposed = text(&created, "access-control-expose-headers").expect("headers").to_lowercase();
    for header in ["location", "tus-resumable", "upload-offset", "upload-length", "x-job-id"] {
        assert!(exposed.split(", ").any(|name| name == header), "{header}: {exposed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn explains_invalid_uploads() {
    let service = Service::with(|settings| settings.upload.max_video_mb = 1).await;
    let user = service.user().await;
    let post = |length: &str, metadata: &str| {
        let request = request(&user, Method::POST, "/uploads").header("Upload-Length", length);
        request.header("Upload-Metadata", metadata)
    };
    let named = metadata(&[("filename", "a.mp4")]);
    let recipe = metadata(&[("filename", "a.mp4"), ("recipe", r#"{"select":{"every":0}}"#)]);
    for (length, metadata, expected) in [
        ("-1", named.as_str(), (400, "INVALID_PARAMETER")),
        ("many", &named, (400, "INVALID_PARAMETER")),
        ("0", &named, (422, "INVALID_FIELDS")),
        ("1000001", &named, (413, "VIDEO_TOO_LARGE")),
        ("10", "", (422, "INVALID_FIELDS")),
        ("10", "filename ???", (422, "INVALID_FIELDS")),
        ("10", &metadata(&[("filename", "a.txt")]), (415, "UNSUPPORTED_FORMAT")),
        ("10", &recipe, (422, "INVALID_FIELDS")),
    ] {
        let (status, code) = problem(send(post(length, metadata)).await).await;
        assert_eq!((status, code.as_str()), expected, "{length} {metadata}");
    }
    let without = request(&user, Method::POST, "/uploads").header("Upload-Metadata", &named);
    assert_eq!(problem(send(without).await).await.0, 400);
    let json = post("10", &named).json(&serde_json::json!({}));
    assert_eq!(problem(send(json).await).await, (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    assert!(service.files().await.is_empty());

    let path = create(&user, 1000).await;
    let append = || request(&user, Method::PATCH, &path).body("x");
    let bytes = || append().header("Content-Type", BYTES);
    for (request, expected) in [
        (append().header("Upload-Offset", 0), (415, "UNSUPPORTED_MEDIA_TYPE")),
        (bytes(), (400, "INVALID_PARAMETER")),
        (bytes().header("Upload-Offset", "x"), (400, "INVALID_PARAMETER")),
        (bytes().header("Upload-Offset", 1), (409, "UPLOAD_OFFSET_MISMATCH")),
        (patch(&user, &path, 0, &[0; 1001]), (413, "UPLOAD_LENGTH_EXCEEDED")),
    ] {
        let (status, code) = problem(send(request).await).await;
        assert_eq!((status, code.as_str()), expected);
    }
    // A body of unknown length.
    let chunks = futures_util::stream::iter([0, 1].map(|_| Ok::<_, std::io::Error>(vec![0; 600])));
    let chunked = bytes().header("Upload-Offset", 0).body(reqwest::Body::wrap_stream(chunks));
    let (status, code) = problem(send(chunked).await).await;
    assert!(
        [(413, "UPLOAD_LENGTH_EXCEEDED"), (415, "CONTENT_MISMATCH")].contains(&(status, &code))
    );
}

/// A wrong file is noticed at its first bytes, and at the end where the first request had too few.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_video_is_refused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let wrong = vec![b'x'; 6 << 20];
    let expected = (415, "CONTENT_MISMATCH".to_owned());
    let path = create(&user, wrong.len()).await;
    let first = send(patch(&user, &path, 0, &wrong[..1000])).await;
    assert_eq!(problem(first).await, expected);
    let path = create(&user, wrong.len()).await;
    let first = send(patch(&user, &path, 0, &wrong[..10])).await;
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    let last = send(patch(&user, &path, 10, &wrong[10..])).await;
    assert_eq!(problem(last).await, expected);
    let state = send(request(&user, Method::HEAD, &path)).await;
    assert_eq!(state.status(), StatusCode::NOT_FOUND);
    assert!(service.files().await.is_empty());
    assert_eq!(user.get("/videos").await.1, serde_json::json!([]));
    // Short videos, too.
    let short = clip_bytes(ONE_FRAME);
    let path = create(&user, short.len()).await;
    let job = super::send_rest(&user, &path, &short).await;
    super::expect_only(&service, &user, &job, &short).await;
}
