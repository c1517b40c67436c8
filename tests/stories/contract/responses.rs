//! Every operation with every documented response that a test can cause. Each response must match
//! the document.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, HeaderMap, IF_NONE_MATCH, RANGE};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};

use super::specification::Document;
use crate::harness::client::{PASSWORD, User, form};
use crate::harness::clips::clip_bytes;
use crate::harness::programs::{output, tool};
use crate::harness::service::Service;

/// Documented responses that are not caused here.
const NOT_CAUSED: [(&str, u16); 11] = [
    // The state of the job must change during the request.
    ("DELETE /videos/{id}", 409),
    // These operations read no column that can be damaged.
    ("GET /files/videos/{user}/{job}/{name}", 500),
    ("POST /auth/logout", 500),
    ("POST /auth/password", 500),
    ("POST /auth/password", 503),
    ("POST /auth/refresh", 429),
    ("POST /auth/refresh", 500),
    ("POST /auth/register", 429),
    ("POST /auth/register", 500),
    // Other stories cover these.
    ("POST /videos/upload", 429),
    ("POST /videos/upload", 507),
];

const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// Client that validates responses.
struct CheckedClient<'a> {
    service: &'a Service,
    document: Document,
    /// Operations and statuses of the responses so far.
    seen: Mutex<BTreeSet<(String, u16)>>,
}

impl CheckedClient<'_> {
    /// Send a request, whose response must have this status and match the document.
    async fn expect(&self, expected: u16, request: RequestBuilder) -> (HeaderMap, Value) {
        let request = request.build().expect("the request is valid");
        let operation = self.document.operation(request.method(), request.url().path());
        let response = reqwest::Client::new().execute(request).await.expect("the service responds");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the response is complete");
        let name = &operation.name;
        assert_eq!(status, expected, "{name}: {}", String::from_utf8_lossy(&body));
        if let Err(error) = self.document.validate(&operation, status, &headers, &body) {
            panic!(
                "{name} returned {status}, but {error}: {headers:?} {}",
                String::from_utf8_lossy(&body)
            );
        }
        self.seen.lock().insert((name.clone(), expected));
        (headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Request without an access token.
    fn get(&self, path: &str) -> RequestBuilder {
        self.service.request(Method::GET, path)
    }

    /// Send JSON without an access token.
    async fn post(&self, expected: u16, path: &str, body: &Value) -> Value {
        self.expect(expected, self.service.request(Method::POST, path).json(body)).await.1
    }
}

/// Upload of a user.
fn upload(user: &User<'_>, files: &[(&str, Vec<u8>)]) -> RequestBuilder {
    user.request(Method::POST, "/videos/upload").multipart(form(files))
}

/// Execute statements in the database of a service.
fn sql(service: &Service, statements: &str) {
    let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60); \
                   c.executescript(sys.argv[2]); c.close()";
    let file = service.directory.path().join("fiapx.db");
    output(tool("python3").args(["-c", program]).arg(file).arg(statements))
        .expect("the statements are valid");
}

