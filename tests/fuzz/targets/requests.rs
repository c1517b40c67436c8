//! The HTTP API: no request causes a server error, for any path, headers and body,
//! including forms with videos, and a rejected request leaves no file.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use api::{HealthChecks, InMemoryRateLimiter, Parts, Service, Settings};
use arbitrary::Arbitrary;
use database::{Database, Rules};
use jobs::Clock;
use libfuzzer_sys::fuzz_target;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderName, Method, StatusCode, Uri};
use poem::{Endpoint, EndpointExt, Request, Response, Route};
use storage::{Disk, Key, Storage};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const ROUTES: [(Method, &str); 12] = [
    (Method::POST, "/videos/upload"),
    (Method::POST, "/videos/upload"),
    (Method::POST, "/videos/upload"),
    (Method::GET, "/videos"),
    (Method::GET, "/videos/"),
    (Method::DELETE, "/videos/"),
    (Method::GET, "/jobs/"),
    (Method::GET, "/files/"),
    (Method::POST, "/auth/login"),
    (Method::POST, "/auth/register"),
    (Method::POST, "/auth/refresh"),
    (Method::POST, "/auth/password"),
];

const HEADERS: [&str; 12] = [
    "content-type",
    "content-length",
    "content-disposition",
    "idempotency-key",
    "authorization",
    "x-forwarded-for",
    "range",
    "origin",
    "accept-language",
    "if-none-match",
    "traceparent",
    "host",
];

/// A request.
#[derive(Arbitrary, Debug)]
struct RandomRequest<'a> {
    route: u8,
    rest: &'a str,
    headers: Vec<(u8, &'a [u8])>,
    body: Body<'a>,
}

#[derive(Arbitrary, Debug)]
enum Body<'a> {
    Raw(&'a [u8]),
    /// Form of parts with headers and content.
    Form(Vec<(&'a [u8], &'a [u8])>),
    /// Form with a file of this name.
    File(&'a str, &'a [u8]),
}

/// A service without a socket, and a logged-in user.
struct TestService {
    runtime: Runtime,
    endpoint: BoxEndpoint<'static, Response>,
    storage: Arc<Disk>,
    token: String,
    _directory: tempfile::TempDir,
}

static SERVICE: LazyLock<TestService> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("threads");
    let directory = tempfile::tempdir().expect("a directory");
    let clock = Clock::default();
    let (endpoint, storage) = runtime.block_on(async {
        let file = directory.path().join("fiapx.db");
        let database =
            Database::sqlite(&file, clock.clone(), Rules::default()).await.expect("a database");
        database.migrate().await.expect("a schema");
        let key = vec![7; 32].into();
        let storage = Arc::new(
            Disk::open(&directory.path().join("files"), &key, clock.clone()).expect("a store"),
        );
        let parts = Parts {
            database,
            storage: storage.clone(),
            disk: Some(storage.clone()),
            health: HealthChecks::new(Vec::new(), CancellationToken::new()),
            rate_limiter: Arc::new(InMemoryRateLimiter::new(clock)),
            detect_container: frames::source::detect_container,
            current_traceparent: || None,
            metrics: None,
            stop: CancellationToken::new(),
            closing: CancellationToken::new(),
        };
        let settings = Settings {
            jwt_secret: "a key of the fuzzer, long enough to be valid".to_owned().into(),
            access_token_lifetime: Duration::from_hours(24),
            refresh_token_lifetime: Duration::from_hours(24),
            session_lifetime: Duration::from_hours(24),
            confirm_addresses: false,
            max_video_bytes: 1 << 20,
            stall_timeout: Duration::from_secs(5),
            min_upload_rate: 0,
            link_lifetime: Duration::from_secs(900),
            downloads_per_minute: 1_000_000,
            logins_per_minute: 10,
            attempts_per_address: 1_000_000,
            frames_per_job: 1_000,
            max_frame_pixels: 1_000_000,
            event_streams_at_once: 100,
            reads_at_once: 100,
            uploads_at_once: 100,
            webhook_targets: egress::Policy::Public,
            video_targets: Some(egress::Policy::Public),
            trusted_proxies: 1,
            cors_origins: vec!["https://example.com".to_owned()],
            public_url: None,
        };
        let page = |_: &str| poem::Response::default();
        (api::endpoint(Service::new(parts, settings), Route::new(), page).boxed(), storage)
    });
    let mut service =
        TestService { runtime, endpoint, storage, token: String::new(), _directory: directory };
    let ana = r#"{"email": "ana@example.com", "password": "Praia#2026", "name": "Ana"}"#;
    let post = |path| {
        let uri = Uri::from_static(path);
        Request::builder().method(Method::POST).uri(uri).content_type("application/json").body(ana)
    };
    service.respond(post("/auth/register"));
    let (_, session) = service.respond(post("/auth/login"));
    let session: serde_json::Value = serde_json::from_slice(&session).expect("a session");
    service.token = session["access_token"].as_str().expect("a token").to_owned();
    service
});

impl TestService {
    /// Status and body of the response.
    fn respond(&self, request: Request) -> (StatusCode, Vec<u8>) {
        self.runtime.block_on(async {
            let response =
                tokio::time::timeout(Duration::from_secs(20), self.endpoint.get_response(request))
                    .await;
            let response = response.expect("a response in time");
            (response.status(), response.into_body().into_vec().await.unwrap_or_default())
        })
    }

    fn files(&self) -> usize {
        self.runtime.block_on(self.storage.list(Key::ROOT, None)).expect("the store responds").len()
    }
}

fuzz_target!(|random: RandomRequest| {
    let service = &*SERVICE;
    let (method, path) = &ROUTES[random.route as usize % ROUTES.len()];
    let Ok(uri) = format!("{path}{}", random.rest).parse::<Uri>() else { return };
    let mut request = Request::builder()
        .method(method.clone())
        .uri(uri)
        .header("authorization", format!("Bearer {}", service.token));
    let body = match random.body {
        Body::Raw(bytes) => bytes.to_vec(),
        Body::Form(parts) => {
            request = request.content_type("multipart/form-data; boundary=b");
            let parts = parts.into_iter().map(|(headers, bytes)| {
                [b"--b\r\n", headers, b"\r\n\r\n", bytes, b"\r\n"].concat()
            });
            [parts.collect::<Vec<_>>().concat().as_slice(), b"--b--\r\n"].concat()
        }
        Body::File(name, bytes) => {
            request = request.content_type("multipart/form-data; boundary=b");
            let headers = format!(
                "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
            );
            [headers.as_bytes(), bytes, b"\r\n--b--\r\n"].concat()
        }
    };
    for (name, value) in random.headers {
        let name = HeaderName::from_static(HEADERS[name as usize % HEADERS.len()]);
        let Ok(value) = poem::http::HeaderValue::from_bytes(value) else { continue };
        request = request.header(name, value);
    }
    let before = service.files();
    let (status, body) = service.respond(request.body(body));
    assert!(status.as_u16() < 500, "{status}: {}", String::from_utf8_lossy(&body));
    if status.is_client_error() {
        assert_eq!(service.files(), before, "a rejected request left a file");
    }
});
