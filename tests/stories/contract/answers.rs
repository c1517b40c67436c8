//! Every operation, with every answer that the document promises and a test can bring about; each
//! held against the document.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use reqwest::header::{CONTENT_TYPE, HeaderMap, IF_NONE_MATCH, RANGE};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};

use super::promise::Document;
use crate::harness::client::{PASSWORD, User, form};
use crate::harness::clips::clip_bytes;
use crate::harness::programs::{output, tool};
use crate::harness::service::Service;

/// Answers that are documented and not brought about here.
const UNSEEN: [(&str, u16); 11] = [
    // It takes a change of the job's state in the very moment.
    ("DELETE /videos/{id}", 409),
    // There are no rows that these operations could find damaged.
    ("GET /files/videos/{user}/{job}/{name}", 500),
    ("POST /auth/logout", 500),
    ("POST /auth/password", 500),
    ("POST /auth/password", 503),
    ("POST /auth/refresh", 429),
    ("POST /auth/refresh", 500),
    ("POST /auth/register", 429),
    ("POST /auth/register", 500),
    // They take what others have a story of.
    ("POST /videos/upload", 429),
    ("POST /videos/upload", 507),
];

const SHORT: &str = "good/shorter_than_half_a_second.mp4";

/// What was done so far.
struct Drive<'a> {
    service: &'a Service,
    document: Document,
    seen: Mutex<BTreeSet<(String, u16)>>,
}

