//! Ownership: nobody gets at anything of a job that is another's, whichever operation they try.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::client::{Client, User, fetch_json};
use crate::harness::clips::{ONE_FRAME, TINY};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::service::Service;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Owner,
    Other,
    Nobody,
    Garbage,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Existing,
    Unknown,
    Malformed,
}

const CALLERS: [Caller; 4] = [Caller::Owner, Caller::Other, Caller::Nobody, Caller::Garbage];
const TARGETS: [Target; 3] = [Target::Existing, Target::Unknown, Target::Malformed];

/// Statuses for the owner, another user, nobody, and a bearer of garbage; each for a job that is
/// there, one that is not, and an id that is none.
type Statuses = [[u16; 3]; 4];

/// An operation that looks at a job, which is there and done, and answers `found` to its owner.
const fn guarded(found: u16) -> Statuses {
    [[found, 404, 400], [403, 404, 400], [401, 401, 401], [401, 401, 401]]
}

/// What every operation on a path with a parameter answers. The last on a job deletes it, so its
/// owner does that last.
const TABLE: [(&str, Statuses); 8] = [
    ("GET /videos/{id}", guarded(200)),
    ("GET /jobs/{id}/status", guarded(200)),
    ("GET /jobs/{id}/events", guarded(200)),
    ("GET /jobs/{id}/download", guarded(200)),
    ("GET /jobs/{id}/frames", guarded(200)),
    ("GET /jobs/{id}/frames/{number}", guarded(200)),
    // Here the link decides and nobody is asked for a token; without a signature of ours it is
    // worth nothing to anybody.
    ("GET /files/videos/{user}/{job}/{name}", [[403; 3]; 4]),
    ("DELETE /videos/{id}", guarded(204)),
];

/// All operations of the document on a path with a parameter, such as `GET /videos/{id}`.
async fn operations(client: &Client) -> BTreeSet<String> {
    let (_, document) = fetch_json(client.request(Method::GET, "/openapi.json")).await;
    let paths = document["paths"].as_object().expect("there are paths");
    let with_parameter = paths.iter().filter(|(path, _)| path.contains('{'));
    let named = |path: &str, item: &Value| -> Vec<String> {
        let methods = item.as_object().expect("methods by their names").keys();
        methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    with_parameter.flat_map(|(path, item)| named(path, item)).collect()
}

/// The path of an operation on one of the owner's jobs.
fn path(operation: &str, owner: &str, job: &str, archive: &str) -> String {
    let (_, path) = operation.split_once(' ').expect("an operation has a method");
    let path = path
        .replace("{id}", job)
        .replace("{job}", job)
        .replace("{user}", owner)
        .replace("{name}", archive)
        .replace("{number}", "1");
    assert!(!path.contains('{'), "there is no value for a parameter of {path}");
    if path.starts_with("/files/") {
        format!("{path}?expires=9999999999&filename=a.zip&signature=AAAA")
    } else {
        path
    }
}

/// All that its owner can see of a job, and all that is kept of it.
async fn state(
    service: &Service,
    owner: &User<'_>,
    job: &str,
) -> (Vec<Value>, BTreeMap<String, u64>) {
    let mut seen = Vec::new();
    for path in [format!("/videos/{job}"), format!("/jobs/{job}/status"), "/videos".to_owned()] {
        let (status, value) = owner.get(&path).await;
        assert_eq!(status, StatusCode::OK, "{value}");
        seen.push(value);
    }
    (seen, service.files().await)
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_on_a_job_is_its_owners(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut table = TABLE;
    if parts == Servers {
        // Links lead to the store, so there are no such files here, for anybody.
        let files = table.iter_mut().find(|(operation, _)| operation.starts_with("GET /files/"));
        files.expect("it is in the table").1 = [[404; 3]; 4];
    }
    let known: BTreeSet<String> =
        table.iter().map(|(operation, _)| (*operation).to_owned()).collect();
    assert_eq!(
        operations(&service).await,
        known,
        "an operation without a line in the table, or a line without an operation"
    );

    let (owner, other) = (service.user().await, service.user().await);
    let job = owner.upload_clip(ONE_FRAME).await;
    owner.wait_until_done(&job).await;
    service.wait_until_idle().await;
    let before = state(&service, &owner, &job).await;
    let archive = before
        .1
        .keys()
        .find_map(|path| path.rsplit('/').next().filter(|name| name.starts_with("output-")));
    let archive = archive.expect("the archive is stored").to_owned();

    let ask = async |operation: &str, caller: Caller, target: Target| {
        let id = match target {
            Target::Existing => job.as_str(),
            Target::Unknown => "0190a000-0000-7000-8000-0000000000aa",
            Target::Malformed => "no-id",
        };
        let method =
            operation.split(' ').next().expect("it has one").parse().expect("it is a method");
        let request = service.request(method, &path(operation, &owner.id, id, &archive));
        let request = match caller {
            Caller::Owner => request.bearer_auth(&owner.access),
            Caller::Other => request.bearer_auth(&other.access),
            Caller::Nobody => request,
            Caller::Garbage => request.bearer_auth("garbage"),
        };
        let response = request.send().await.expect("the service answers");
        (response.status().as_u16(), response.text().await.expect("the answer comes whole"))
    };
    let mut complaints = Vec::new();
    // All refusals come before what the owner may do, and deleting comes last.
    for allowed in [false, true] {
        for (operation, statuses) in &table {
            for (caller, statuses) in CALLERS.into_iter().zip(statuses) {
                for (target, expected) in TARGETS
                    .into_iter()
                    .zip(statuses)
                    .filter(|(_, status)| (**status < 300) == allowed)
                {
                    let (status, body) = ask(operation, caller, target).await;
                    if status != *expected {
                        complaints.push(format!("{operation} by {caller:?} on {target:?}: {status} instead of {expected}: {body}"));
                    }
                    // A refusal does not tell what it refuses.
                    if !allowed
                        && (body.contains("shorter_than")
                            || body.contains(&owner.email)
                            || body.contains(&archive))
                    {
                        complaints.push(format!(
                            "{operation} by {caller:?} on {target:?} tells of the job: {body}"
                        ));
                    }
                }
            }
        }
        if !allowed {
            assert_eq!(complaints, Vec::<String>::new());
            assert_eq!(
                state(&service, &owner, &job).await,
                before,
                "the refused have changed something"
            );
        }
    }
    assert_eq!(complaints, Vec::<String>::new());
    assert_eq!(
        (owner.get("/videos").await, service.files().await),
        ((StatusCode::OK, json!([])), BTreeMap::new())
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn lists_hold_ones_own_jobs_alone(#[values(Embedded, Servers)] parts: Parts) {
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
    // Another's job as a cursor is a moment and no more.
    assert_eq!(ids(&ana, &format!("?cursor={others}")).await, [job.as_str()]);
    assert_eq!(ids(&eve, &format!("?cursor={job}")).await, Vec::<String>::new());
    let (status, _) = fetch_json(service.request(Method::GET, "/videos")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_ones_own(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (ana, eve) = (service.user().await, service.user().await);
    let mut jobs = BTreeSet::new();
    for user in [&ana, &eve] {
        let form = crate::harness::client::form(&[(
            "a.mp4",
            crate::harness::clips::clip_bytes(ONE_FRAME),
        )]);
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
    assert_eq!(jobs.len(), 2, "the second was given the first one's job");
}
