//! Security headers of every response.

use reqwest::{Method, StatusCode, header};

use crate::harness::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_security_headers() {
    let service = Service::start().await;
    let user = service.user().await;
    let requests = [
        (user.request(Method::GET, "/auth/me"), StatusCode::OK),
        (service.request(Method::GET, "/auth/me"), StatusCode::UNAUTHORIZED),
        (service.request(Method::GET, "/nowhere"), StatusCode::NOT_FOUND),
        (service.request(Method::PUT, "/videos"), StatusCode::METHOD_NOT_ALLOWED),
        (
            service.request(Method::POST, "/auth/login").body("{"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        (
            user.request(Method::GET, "/videos/01a2119f-58a3-76ba-baa1-78cd5e3614e1"),
            StatusCode::NOT_FOUND,
        ),
        (service.request(Method::GET, "/openapi.json"), StatusCode::OK),
        (service.request(Method::GET, "/health"), StatusCode::OK),
        (service.request(Method::GET, "/"), StatusCode::OK),
        (service.request(Method::GET, "/assets/0000000000000000/main.js"), StatusCode::OK),
        (service.request(Method::GET, "/assets/0000000000000000/icon.svg"), StatusCode::OK),
        (service.request(Method::GET, "/assets/0000000000000000/none.js"), StatusCode::NOT_FOUND),
    ];
    for (request, expected) in requests {
        let response = request.send().await.expect("the service responds");
        let what = response.url().to_string();
        assert_eq!(response.status(), expected, "{what}");
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .unwrap_or_else(|| panic!("{what}: no {name}"))
                .to_str()
                .expect("text")
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header("x-frame-options"), "DENY", "{what}");
        let transport = "max-age=31536000; includeSubDomains";
        assert_eq!(header("strict-transport-security"), transport, "{what}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{what}");
        let policy = header("content-security-policy");
        for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.split("; ").any(|part| part == directive), "{what}: {policy}");
        }
        assert!(!policy.contains("-inline") && !policy.contains("-eval"), "{what}: {policy}");
        let is_part_of_the_page =
            expected == StatusCode::OK && (what.ends_with('/') || what.contains("/assets/"));
        let caching = if is_part_of_the_page { "no-cache" } else { "no-store" };
        assert_eq!(header("cache-control"), caching, "{what}");
        // JSON is always UTF-8 (RFC 8259, 8.1).
        let kind = header("content-type");
        assert!(kind.ends_with("; charset=utf-8") || kind.ends_with("json"), "{what}: {kind}");
        assert!(header("x-request-id").len() >= 32, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_configured_origins_are_allowed() {
    let origin = "https://app.example.com";
    let service =
        Service::with(|settings| settings.server.cors_origins = vec![origin.to_owned()]).await;
    for (requested, allowed) in
        [(origin, Some(origin)), ("https://app.example.com.evil.example", None), ("null", None)]
    {
        let preflight =
            service.request(Method::OPTIONS, "/videos").header(header::ORIGIN, requested);
        let preflight = preflight
            .header("Access-Control-Request-Method", "GET")
            .send()
            .await
            .expect("the service responds");
        let plain = service
            .request(Method::GET, "/videos")
            .header(header::ORIGIN, requested)
            .send()
            .await
            .expect("the service responds");
        for response in [preflight, plain] {
            let actual = response
                .headers()
                .get("access-control-allow-origin")
                .map(|value| value.to_str().expect("text"));
            assert_eq!(actual, allowed, "{requested}: {}", response.status());
            let exposed = response.headers().get("access-control-expose-headers");
            let exposed = exposed.map(|value| value.to_str().expect("text").to_lowercase());
            for header in ["ratelimit-reset", "retry-after", "etag", "content-disposition"] {
                let is_exposed = exposed.as_ref().is_some_and(|list| list.contains(header));
                assert_eq!(is_exposed, allowed.is_some(), "{header}: {exposed:?}");
            }
        }
    }
}
