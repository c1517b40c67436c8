//! What the page is made of: little, kept by browsers for as long as it is the same, and nobody
//! else's.

use reqwest::header::{
    CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, IF_NONE_MATCH, ORIGIN,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::browser::{Browser, Taste};
use crate::harness::client::{Client, PASSWORD, fetch_json};
use crate::harness::service::Service;

/// Status, headers and length of a file of the page, sent as small as it can be.
async fn file(client: &Client, path: &str, etag: Option<&str>) -> (StatusCode, HeaderMap, usize) {
    let request = client.request(Method::GET, path).header("Accept-Encoding", "gzip, br");
    let request =
        etag.into_iter().fold(request, |request, etag| request.header(IF_NONE_MATCH, etag));
    let response = request.send().await.expect("the service answers");
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.bytes().await.expect("it comes whole").len())
}

fn told<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map(|value| value.to_str().expect("it is text")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_view_is_small_and_comes_from_here_alone() {
    let service = Service::start().await;
    let browser = Browser::open(service.base(), Taste::default()).await;
    browser.find("#email").await;
    let loaded = browser
        .js("return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map(({ name, transferSize }) => [name, transferSize])")
        .await;
    let loaded = loaded.as_array().expect("a list");
    assert!(
        loaded
            .iter()
            .all(|file| file[0].as_str().is_some_and(|name| name.starts_with(service.base()))),
        "{loaded:?}"
    );
    let bytes: u64 = loaded.iter().filter_map(|file| file[1].as_u64()).sum();
    println!("the first view took {bytes} bytes in {} files", loaded.len());
    assert!((10_000..100_000).contains(&bytes), "{loaded:?}");
    browser.content().await;

    let (_, headers, _) = file(&service, "/", None).await;
    let policy = told(&headers, CONTENT_SECURITY_POLICY.as_str());
    assert!(
        !policy.contains("http")
            && !policy.contains("-inline")
            && !policy.contains("-eval")
            && policy.contains("script-src 'self';"),
        "{policy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_for_as_long_as_they_are_the_same() {
    let service = Service::start().await;
    let (status, headers, small) = file(&service, "/", None).await;
    assert_eq!((status, told(&headers, "cache-control")), (StatusCode::OK, "no-cache"));
    assert_eq!(
        (told(&headers, CONTENT_TYPE.as_str()), told(&headers, CONTENT_ENCODING.as_str())),
        ("text/html; charset=utf-8", "gzip")
    );
    let etag = told(&headers, ETAG.as_str()).to_owned();
    let (status, _, length) = file(&service, "/", Some(&etag)).await;
    assert_eq!((status, length), (StatusCode::NOT_MODIFIED, 0));
    let plain = service.request(Method::GET, "/").send().await.expect("the service answers");
    assert!(plain.headers().get(CONTENT_ENCODING).is_none());
    let html = plain.text().await.expect("it comes whole");
    assert!(html.len() > small);

    let (_, rest) = html.split_once("src=\"").expect("it has a script");
    let (script, _) = rest.split_once('"').expect("it ends");
    let (status, headers, _) = file(&service, script, None).await;
    assert_eq!(
        (status, told(&headers, "cache-control")),
        (StatusCode::OK, "public, max-age=31536000, immutable")
    );
    assert_eq!(told(&headers, CONTENT_TYPE.as_str()), "text/javascript; charset=utf-8");
    // A process of another version gives what it has, and lets nobody keep it under this name.
    let (status, headers, _) = file(&service, "/assets/0000000000000000/main.js", None).await;
    assert_eq!((status, told(&headers, "cache-control")), (StatusCode::OK, "no-cache"));
    for nothing in [
        "/assets/0000000000000000/index.html",
        "/assets/0000000000000000/..%2F..%2FCargo.toml",
        "/assets/",
        "/assets",
    ] {
        let (status, problem) = fetch_json(service.request(Method::GET, nothing)).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::NOT_FOUND, &json!("NOT_FOUND")),
            "{nothing}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_another_origin_stays_outside() {
    let service = Service::start().await;
    let credentials = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    let register = |origin: &str| {
        service.request(Method::POST, "/auth/register").header(ORIGIN, origin).json(&credentials)
    };
    for foreign in ["https://evil.example.com", "http://127.0.0.1", "null"] {
        let (status, _) = fetch_json(register(foreign)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{foreign}");
    }
    assert_eq!(fetch_json(register(service.base())).await.0, StatusCode::CREATED);
}