/// Operations on a job. The last deletes it.
const ON_JOB: [(&str, &str); 7] = [
    ("GET", "/videos/{}"),
    ("GET", "/jobs/{}/status"),
    ("GET", "/jobs/{}/events"),
    ("GET", "/jobs/{}/download"),
    ("GET", "/jobs/{}/frames"),
    ("GET", "/jobs/{}/frames/1"),
    ("DELETE", "/videos/{}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_response_matches_the_document() {
    let service = Service::with(|settings| {
        settings.limits.logins_per_minute = 3;
        settings.limits.downloads_per_minute = 2;
        settings.upload.max_video_mb = 32;
        settings.upload.patience_seconds = 1;
        // A month: the clock is set ahead by days.
        settings.accounts.access_minutes = 60 * 24 * 30;
    })
    .await;
    let document = Document::of(&service).await;
    let client = CheckedClient { service: &service, document, seen: Mutex::default() };

    accounts(&client).await;
    uploads(&client).await;
    jobs(&client).await;
    faults(&client).await;
    large_headers(&client).await;

    let documented = client.document.operations().into_iter().flat_map(|operation| {
        operation
            .statuses()
            .into_iter()
            .map(|status| (operation.name.clone(), status))
            .collect::<Vec<_>>()
    });
    let documented: BTreeSet<_> = documented.collect();
    let not_caused: BTreeSet<_> =
        NOT_CAUSED.iter().map(|(operation, status)| ((*operation).to_owned(), *status)).collect();
    let seen = client.seen.lock().clone();
    assert_eq!(
        documented.difference(&seen).cloned().collect::<BTreeSet<_>>(),
        not_caused,
        "documented responses that were not caused"
    );
}

async fn accounts(client: &CheckedClient<'_>) {
    let ana = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    client.post(201, "/auth/register", &ana).await;
    client.post(409, "/auth/register", &ana).await;
    client.post(422, "/auth/register", &json!({ "email": "", "password": "", "name": "" })).await;
    client.post(422, "/auth/register", &json!([])).await;
    let session = client.post(200, "/auth/login", &ana).await;
    let renewed = client
        .post(200, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] }))
        .await;
    client.post(401, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] })).await;
    client.post(204, "/auth/logout", &json!({ "refresh_token": renewed["refresh_token"] })).await;
    let wrong = json!({ "email": "ana@example.com", "password": "wrong" });
    client.post(401, "/auth/login", &wrong).await;
    client.post(401, "/auth/login", &wrong).await;
    client.post(429, "/auth/login", &wrong).await;
    let access = session["access_token"].as_str().expect("a token");
    client.expect(200, client.get("/auth/me").bearer_auth(access)).await;
    for (kind, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "x".repeat(70 << 10), 413),
        ("text/plain", "{}".to_owned(), 415),
    ] {
        let change = client.service.request(Method::POST, "/auth/password").bearer_auth(access);
        client.expect(status, change.header(CONTENT_TYPE, kind).body(body)).await;
    }
    let password = |current: &str, new: &str| {
        let change = json!({ "current_password": current, "new_password": new });
        client.service.request(Method::POST, "/auth/password").bearer_auth(access).json(&change)
    };
    client.expect(429, password(PASSWORD, PASSWORD)).await;
    client.service.advance(Duration::from_mins(1));
    client.expect(422, password(PASSWORD, "short")).await;
    client.expect(422, password("wrong", "Praia#2027")).await;
    client.expect(204, password(PASSWORD, "Praia#2027")).await;
    client.expect(401, password(PASSWORD, "Praia#2028")).await;
    for request in [client.get("/auth/me"), client.get("/auth/me").bearer_auth("garbage")] {
        client.expect(401, request).await;
    }
    for path in ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"] {
        let post = |kind: &str, body: String| {
            client.service.request(Method::POST, path).header(CONTENT_TYPE, kind).body(body)
        };
        client.expect(400, post("application/json", "{".to_owned())).await;
        client.expect(413, post("application/json", "x".repeat(70 << 10))).await;
        client.expect(415, post("text/plain", "{}".to_owned())).await;
        client.expect(422, post("application/json", "{}".to_owned())).await;
    }
    let eva = json!({ "email": "eva@example.com", "password": PASSWORD, "name": "Eva" });
    client.post(201, "/auth/register", &eva).await;
    let disable = "UPDATE users SET is_active = FALSE WHERE email = 'eva@example.com'";
    sql(client.service, disable);
    client.post(403, "/auth/login", &eva).await;
}

async fn uploads(client: &CheckedClient<'_>) {
    client.expect(200, client.get("/videos/upload")).await;
    let user = client.service.user().await;
    let clip = clip_bytes(SHORT);
    // The service aborts it after one second and discards its data for ten more.
    let stalled =
        stream::iter([Ok::<_, std::io::Error>(part(&clip[..500]))]).chain(stream::pending());
    let post = |body: Body| {
        user.request(Method::POST, "/videos/upload")
            .header(CONTENT_TYPE, "multipart/form-data; boundary=line")
            .body(body)
    };
    let large = [clip.clone(), vec![0; 32 << 20]].concat();
    let others = async {
        let named =
            |key: &str| upload(&user, &[("a.mp4", clip.clone())]).header("Idempotency-Key", key);
        let (headers, accepted) = client.expect(202, named("mine")).await;
        let job = accepted["job_id"].as_str().expect("an id");
        assert_eq!(
            headers["location"].to_str().expect("the header is text"),
            format!("/videos/{job}")
        );
        user.wait_until_done(job).await;
        client.expect(202, named("mine")).await;
        client.expect(204, user.request(Method::DELETE, &format!("/videos/{job}"))).await;
        client.expect(409, named("mine")).await;
        client.expect(400, named("")).await;
        client.expect(400, post(part(&clip).into())).await;
        client
            .expect(
                401,
                client
                    .service
                    .request(Method::POST, "/videos/upload")
                    .multipart(form(&[("a.mp4", clip.clone())])),
            )
            .await;
        client.expect(413, upload(&user, &[("a.mp4", large)])).await;
        client.expect(415, upload(&user, &[("a.txt", clip.clone())])).await;
        client.expect(415, upload(&user, &[("a.mp4", b"not a video".to_vec())])).await;
        client.expect(415, user.request(Method::POST, "/videos/upload").json(&json!({}))).await;
        client.expect(422, post("--line--\r\n".into())).await;
        client.expect(422, upload(&user, &[("a.mp4", Vec::new())])).await;
    };
    tokio::join!(client.expect(408, post(Body::wrap_stream(stalled))), others);
}

