//! Ownership: no operation gives access to a job of another user.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{ApiKey, Client, User, fetch_json, form};
use crate::harness::clips::{ONE_FRAME, TINY, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Owner,
    Other,
    Anonymous,
    /// A client with an invalid token.
    Invalid,
    /// A program with an API key of another user that has all scopes.
    OtherKey,
}

/// The job that is requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Existing,
    Unknown,
    Malformed,
}

const CALLERS: [Caller; 5] =
    [Caller::Owner, Caller::Other, Caller::Anonymous, Caller::Invalid, Caller::OtherKey];
const TARGETS: [Target; 3] = [Target::Existing, Target::Unknown, Target::Malformed];

/// Statuses for each [caller](CALLERS), each for every [target](TARGETS).
type Statuses = [[u16; 3]; 5];

/// Statuses of an operation on a job, which responds with `found` to its owner.
const fn guarded(found: u16) -> Statuses {
    let other = [403, 404, 400];
    [[found, 404, 400], other, [401; 3], [401; 3], other]
}

/// Statuses of all operations on paths with parameters. The last one deletes the job, so its owner
/// calls it last. Bodies are empty objects.
const TABLE: [(&str, Statuses); 18] = [
    ("GET /videos/{id}", guarded(200)),
    ("GET /jobs/{id}/status", guarded(200)),
    ("GET /jobs/{id}/events", guarded(200)),
    ("GET /jobs/{id}/download", guarded(200)),
    ("GET /jobs/{id}/archive", guarded(200)),
    ("GET /jobs/{id}/frames", guarded(200)),
    ("GET /jobs/{id}/frames/{number}", guarded(200)),
    ("GET /jobs/{id}/thumbnail", guarded(200)),
    // The job has no contact sheet.
    ("GET /jobs/{id}/sheets/{number}", guarded(404)),
    // The job has ended.
    ("GET /jobs/{id}/previews", guarded(404)),
    ("GET /jobs/{id}/previews/{number}", guarded(404)),
    ("GET /videos/{id}/forecast", guarded(200)),
    ("POST /videos/{id}/jobs", guarded(202)),
    ("GET /jobs/{id}/shares", guarded(200)),
    ("POST /jobs/{id}/shares", guarded(201)),
    // The link is unknown.
    ("DELETE /jobs/{id}/shares/{share_id}", guarded(404)),
    // Needs a signed link instead of a token; the link here has no valid signature.
    ("GET /files/videos/{user}/{job}/{name}", [[403; 3]; 5]),
    ("DELETE /videos/{id}", guarded(204)),
];

/// All operations of the OpenAPI document on paths with parameters, such as `GET /videos/{id}`.
async fn operations(client: &Client) -> BTreeSet<String> {
    let (_, document) = fetch_json(client.request(Method::GET, "/openapi.json")).await;
    let paths = document["paths"].as_object().expect("there are paths");
    // Other stories cover the sessions, keys, webhooks and resumable uploads of a user, and what
    // people without an account may do.
    let others = ["/auth/", "/keys/", "/webhooks/", "/uploads/", "/shared/", "/files/shared/"];
    let is_of_job =
        |path: &str| path.contains('{') && !others.iter().any(|other| path.starts_with(other));
    let with_parameter = paths.iter().filter(|(path, _)| is_of_job(path));
    let named = |path: &str, item: &Value| -> Vec<String> {
        let methods = item.as_object().expect("methods by name").keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    with_parameter.flat_map(|(path, item)| named(path, item)).collect()
}

/// Path of an operation on a job of the owner.
fn path(operation: &str, owner: &str, job: &str, archive: &str) -> String {
    let (_, path) = operation.split_once(' ').expect("an operation has a method");
    let path = path
        .replace("{id}", job)
        .replace("{job}", job)
        .replace("{user}", owner)
        .replace("{name}", archive)
        .replace("{share_id}", "0190a000-0000-7000-8000-0000000000aa")
        .replace("{number}", "1");
    assert!(!path.contains('{'), "no value for a parameter of {path}");
    if path.starts_with("/files/") {
        format!("{path}?expires=9999999999&filename=a.zip&signature=AAAA")
    } else if path.ends_with("/archive") {
        format!("{path}?frames=1")
    } else {
        path
    }
}

/// Everything that a service has about a job.
#[derive(Debug, PartialEq)]
struct JobState {
    /// Responses to its owner.
    responses: Vec<Value>,
    files: BTreeMap<String, u64>,
}

async fn state(service: &Service, owner: &User<'_>, job: &str) -> JobState {
    let mut responses = Vec::new();
    for path in [format!("/videos/{job}"), format!("/jobs/{job}/status"), "/videos".to_owned()] {
        let (status, value) = owner.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{value}");
        responses.push(value);
    }
    JobState { responses, files: service.files().await }
}

/// A service with a job of one user, and another user.
struct Matrix<'a> {
    service: &'a Service,
    owner: User<'a>,
    other: User<'a>,
    other_key: ApiKey,
    job: String,
    /// File name of the job's archive.
    archive: String,
}

