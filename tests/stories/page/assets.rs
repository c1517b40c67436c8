//! Delivery of the page: size, caching, content security policy and foreign origins.

use reqwest::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, ORIGIN,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, EMAIL, Preferences};
use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::service::Service;

/// Response to a request for a file, which accepts compression.
struct FileResponse {
    status: StatusCode,
    headers: HeaderMap,
    /// Length of the body, as it was transferred.
    length: usize,
}

impl FileResponse {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("it is text"))
    }
}

/// Request a file, on condition that it differs from `etag`, if given.
async fn fetch(client: &Client, path: &str, etag: Option<&str>) -> FileResponse {
    let mut request = client.request(Method::GET, path).header("Accept-Encoding", "gzip, br");
    if let Some(etag) = etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    let response = request.send().await.expect("the service responds");
    let (status, headers) = (response.status(), response.headers().clone());
    let length = response.bytes().await.expect("the response is complete").len();
    FileResponse { status, headers, length }
}

#[tokio::test(flavor = "multi_thread")]
async fn first_view_is_small_and_loads_nothing_from_elsewhere() {
    let service = Service::start().await;
    let browser = Browser::open(&service, Preferences::default()).await;
    browser.find("#email").await;
    let loaded = browser
        .js("return ['navigation', 'resource']
                .flatMap((type) => performance.getEntriesByType(type))
                .map(({ name, transferSize }) => ({ name, transferSize }))")
        .await;
    let loaded = loaded.as_array().expect("a list");
    for file in loaded {
        let name = file["name"].as_str().expect("an address");
        assert!(name.starts_with(service.base()), "{name} is loaded from elsewhere");
    }
    let bytes: u64 = loaded.iter().filter_map(|file| file["transferSize"].as_u64()).sum();
    println!("first view: {bytes} bytes in {} files", loaded.len());
    assert!((10_000..100_000).contains(&bytes), "{loaded:?}");
    browser.assert_no_console_errors().await;

    let document = fetch(&service, "/", None).await;
    let policy = document.header(CONTENT_SECURITY_POLICY);
    assert!(policy.contains("script-src 'self';"), "{policy}");
    for forbidden in ["http", "-inline", "-eval"] {
        assert!(!policy.contains(forbidden), "{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_cached_until_they_change() {
    let service = Service::start().await;
    let document = fetch(&service, "/", None).await;
    assert_eq!(document.status, StatusCode::OK);
    assert_eq!(document.header(CACHE_CONTROL), "no-cache");
    assert_eq!(document.header(CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(document.header(CONTENT_ENCODING), "gzip");
    let unchanged = fetch(&service, "/", Some(document.header(ETAG))).await;
    assert_eq!((unchanged.status, unchanged.length), (StatusCode::NOT_MODIFIED, 0));
    let plain = service.request(Method::GET, "/").send().await.expect("the service responds");
    assert!(plain.headers().get(CONTENT_ENCODING).is_none());
    let html = plain.text().await.expect("the response is complete");
    assert!(html.len() > document.length, "the compressed document is not smaller");

    let (_, rest) = html.split_once("src=\"").expect("the document has a script");
    let (path, _) = rest.split_once('"').expect("the attribute ends");
    let script = fetch(&service, path, None).await;
    assert_eq!(script.status, StatusCode::OK);
    assert_eq!(script.header(CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(script.header(CONTENT_TYPE), "text/javascript; charset=utf-8");
    // A document of another version gets the file of this one, which must not be cached for it.
    let other = fetch(&service, "/assets/0000000000000000/main.js", None).await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.header(CACHE_CONTROL), "no-cache");
    for path in [
        "/assets/0000000000000000/index.html",
        "/assets/0000000000000000/..%2F..%2FCargo.toml",
        "/assets/",
        "/assets",
    ] {
        let (status, problem) = fetch_json(service.request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(problem["code"], json!("NOT_FOUND"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_pages_from_other_origins_are_rejected() {
    let service = Service::start().await;
    let credentials = json!({ "email": EMAIL, "password": PASSWORD, "name": "Ana" });
    let register = |origin: &str| {
        service.request(Method::POST, "/auth/register").header(ORIGIN, origin).json(&credentials)
    };
    for origin in ["https://evil.example.com", "http://127.0.0.1", "null"] {
        let (status, _) = fetch_json(register(origin)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{origin}");
    }
    assert_eq!(fetch_json(register(service.base())).await.0, StatusCode::CREATED);
}
