//! Repeated uploads with an idempotency key.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{files_of, ids, rows, upload_with_key};
use crate::harness::client::{User, fetch_json};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Wait until all jobs of an upload are done.
async fn wait_until_done(user: &User<'_>, accepted: &Value) {
    for job in ids(accepted) {
        user.wait_until_done(&job).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_upload_returns_the_same_jobs(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (status, first) = upload_with_key(&user, "mine", 2).await;
    assert_eq!((status, ids(&first).len()), (StatusCode::ACCEPTED, 2));
    wait_until_done(&user, &first).await;
    let before = (service.files().await, rows(&service, &user).await);
    assert_eq!(before.0.keys().cloned().collect::<Vec<_>>(), files_of(&before.1));

    let (status, again) = upload_with_key(&user, "mine", 2).await;
    assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, ids(&first)));
    assert_eq!(again["status"], "DONE", "{again}");
    assert_eq!((service.files().await, rows(&service, &user).await), before);

    let (status, other) = upload_with_key(&user, "another", 1).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(!ids(&first).contains(&ids(&other)[0]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_for_one_request_only(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let clip = || clip_bytes(ONE_FRAME);
    let upload = async |name: &str, video: Vec<u8>, recipe: &str| {
        let file = Part::bytes(video).file_name(name.to_owned());
        let form = Form::new().text("recipe", recipe.to_owned()).part("file", file);
        let request = user.request(Method::POST, "/videos/upload").header("Idempotency-Key", "k");
        fetch_json(request.multipart(form)).await
    };
    let another = async |job: &str, recipe: Value, key: &str| {
        let request = user.request(Method::POST, &format!("/videos/{job}/jobs"));
        let request = request.header("Idempotency-Key", key);
        fetch_json(request.json(&json!({ "recipe": recipe }))).await
    };
    let (_, first) = upload("a.mp4", clip(), "{}").await;
    wait_until_done(&user, &first).await;
    let [first_id] = ids(&first).try_into().expect("one job");
    let (_, second) = another(&first_id, json!({ "max_frames": 1 }), "l").await;
    wait_until_done(&user, &second).await;
    let before = (service.files().await, rows(&service, &user).await);

    let longer = [clip(), vec![0; 10]].concat();
    for (status, problem) in [
        upload("b.mp4", clip(), "{}").await,
        upload("a.mp4", longer, "{}").await,
        upload("a.mp4", clip(), r#"{"select": {"every": 2}}"#).await,
        upload_with_key(&user, "k", 2).await,
        upload_with_key(&user, "l", 1).await,
        another(&first_id, json!({}), "k").await,
        another(&first_id, json!({}), "l").await,
        another(&ids(&second)[0], json!({ "max_frames": 1 }), "l").await,
    ] {
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, &json!("IDEMPOTENCY_KEY_REUSED"));
        assert_eq!((status, &problem["code"]), expected, "{problem}");
    }
    // The same recipe in other words.
    let (status, again) = upload("a.mp4", clip(), r#"{"select": {"every": "1"}}"#).await;
    assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, vec![first_id.clone()]));
    let (status, again) = another(&first_id, json!({ "max_frames": 1 }), "l").await;
    assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, ids(&second)));
    assert_eq!((service.files().await, rows(&service, &user).await), before);
}

/// Of different uploads at the same time with one key, one is accepted.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_with_one_key_may_not_differ(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let responses = join_all((1..=4).map(|files| upload_with_key(&user, "at once", files))).await;
    let (accepted, refused): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|(status, _)| *status == StatusCode::ACCEPTED);
    let [(_, accepted)] = <[_; 1]>::try_from(accepted).expect("one is accepted");
    for (status, problem) in refused {
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["code"], "IDEMPOTENCY_KEY_REUSED");
    }
    wait_until_done(&user, &accepted).await;
    let rows = rows(&service, &user).await;
    assert_eq!(rows.len(), ids(&accepted).len());
    assert_eq!(service.files().await.into_keys().collect::<Vec<_>>(), files_of(&rows));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_uploads_with_one_key_count_as_one(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let responses = join_all((0..8).map(|_| upload_with_key(&user, "at once", 3))).await;
    let (_, first) = &responses[0];
    for (status, accepted) in &responses {
        assert_eq!((*status, ids(accepted)), (StatusCode::ACCEPTED, ids(first)), "{accepted}");
    }
    assert_eq!(ids(first).len(), 3);
    wait_until_done(&user, first).await;
    let rows = rows(&service, &user).await;
    assert_eq!(rows.len(), 3);
    assert_eq!(
        service.files().await.into_keys().collect::<Vec<_>>(),
        files_of(&rows),
        "a video without a job is left"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_deleted_jobs_cannot_be_reused(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (_, first) = upload_with_key(&user, "deleted", 2).await;
    wait_until_done(&user, &first).await;
    let [one, two] = ids(&first).try_into().expect("two jobs");
    assert_eq!(user.delete(&format!("/videos/{one}")).await.0, StatusCode::NO_CONTENT);
    let (status, again) = upload_with_key(&user, "deleted", 2).await;
    assert_eq!(
        (status, ids(&again)),
        (StatusCode::ACCEPTED, vec![two.clone()]),
        "the remaining job"
    );
    assert_eq!(user.delete(&format!("/videos/{two}")).await.0, StatusCode::NO_CONTENT);
    let (status, problem) = upload_with_key(&user, "deleted", 2).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("IDEMPOTENCY_KEY_USED")));
    assert_eq!((service.files().await, rows(&service, &user).await), ([].into(), Vec::new()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn users_can_use_the_same_key(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (ana, rui) = (service.user().await, service.user().await);
    let ((_, hers), (_, his)) =
        tokio::join!(upload_with_key(&ana, "same", 1), upload_with_key(&rui, "same", 1));
    assert_ne!(ids(&hers), ids(&his));
    for (user, accepted) in [(&ana, &hers), (&rui, &his)] {
        let (status, again) = upload_with_key(user, "same", 1).await;
        assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, ids(accepted)));
        let rows = rows(&service, user).await;
        assert_eq!(rows.iter().map(|job| job.id.to_string()).collect::<Vec<_>>(), ids(accepted));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_expire_after_a_day(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let (_, first) = upload_with_key(&user, "today", 1).await;
    wait_until_done(&user, &first).await;
    for (hours, same) in [(23, true), (2, false)] {
        service.advance(Duration::from_hours(hours));
        service.run_maintenance().await;
        user.log_in_again().await;
        let (status, later) = upload_with_key(&user, "today", 1).await;
        assert_eq!((status, ids(&later) == ids(&first)), (StatusCode::ACCEPTED, same));
    }
    assert_eq!(rows(&service, &user).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_have_1_to_255_characters(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    for (key, accepted) in
        [(String::new(), false), ("k".repeat(255), true), ("k".repeat(256), false)]
    {
        let (status, response) = upload_with_key(&user, &key, 1).await;
        let (expected, code) =
            if accepted { (202, Value::Null) } else { (400, json!("INVALID_PARAMETER")) };
        assert_eq!(
            (status.as_u16(), &response["code"]),
            (expected, &code),
            "{} characters: {response}",
            key.len()
        );
    }
    assert_eq!(rows(&service, &user).await.len(), 1);
}
