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
        assert!(header("strict-transport-security").starts_with("max-age="), "{what}");
        let policy = header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("-inline"),
            "{what}: {policy}"
        );
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
        }
    }
}