impl Matrix<'_> {
    /// Status and body of an operation.
    async fn request(&self, operation: &str, caller: Caller, target: Target) -> (u16, String) {
        let id = match target {
            Target::Existing => self.job.as_str(),
            Target::Unknown => "0190a000-0000-7000-8000-0000000000aa",
            Target::Malformed => "no-id",
        };
        let (method, _) = operation.split_once(' ').expect("an operation has a method");
        let method: Method = method.parse().expect("a valid method");
        let path = path(operation, &self.owner.id, id, &self.archive);
        let has_body = method == Method::POST;
        let request = self.service.request(method, &path);
        let request = if has_body { request.json(&json!({})) } else { request };
        let request = match caller {
            Caller::Owner => request.bearer_auth(&self.owner.access),
            Caller::Other => request.bearer_auth(&self.other.access),
            Caller::Anonymous => request,
            Caller::Invalid => request.bearer_auth("garbage"),
            Caller::OtherKey => request.bearer_auth(&self.other_key.key),
        };
        let response = request.send().await.expect("the service responds");
        (response.status().as_u16(), response.text().await.expect("the response completes"))
    }

    /// Try all combinations that have to succeed, or all that have to fail; return the deviations.
    async fn deviations(&self, table: &[(&str, Statuses)], allowed: bool) -> Vec<String> {
        let mut deviations = Vec::new();
        for (operation, statuses) in table {
            for (caller, statuses) in CALLERS.into_iter().zip(statuses) {
                let expected = TARGETS.into_iter().zip(statuses);
                for (target, expected) in expected.filter(|(_, code)| (**code < 300) == allowed) {
                    let (status, body) = self.request(operation, caller, target).await;
                    let case = format!("{operation} by {caller:?} on {target:?}");
                    if status != *expected {
                        deviations.push(format!("{case}: {status}, expected {expected}: {body}"));
                    }
                    let secrets = ["shorter_than", &self.owner.email, &self.archive];
                    if !allowed && secrets.iter().any(|secret| body.contains(secret)) {
                        deviations.push(format!("{case} describes the job: {body}"));
                    }
                }
            }
        }
        deviations
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_a_job_needs_its_owner(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut table = TABLE;
    if parts == Servers {
        // Links lead to the S3 store, so these paths do not exist.
        let files = table.iter_mut().find(|(operation, _)| operation.starts_with("GET /files/"));
        files.expect("it is in the table").1 = [[404; 3]; 5];
    }
    let known: BTreeSet<String> =
        table.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    assert_eq!(operations(&service).await, known, "the table has other operations");

    let (owner, other) = (service.user().await, service.user().await);
    let job = owner.upload_clip(ONE_FRAME).await;
    owner.wait_until_done(&job).await;
    service.wait_until_idle().await;
    let before = state(&service, &owner, &job).await;
    let archive = before
        .files
        .keys()
        .find_map(|path| path.rsplit('/').next().filter(|name| name.starts_with("output-")));
    let archive = archive.expect("the archive is stored").to_owned();
    let other_key = other.create_key(&["videos:read", "videos:write", "webhooks"]).await;
    let matrix = Matrix { service: &service, owner, other, other_key, job, archive };
    assert_eq!(matrix.deviations(&table, false).await, [""; 0]);
    let after = state(&service, &matrix.owner, &matrix.job).await;
    assert_eq!(after, before, "rejected requests changed something");
    assert_eq!(matrix.deviations(&table, true).await, [""; 0]);
    // The owner created another job.
    let (_, rest) = matrix.owner.get("/videos").await;
    let another = rest[0]["id"].as_str().expect("an id");
    matrix.owner.wait_until_done(another).await;
    let deleted = matrix.owner.delete(&format!("/videos/{another}")).await;
    assert_eq!(deleted.0, StatusCode::NO_CONTENT);
    assert_eq!(
        (matrix.owner.get("/videos").await, service.files().await),
        ((StatusCode::OK, json!([])), BTreeMap::new())
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn lists_contain_only_jobs_of_the_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (ana, eve) = (service.user().await, service.user().await);
    let (job, others) = (ana.upload_clip(TINY).await, eve.upload_clip(ONE_FRAME).await);
    ana.wait_until_done(&job).await;
    eve.wait_until_done(&others).await;
    let ids = async |user: &User<'_>, query: &str| {
        let (status, jobs) = user.get(&format!("/videos{query}")).await;
        assert_eq!(status, StatusCode::OK, "{jobs}");
        let jobs = jobs.as_array().expect("a list").iter();
        jobs.map(|job| job["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    for query in ["", "?status=DONE", "?limit=100"] {
        assert_eq!(ids(&ana, query).await, [job.as_str()], "{query}");
        assert_eq!(ids(&eve, query).await, [others.as_str()], "{query}");
    }
    // A cursor may be a job of another user, which stands only for its time.
    assert_eq!(ids(&ana, &format!("?cursor={others}")).await, [job.as_str()]);
    assert_eq!(ids(&eve, &format!("?cursor={job}")).await, Vec::<String>::new());
    let (status, _) = fetch_json(service.request(Method::GET, "/videos")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn idempotency_keys_are_separate_for_each_user(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (ana, eve) = (service.user().await, service.user().await);
    let mut jobs = BTreeSet::new();
    for user in [&ana, &eve] {
        let form = form(&[("a.mp4", clip_bytes(ONE_FRAME))]);
        let request = user
            .request(Method::POST, "/videos/upload")
            .header("Idempotency-Key", "the same")
            .multipart(form);
        let (status, accepted) = fetch_json(request).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        let job = accepted["job_id"].as_str().expect("an id").to_owned();
        user.wait_until_done(&job).await;
        jobs.insert(job);
    }
    assert_eq!(jobs.len(), 2, "the second user got the job of the first");
}