/// Start of a form with the start of a video.
fn part(bytes: &[u8]) -> Vec<u8> {
    [b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n", bytes]
        .concat()
}

async fn jobs(client: &CheckedClient<'_>) {
    let (user, other) = (client.service.user().await, client.service.user().await);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(user.upload_clip(SHORT).await);
        user.wait_until_done(&jobs[jobs.len() - 1]).await;
    }
    let get = |path: &str| user.request(Method::GET, path);
    let (headers, page) = client.expect(200, get("/videos?limit=1")).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1));
    let next = headers["link"]
        .to_str()
        .expect("the header is text")
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a link")
        .0;
    let (headers, page) = client.expect(200, get(&format!("{next}&limit=2"))).await;
    assert!(page.as_array().is_some_and(|page| !page.is_empty()), "{headers:?}");
    for invalid in ["limit=0", "limit=101", "limit=x", "status=LOST", "cursor=x"] {
        client.expect(400, get(&format!("/videos?{invalid}"))).await;
    }
    client.expect(401, client.get("/videos")).await;

    let failed = failed(client, &user).await;
    for (method, path) in ON_JOB {
        let path = |id: &str| path.replace("{}", id);
        let method: Method = method.parse().expect("a valid method");
        client.expect(400, user.request(method.clone(), &path("no-id"))).await;
        client.expect(401, client.service.request(method.clone(), &path(&jobs[0]))).await;
        client.expect(403, other.request(method.clone(), &path(&jobs[0]))).await;
        client
            .expect(
                404,
                user.request(method.clone(), &path("0190a000-0000-7000-8000-0000000000aa")),
            )
            .await;
        if method == Method::GET {
            client.expect(200, user.request(method.clone(), &path(&jobs[0]))).await;
            let needs_archive =
                ["/download", "/frames", "/frames/1"].iter().any(|end| path("").ends_with(end));
            let unfinished = if needs_archive { 400 } else { 200 };
            client.expect(unfinished, user.request(method, &path(&failed))).await;
        }
    }
    let (_, link) = client.expect(200, get(&format!("/jobs/{}/download", jobs[1]))).await;
    client.expect(429, get(&format!("/jobs/{}/download", jobs[1]))).await;
    frames(client, &user, &jobs[1]).await;
    links(client, link["download_url"].as_str().expect("a link")).await;

    // An unfinished job is cancelled, a finished one is deleted.
    let running = user.upload_clip("long/240_frames.mp4").await;
    let (_, view) =
        client.expect(200, user.request(Method::DELETE, &format!("/videos/{running}"))).await;
    assert_eq!(view["status"], "CANCELLED");
    let (_, link) = client.expect(200, get(&format!("/jobs/{}/download", jobs[1]))).await;
    client.expect(204, user.request(Method::DELETE, &format!("/videos/{}", jobs[1]))).await;
    client.expect(404, client.get(link["download_url"].as_str().expect("a link"))).await;
    client.service.advance(Duration::from_hours(24 * 8));
    for path in ["download", "frames", "frames/1"] {
        client.expect(410, get(&format!("/jobs/{}/{path}", jobs[2]))).await;
    }
}

/// Responses of the operations on frames, in addition to those of all operations on jobs.
async fn frames(client: &CheckedClient<'_>, user: &User<'_>, job: &str) {
    let get = |query: &str| user.request(Method::GET, &format!("/jobs/{job}/frames{query}"));
    for invalid in [
        "?limit=0",
        "?limit=1001",
        "?after=-1",
        "/x",
        "/0",
        "/1?width=15",
        "/1?width=17",
        "/1?width=656",
    ] {
        client.expect(400, get(invalid)).await;
    }
    client.expect(404, get("/2")).await;
    for (path, kind) in [("/1", "image/png"), ("/1?width=160", "image/jpeg")] {
        let (headers, _) = client.expect(200, get(path)).await;
        assert_eq!(headers[CONTENT_TYPE], kind);
        client.expect(304, get(path).header(IF_NONE_MATCH, headers["etag"].clone())).await;
    }
}