impl Drive<'_> {
    /// Do a request that has to be answered with this status, and hold the answer against the
    /// document.
    async fn expect(&self, expected: u16, request: RequestBuilder) -> (HeaderMap, Value) {
        let request = request.build().expect("the request can be made");
        let operation = self.document.operation(request.method(), request.url().path());
        let response = reqwest::Client::new().execute(request).await.expect("the service answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.expect("the answer comes whole");
        let name = &operation.name;
        assert_eq!(status, expected, "{name}: {}", String::from_utf8_lossy(&body));
        if let Err(complaint) = self.document.keeps(&operation, status, &headers, &body) {
            panic!(
                "{name} answers {status}, but {complaint}: {headers:?} {}",
                String::from_utf8_lossy(&body)
            );
        }
        self.seen.lock().expect("nobody panicked").insert((name.clone(), expected));
        (headers, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// A request without a token.
    fn get(&self, path: &str) -> RequestBuilder {
        self.service.request(Method::GET, path)
    }

    /// Send JSON without a token.
    async fn post(&self, expected: u16, path: &str, body: &Value) -> Value {
        self.expect(expected, self.service.request(Method::POST, path).json(body)).await.1
    }
}

/// Upload as somebody.
fn upload(user: &User<'_>, files: &[(&str, Vec<u8>)]) -> RequestBuilder {
    user.request(Method::POST, "/videos/upload").multipart(form(files))
}

/// Change the database behind the service's back.
fn sql(service: &Service, statements: &str) {
    let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60); c.executescript(sys.argv[2]); c.close()";
    let file = service.directory.path().join("fiapx.db");
    output(tool("python3").args(["-c", program]).arg(file).arg(statements))
        .expect("the statements are right");
}

/// The operations on a job; the last removes it.
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
async fn every_answer_is_as_documented() {
    let service = Service::with(|settings| {
        settings.limits.logins_per_minute = 3;
        settings.limits.downloads_per_minute = 2;
        settings.upload.max_video_mb = 32;
        settings.upload.patience_seconds = 1;
        // A month, so that days may pass.
        settings.accounts.access_minutes = 60 * 24 * 30;
    })
    .await;
    let document = Document::of(&service).await;
    let drive = Drive { service: &service, document, seen: Mutex::default() };

    accounts(&drive).await;
    uploads(&drive).await;
    jobs(&drive).await;
    faults(&drive).await;

    let documented = drive.document.operations().into_iter().flat_map(|operation| {
        operation
            .statuses()
            .into_iter()
            .map(|status| (operation.name.clone(), status))
            .collect::<Vec<_>>()
    });
    let documented: BTreeSet<_> = documented.collect();
    let unseen: BTreeSet<_> =
        UNSEEN.iter().map(|(operation, status)| ((*operation).to_owned(), *status)).collect();
    let seen = drive.seen.lock().expect("nobody panicked").clone();
    assert_eq!(
        documented.difference(&seen).cloned().collect::<BTreeSet<_>>(),
        unseen,
        "documented, and never seen"
    );
}

async fn accounts(drive: &Drive<'_>) {
    let ana = json!({ "email": "ana@example.com", "password": PASSWORD, "name": "Ana" });
    drive.post(201, "/auth/register", &ana).await;
    drive.post(409, "/auth/register", &ana).await;
    drive.post(422, "/auth/register", &json!({ "email": "", "password": "", "name": "" })).await;
    drive.post(422, "/auth/register", &json!([])).await;
    let session = drive.post(200, "/auth/login", &ana).await;
    let renewed = drive
        .post(200, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] }))
        .await;
    drive.post(401, "/auth/refresh", &json!({ "refresh_token": session["refresh_token"] })).await;
    drive.post(204, "/auth/logout", &json!({ "refresh_token": renewed["refresh_token"] })).await;
    let wrong = json!({ "email": "ana@example.com", "password": "wrong" });
    drive.post(401, "/auth/login", &wrong).await;
    drive.post(401, "/auth/login", &wrong).await;
    drive.post(429, "/auth/login", &wrong).await;
    let access = session["access_token"].as_str().expect("a token");
    drive.expect(200, drive.get("/auth/me").bearer_auth(access)).await;
    for (kind, body, status) in [
        ("application/json", "{".to_owned(), 400),
        ("application/json", "x".repeat(70 << 10), 413),
        ("text/plain", "{}".to_owned(), 415),
    ] {
        let change = drive.service.request(Method::POST, "/auth/password").bearer_auth(access);
        drive.expect(status, change.header(CONTENT_TYPE, kind).body(body)).await;
    }
    let password = |current: &str, new: &str| {
        let change = json!({ "current_password": current, "new_password": new });
        drive.service.request(Method::POST, "/auth/password").bearer_auth(access).json(&change)
    };
    drive.expect(429, password(PASSWORD, PASSWORD)).await;
    drive.service.advance(Duration::from_mins(1));
    drive.expect(422, password(PASSWORD, "short")).await;
    drive.expect(422, password("wrong", "Praia#2027")).await;
    drive.expect(204, password(PASSWORD, "Praia#2027")).await;
    drive.expect(401, password(PASSWORD, "Praia#2028")).await;
    for nobody in [drive.get("/auth/me"), drive.get("/auth/me").bearer_auth("garbage")] {
        drive.expect(401, nobody).await;
    }
    for path in ["/auth/register", "/auth/login", "/auth/refresh", "/auth/logout"] {
        let post = |kind: &str, body: String| {
            drive.service.request(Method::POST, path).header(CONTENT_TYPE, kind).body(body)
        };
        drive.expect(400, post("application/json", "{".to_owned())).await;
        drive.expect(413, post("application/json", "x".repeat(70 << 10))).await;
        drive.expect(415, post("text/plain", "{}".to_owned())).await;
        drive.expect(422, post("application/json", "{}".to_owned())).await;
    }
}

async fn uploads(drive: &Drive<'_>) {
    drive.expect(200, drive.get("/videos/upload")).await;
    let user = drive.service.user().await;
    let clip = clip_bytes(SHORT);
    // The service gives up on it after a second, and reads on for ten more.
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
        let (headers, accepted) = drive.expect(202, named("mine")).await;
        let job = accepted["job_id"].as_str().expect("an id");
        assert_eq!(headers["location"].to_str().expect("it is text"), format!("/videos/{job}"));
        user.wait_until_done(job).await;
        drive.expect(202, named("mine")).await;
        drive.expect(204, user.request(Method::DELETE, &format!("/videos/{job}"))).await;
        drive.expect(409, named("mine")).await;
        drive.expect(400, named("")).await;
        drive.expect(400, post(part(&clip).into())).await;
        drive
            .expect(
                401,
                drive
                    .service
                    .request(Method::POST, "/videos/upload")
                    .multipart(form(&[("a.mp4", clip.clone())])),
            )
            .await;
        drive.expect(413, upload(&user, &[("a.mp4", large)])).await;
        drive.expect(415, upload(&user, &[("a.txt", clip.clone())])).await;
        drive.expect(415, upload(&user, &[("a.mp4", b"no video".to_vec())])).await;
        drive.expect(415, user.request(Method::POST, "/videos/upload").json(&json!({}))).await;
        drive.expect(422, post("--line--\r\n".into())).await;
        drive.expect(422, upload(&user, &[("a.mp4", Vec::new())])).await;
    };
    tokio::join!(drive.expect(408, post(Body::wrap_stream(stalled))), others);
}

