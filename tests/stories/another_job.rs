//! Further jobs of a video that is stored already: each owns its files.

use std::time::Duration;

use database::Job;
use database::reading::Page;
use frames::Options;
use futures_util::future::join_all;
use jobs::{Clock, Recipe};
use reqwest::header::LOCATION;
use reqwest::{Method, RequestBuilder, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::audit::LATER;
use crate::harness::client::{User, fetch_json, job_id};
use crate::harness::clips::{ONE_FRAME, SHORT, WRONG, clip_bytes, fixture, scratch};
use crate::harness::extraction::extract;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::process::Process;
use crate::harness::service::{Service, long_sessions};

fn request(user: &User<'_>, job: &str, body: &Value) -> RequestBuilder {
    user.request(Method::POST, &format!("/videos/{job}/jobs")).json(body)
}

async fn create(user: &User<'_>, job: &str, body: &Value) -> (StatusCode, Value) {
    fetch_json(request(user, job, body)).await
}

/// Create another job with the default recipe and return its id.
async fn another(user: &User<'_>, job: &str) -> String {
    let (status, accepted) = create(user, job, &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
    job_id(&accepted)
}

/// Check that a request is rejected with a status and a code.
async fn expect_problem(user: &User<'_>, job: &str, expected: (StatusCode, &str)) {
    let (status, problem) = create(user, job, &json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (expected.0, Some(expected.1)), "{problem}");
}

async fn rows(service: &Service, user: &User<'_>) -> Vec<Job> {
    let page = Page { limit: 1000, ..Page::default() };
    let owner = user.id.parse().expect("a user's id");
    service.database().list_jobs(owner, &page).await.expect("the database responds")
}

/// Check that the store has the files of the user's jobs and no others.
async fn expect_files_of_jobs(service: &Service, user: &User<'_>) {
    let mut expected = Vec::new();
    for job in rows(service, user).await {
        expected.extend(job.zip_path);
        expected.push(job.video_path);
    }
    expected.sort();
    assert_eq!(service.files().await.into_keys().collect::<Vec<_>>(), expected);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn each_job_of_a_video_owns_its_files(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let first = user.upload_clip(SHORT).await;
    let done = user.wait_until_done(&first).await;
    let archive = user.archive(&first).await;

    let recipe = json!({ "select": { "count": 3 }, "image": { "format": "jpeg", "quality": 60 } });
    let response = request(&user, &first, &json!({ "recipe": recipe })).send().await;
    let response = response.expect("the service responds");
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let location = response.headers()[LOCATION].to_str().expect("text").to_owned();
    let accepted: Value = response.json().await.expect("responses are JSON");
    let second = job_id(&accepted);
    let job = json!({ "job_id": second, "filename": done["filename"], "status": "QUEUED" });
    assert_eq!(accepted, json!({ "job_id": second, "status": "QUEUED", "jobs": [job] }));
    assert_eq!(location, format!("/videos/{second}"));

    let view = user.wait_until_done(&second).await;
    assert_eq!((&view["recipe"], &view["filename"]), (&recipe, &done["filename"]));
    assert_eq!(view["video_size_bytes"], done["video_size_bytes"]);
    let recipe = Recipe::try_from(recipe).expect("a valid recipe");
    let options = Options { recipe, ..Options::default() };
    let expected = extract(&fixture(SHORT), &options).expect("the clip is valid");
    assert!(user.archive(&second).await == expected, "another archive: {view}");
    expect_files_of_jobs(&service, &user).await;

    assert_eq!(user.delete(&format!("/videos/{first}")).await.0, StatusCode::NO_CONTENT);
    expect_files_of_jobs(&service, &user).await;
    assert!(user.archive(&second).await == expected, "its archive was deleted");
    expect_problem(&user, &first, (StatusCode::NOT_FOUND, "JOB_NOT_FOUND")).await;

    let third = another(&user, &second).await;
    user.wait_until_done(&third).await;
    assert!(user.archive(&third).await == archive, "another archive of the same video");
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
    expect_files_of_jobs(&service, &user).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn videos_of_unsuccessful_jobs_can_be_processed_again(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.with(|settings| settings.worker.concurrency = 1).await;
    let user = service.user().await;
    let failed = user.upload_clip(WRONG).await;
    user.wait_for(&failed, &["FAILED"]).await;
    let again = another(&user, &failed).await;
    user.wait_for(&again, &["FAILED"]).await;

    let running = user.upload_endless().await;
    let cancelled = user.upload_clip(SHORT).await;
    for job in [&cancelled, &running] {
        let other = another(&user, job).await;
        for job in [job, &other] {
            user.delete(&format!("/videos/{job}")).await;
            user.wait_for(job, &["CANCELLED"]).await;
        }
    }
    user.wait_until_done(&another(&user, &cancelled).await).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_video_of_another_job_is_kept_from_its_own_creation(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let days = |days: u64| Duration::from_hours(24 * days);
    let service = parts.with(long_sessions).await;
    let user = service.user().await;
    let first = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&first).await;
    service.advance(days(6));
    let second = another(&user, &first).await;
    user.wait_until_done(&second).await;

    service.advance(days(2));
    let expired = (StatusCode::GONE, "VIDEO_EXPIRED");
    expect_problem(&user, &first, expired).await;
    service.run_maintenance().await;
    expect_problem(&user, &first, expired).await;
    user.archive(&second).await;
    let third = another(&user, &second).await;
    user.wait_until_done(&third).await;

    let removed = rows(&service, &user).await.swap_remove(0).video_path;
    service.storage().delete(&removed.parse().expect("a key")).await.expect("it is deleted");
    let before = service.files().await;
    expect_problem(&user, &third, expired).await;
    assert_eq!(service.files().await, before);
    assert_eq!(rows(&service, &user).await.len(), 3);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_limits_are_those_of_uploads(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts
        .with(|settings| {
            settings.limits.unfinished_jobs = 2;
            settings.limits.stored_mb = 40;
            settings.worker.concurrency = 1;
        })
        .await;
    let user = service.user().await;
    let large = [clip_bytes(ONE_FRAME), vec![0; 21 << 20]].concat();
    let large = job_id(&user.upload(&[("a.mp4", large)]).await.1);
    user.wait_for(&large, &["DONE", "FAILED"]).await;
    expect_problem(&user, &large, (StatusCode::INSUFFICIENT_STORAGE, "QUOTA_EXCEEDED")).await;
    assert_eq!(user.delete(&format!("/videos/{large}")).await.0, StatusCode::NO_CONTENT);

    let running = user.upload_endless().await;
    another(&user, &running).await;
    expect_problem(&user, &running, (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_JOBS")).await;
    assert_eq!(rows(&service, &user).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_copies_do_not_exceed_the_quotas(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(true, false)] by_size: bool,
) {
    let service = parts
        .with(|settings| {
            settings.limits.stored_mb = if by_size { 10 } else { 1000 };
            settings.limits.unfinished_jobs = if by_size { 100 } else { 3 };
            settings.worker.concurrency = 1;
        })
        .await;
    let user = service.user().await;
    let first = if by_size {
        let padded = [clip_bytes(ONE_FRAME), vec![0; 3 << 20]].concat();
        let first = job_id(&user.upload(&[("a.mp4", padded)]).await.1);
        user.wait_for(&first, &["DONE", "FAILED"]).await;
        first
    } else {
        // It occupies the only worker.
        user.upload_endless().await
    };
    let body = json!({});
    let answers = join_all((0..20).map(|_| create(&user, &first, &body))).await;
    let accepted = answers.iter().filter(|(status, _)| *status == StatusCode::ACCEPTED).count();
    assert!((1..=2).contains(&accepted), "{answers:?}");
    assert_eq!(rows(&service, &user).await.len(), 1 + accepted);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_with_two_members_of_one_name_is_rejected(
    #[values(Embedded, Servers)] parts: Parts,
) {
    let service = parts.start().await;
    let user = service.user().await;
    let first = user.upload_clip(ONE_FRAME).await;
    let body = r#"{"recipe": {"max_frames": 1, "max_frames": 2}}"#;
    let request = user.request(Method::POST, &format!("/videos/{first}/jobs"));
    let request = request.header("content-type", "application/json").body(body);
    let (status, problem) = fetch_json(request).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_JSON")));
    assert_eq!(rows(&service, &user).await.len(), 1);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn repeated_requests_with_one_key_create_one_job(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let first = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&first).await;
    let with_key = || fetch_json(request(&user, &first, &json!({})).header("Idempotency-Key", "k"));
    let responses = join_all((0..8).map(|_| with_key())).await;
    let second = job_id(&responses[0].1);
    for (status, accepted) in responses {
        assert_eq!((status, job_id(&accepted)), (StatusCode::ACCEPTED, second.clone()));
    }
    user.wait_until_done(&second).await;
    expect_files_of_jobs(&service, &user).await;
    for job in [&first, &second] {
        assert_eq!(user.delete(&format!("/videos/{job}")).await.0, StatusCode::NO_CONTENT);
    }
    let (status, problem) = with_key().await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("IDEMPOTENCY_KEY_USED")));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_recipes_name_the_member() {
    let service = Embedded.start().await;
    let user = service.user().await;
    let job = user.upload_clip(ONE_FRAME).await;
    for (recipe, field, code) in [
        (json!({ "select": { "at": [0, "x"] } }), "select.at[1]", "RECIPE_TIME_INVALID"),
        (json!([]), "recipe", "RECIPE_NOT_AN_OBJECT"),
        (json!(null), "recipe", "RECIPE_NOT_AN_OBJECT"),
    ] {
        let (status, problem) = create(&user, &job, &json!({ "recipe": recipe })).await;
        let error = &problem["errors"][0];
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!((&error["field"], &error["code"]), (&json!(field), &json!(code)), "{problem}");
    }
    // The recipe itself, as the form of an upload takes it, would mean the default.
    let (status, problem) = create(&user, &job, &json!({ "select": { "count": 3 } })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("unknown field `select`"), "{problem}");
    assert_eq!(rows(&service, &user).await.len(), 1);
}

/// A crash between the copy and the row leaves no file, and one after the commit no lost job.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_a_job_with_its_video_or_nothing(
    #[values(Embedded, Servers)] parts: Parts,
    #[values(("accept.before-commit:2", 1), ("accept.after-commit:2", 2))] kill: (&str, usize),
) {
    let (point, jobs) = kill;
    let (directory, namespaces) = (scratch(), parts.namespaces().await);
    let variables = namespaces.iter().flat_map(|namespaces| namespaces.variables());
    let environment: Vec<(&str, &str)> = variables.chain([("FIAPX_KILL_AT", point)]).collect();
    let process = Process::start(directory.path(), &environment);
    let user = process.user().await;
    let first = user.upload_clip(ONE_FRAME).await;
    user.wait_until_done(&first).await;
    let account = user.account();
    assert!(request(&user, &first, &json!({})).send().await.is_err(), "it was not killed");
    process.wait_for_exit();

    let clock = Clock::default();
    clock.advance(LATER);
    let service = Service::at(directory, namespaces, clock, |_| {}).await;
    let mut user = account.at(&service);
    user.log_in_again().await;
    let found = rows(&service, &user).await;
    assert_eq!(found.len(), jobs);
    for job in found {
        user.wait_until_done(&job.id.to_string()).await;
    }
    service.database().abandon_uploads().await.expect("the database responds");
    service.run_maintenance().await;
    assert_eq!(service.sweep(Duration::ZERO).await, 0);
    expect_files_of_jobs(&service, &user).await;
}