/// Job that fails: only the first bytes of its file are a video.
async fn failed(client: &CheckedClient<'_>, user: &User<'_>) -> String {
    let (_, accepted) =
        client.expect(202, upload(user, &[("a.mp4", clip_bytes(SHORT)[..400].to_vec())])).await;
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_for(&job, &["FAILED"]).await;
    job
}

async fn links(client: &CheckedClient<'_>, link: &str) {
    let (headers, _) = client.expect(200, client.get(link)).await;
    assert_eq!(headers["accept-ranges"], "bytes");
    client.expect(206, client.get(link).header(RANGE, "bytes=0-9")).await;
    client.expect(416, client.get(link).header(RANGE, "bytes=999999999-")).await;
    client.expect(400, client.get(link.split('?').next().expect("a URL has a path"))).await;
    client.expect(403, client.get(&link.replace("signature=", "signature=A"))).await;
    client.service.advance(Duration::from_hours(1));
    client.expect(410, client.get(link)).await;
}

/// The HTTP server rejects requests with more than 100 header fields.
async fn large_headers(client: &CheckedClient<'_>) {
    for operation in client.document.operations() {
        let (method, path) = operation.name.split_once(' ').expect("a method and a path");
        let method: Method = method.parse().expect("a valid method");
        let path = path.replace(['{', '}'], "");
        let many = (0..150).fold(client.service.request(method, &path), |request, number| {
            request.header(format!("x-{number}"), "1")
        });
        client.expect(431, many).await;
    }
}

/// A database with damaged rows, a database without its tables, and an unreadable file store.
async fn faults(client: &CheckedClient<'_>) {
    let service = client.service;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let (_, link) =
        client.expect(200, user.request(Method::GET, &format!("/jobs/{job}/download"))).await;
    let link = link["download_url"].as_str().expect("a link");
    client.expect(200, client.get("/health")).await;
    client.expect(200, client.get("/ready")).await;
    let expect_everywhere = async |status: u16, key: &str| {
        for (method, path) in ON_JOB {
            let method: Method = method.parse().expect("a valid method");
            client.expect(status, user.request(method, &path.replace("{}", &job))).await;
        }
        client.expect(status, user.request(Method::GET, "/videos")).await;
        client
            .expect(
                status,
                upload(&user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", key),
            )
            .await;
        client.expect(status, user.request(Method::GET, "/auth/me")).await;
        client
            .post(status, "/auth/login", &json!({ "email": user.email, "password": PASSWORD }))
            .await;
    };
    client
        .expect(
            202,
            upload(&user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", "mine"),
        )
        .await;
    service.wait_until_idle().await;

    sql(
        service,
        "PRAGMA ignore_check_constraints = ON; UPDATE users SET language = 'xx'; \
         UPDATE jobs SET warnings = 'damaged'",
    );
    expect_everywhere(500, "mine").await;
    sql(service, "UPDATE users SET language = 'en'; UPDATE jobs SET warnings = '[]'");

    let tables = ["users", "jobs", "refresh_tokens", "idempotency_keys"];
    let rename = |from: &str, to: &str| {
        let statements =
            tables.map(|table| format!("ALTER TABLE {from}{table} RENAME TO {to}{table};"));
        sql(service, &format!("PRAGMA legacy_alter_table = ON; {}", statements.concat()));
    };
    rename("", "lost_");
    expect_everywhere(503, "another").await;
    client
        .post(
            503,
            "/auth/register",
            &json!({ "email": "lia@example.com", "password": PASSWORD, "name": "Lia" }),
        )
        .await;
    for path in ["/auth/refresh", "/auth/logout"] {
        client.post(503, path, &json!({ "refresh_token": user.refresh })).await;
    }
    rename("lost_", "");
    client.expect(200, user.request(Method::GET, "/auth/me")).await;

    let (files, aside) =
        (service.directory.path().join("files"), service.directory.path().join("aside"));
    fs::rename(&files, &aside).expect("the directory is movable");
    // A link to itself cannot be read. A missing directory would only have no files.
    std::os::unix::fs::symlink(&files, &files).expect("the directory is writable");
    client.expect(503, client.get("/ready")).await;
    client.expect(503, client.get(link)).await;
    fs::remove_file(&files).expect("the link is removable");
    fs::rename(&aside, &files).expect("the directory is movable");
    client.expect(200, client.get(link)).await;
}