/// The beginning of a form, with the beginning of a video in it.
fn part(bytes: &[u8]) -> Vec<u8> {
    [b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n", bytes]
        .concat()
}

async fn jobs(drive: &Drive<'_>) {
    let (user, other) = (drive.service.user().await, drive.service.user().await);
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(user.upload_clip(SHORT).await);
        user.wait_until_done(&jobs[jobs.len() - 1]).await;
    }
    let get = |path: &str| user.request(Method::GET, path);
    let (headers, page) = drive.expect(200, get("/videos?limit=1")).await;
    assert_eq!(page.as_array().map(Vec::len), Some(1));
    let next = headers["link"]
        .to_str()
        .expect("it is text")
        .strip_prefix('<')
        .and_then(|link| link.split_once('>'))
        .expect("a link")
        .0;
    let (headers, page) = drive.expect(200, get(&format!("{next}&limit=2"))).await;
    assert!(page.as_array().is_some_and(|page| !page.is_empty()), "{headers:?}");
    for wrong in ["limit=0", "limit=101", "limit=x", "status=LOST", "cursor=x"] {
        drive.expect(400, get(&format!("/videos?{wrong}"))).await;
    }
    drive.expect(401, drive.get("/videos")).await;

    let failed = failed(drive, &user).await;
    for (method, path) in ON_JOB {
        let path = |id: &str| path.replace("{}", id);
        let method: Method = method.parse().expect("it is a method");
        drive.expect(400, user.request(method.clone(), &path("no-id"))).await;
        drive.expect(401, drive.service.request(method.clone(), &path(&jobs[0]))).await;
        drive.expect(403, other.request(method.clone(), &path(&jobs[0]))).await;
        drive
            .expect(
                404,
                user.request(method.clone(), &path("0190a000-0000-7000-8000-0000000000aa")),
            )
            .await;
        if method == Method::GET {
            drive.expect(200, user.request(method.clone(), &path(&jobs[0]))).await;
            let of_archive =
                ["/download", "/frames", "/frames/1"].iter().any(|end| path("").ends_with(end));
            let unfinished = if of_archive { 400 } else { 200 };
            drive.expect(unfinished, user.request(method, &path(&failed))).await;
        }
    }
    let (_, link) = drive.expect(200, get(&format!("/jobs/{}/download", jobs[1]))).await;
    drive.expect(429, get(&format!("/jobs/{}/download", jobs[1]))).await;
    frames(drive, &user, &jobs[1]).await;
    links(drive, link["download_url"].as_str().expect("a link")).await;

    // A job that is not over is cancelled; one that is, is deleted.
    let running = user.upload_clip("long/240_frames.mp4").await;
    let (_, view) =
        drive.expect(200, user.request(Method::DELETE, &format!("/videos/{running}"))).await;
    assert_eq!(view["status"], "CANCELLED");
    let (_, link) = drive.expect(200, get(&format!("/jobs/{}/download", jobs[1]))).await;
    drive.expect(204, user.request(Method::DELETE, &format!("/videos/{}", jobs[1]))).await;
    drive.expect(404, drive.get(link["download_url"].as_str().expect("a link"))).await;
    drive.service.advance(Duration::from_hours(24 * 8));
    for what in ["download", "frames", "frames/1"] {
        drive.expect(410, get(&format!("/jobs/{}/{what}", jobs[2]))).await;
    }
}

/// What can be asked of frames beside what can be asked of every job.
async fn frames(drive: &Drive<'_>, user: &User<'_>, job: &str) {
    let get = |query: &str| user.request(Method::GET, &format!("/jobs/{job}/frames{query}"));
    for wrong in [
        "?limit=0",
        "?limit=1001",
        "?after=-1",
        "/x",
        "/0",
        "/1?width=15",
        "/1?width=17",
        "/1?width=656",
    ] {
        drive.expect(400, get(wrong)).await;
    }
    drive.expect(404, get("/2")).await;
    for (path, kind) in [("/1", "image/png"), ("/1?width=160", "image/jpeg")] {
        let (headers, _) = drive.expect(200, get(path)).await;
        assert_eq!(headers[CONTENT_TYPE], kind);
        drive.expect(304, get(path).header(IF_NONE_MATCH, headers["etag"].clone())).await;
    }
}

/// A job of something that is no video behind its first bytes.
async fn failed(drive: &Drive<'_>, user: &User<'_>) -> String {
    let (_, accepted) =
        drive.expect(202, upload(user, &[("a.mp4", clip_bytes(SHORT)[..400].to_vec())])).await;
    let job = accepted["job_id"].as_str().expect("an id").to_owned();
    user.wait_for(&job, &["FAILED"]).await;
    job
}

async fn links(drive: &Drive<'_>, link: &str) {
    let (headers, _) = drive.expect(200, drive.get(link)).await;
    assert_eq!(headers["accept-ranges"], "bytes");
    drive.expect(206, drive.get(link).header(RANGE, "bytes=0-9")).await;
    drive.expect(416, drive.get(link).header(RANGE, "bytes=999999999-")).await;
    drive.expect(400, drive.get(link.split('?').next().expect("there is a path"))).await;
    drive.expect(403, drive.get(&link.replace("signature=", "signature=A"))).await;
    drive.service.advance(Duration::from_hours(1));
    drive.expect(410, drive.get(link)).await;
}

/// A database with damaged rows, one that lacks its tables, and a file store that is none.
async fn faults(drive: &Drive<'_>) {
    let service = drive.service;
    let user = service.user().await;
    let job = user.upload_clip(SHORT).await;
    user.wait_until_done(&job).await;
    let (_, link) =
        drive.expect(200, user.request(Method::GET, &format!("/jobs/{job}/download"))).await;
    let link = link["download_url"].as_str().expect("a link");
    drive.expect(200, drive.get("/health")).await;
    drive.expect(200, drive.get("/ready")).await;
    let ask = async |status: u16, key: &str| {
        for (method, path) in ON_JOB {
            let method: Method = method.parse().expect("it is a method");
            drive.expect(status, user.request(method, &path.replace("{}", &job))).await;
        }
        drive.expect(status, user.request(Method::GET, "/videos")).await;
        drive
            .expect(
                status,
                upload(&user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", key),
            )
            .await;
        drive.expect(status, user.request(Method::GET, "/auth/me")).await;
        drive
            .post(status, "/auth/login", &json!({ "email": user.email, "password": PASSWORD }))
            .await;
    };
    drive
        .expect(
            202,
            upload(&user, &[("a.mp4", clip_bytes(SHORT))]).header("Idempotency-Key", "mine"),
        )
        .await;
    service.wait_until_idle().await;

    sql(
        service,
        "PRAGMA ignore_check_constraints = ON; UPDATE users SET language = 'xx'; UPDATE jobs SET warnings = 'damaged'",
    );
    ask(500, "mine").await;
    sql(service, "UPDATE users SET language = 'en'; UPDATE jobs SET warnings = '[]'");

    let tables = ["users", "jobs", "refresh_tokens", "idempotency_keys"];
    let rename = |from: &str, to: &str| {
        let statements =
            tables.map(|table| format!("ALTER TABLE {from}{table} RENAME TO {to}{table};"));
        sql(service, &format!("PRAGMA legacy_alter_table = ON; {}", statements.concat()));
    };
    rename("", "lost_");
    ask(503, "another").await;
    drive
        .post(
            503,
            "/auth/register",
            &json!({ "email": "eva@example.com", "password": PASSWORD, "name": "Eva" }),
        )
        .await;
    for path in ["/auth/refresh", "/auth/logout"] {
        drive.post(503, path, &json!({ "refresh_token": user.refresh })).await;
    }
    rename("lost_", "");
    drive.expect(200, user.request(Method::GET, "/auth/me")).await;

    let (files, aside) =
        (service.directory.path().join("files"), service.directory.path().join("aside"));
    fs::rename(&files, &aside).expect("it can be moved");
    // A way that leads nowhere: what is not there would only be missing.
    std::os::unix::fs::symlink(&files, &files).expect("there is room");
    drive.expect(503, drive.get("/ready")).await;
    drive.expect(503, drive.get(link)).await;
    fs::remove_file(&files).expect("it can be removed");
    fs::rename(&aside, &files).expect("it can be moved");
    drive.expect(200, drive.get(link)).await;
}
