//! Uploads that are repeated with their idempotency key.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::{files_of, ids, rows};
use crate::harness::client::{User, fetch_json, form};
use crate::harness::clips::{ONE_FRAME, clip_bytes};
use crate::harness::parts::Parts::{self, Embedded, Servers};

/// Upload a short clip under an idempotency key.
pub async fn send(user: &User<'_>, key: &str, files: usize) -> (StatusCode, Value) {
    let request = user.request(Method::POST, "/videos/upload").header("Idempotency-Key", key);
    fetch_json(request.multipart(form(&vec![("short.mp4", clip_bytes(ONE_FRAME)); files]))).await
}

/// Wait until all jobs of an upload are done.
async fn done(user: &User<'_>, accepted: &Value) {
    for job in ids(accepted) {
        user.wait_until_done(&job).await;
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_upload_gives_the_same_jobs(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (status, first) = send(&user, "mine", 2).await;
    assert_eq!((status, ids(&first).len()), (StatusCode::ACCEPTED, 2));
    done(&user, &first).await;
    let before = (service.files().await, rows(&service, &user).await);
    assert_eq!(before.0.keys().cloned().collect::<Vec<_>>(), files_of(&before.1));

    // The key alone tells: who repeats does not have to send the same, nor anything at all.
    for files in [2, 1] {
        let (status, again) = send(&user, "mine", files).await;
        assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, ids(&first)));
        assert_eq!(again["status"], "DONE", "{again}");
    }
    assert_eq!((service.files().await, rows(&service, &user).await), before);

    let (status, other) = send(&user, "another", 1).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert!(!ids(&first).contains(&ids(&other)[0]));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn eight_uploads_at_once_with_one_key_are_one(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let answers = join_all((0..8).map(|_| send(&user, "at once", 3))).await;
    let (_, first) = &answers[0];
    for (status, accepted) in &answers {
        assert_eq!((*status, ids(accepted)), (StatusCode::ACCEPTED, ids(first)), "{accepted}");
    }
    assert_eq!(ids(first).len(), 3);
    done(&user, first).await;
    let rows = rows(&service, &user).await;
    assert_eq!(rows.len(), 3);
    assert_eq!(
        service.files().await.into_keys().collect::<Vec<_>>(),
        files_of(&rows),
        "no video is left that became no job"
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_deleted_jobs_is_used_up(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let (_, first) = send(&user, "deleted", 2).await;
    done(&user, &first).await;
    let [one, two] = ids(&first).try_into().expect("two jobs");
    assert_eq!(user.delete(&format!("/videos/{one}")).await.0, StatusCode::NO_CONTENT);
    let (status, again) = send(&user, "deleted", 2).await;
    assert_eq!(
        (status, ids(&again)),
        (StatusCode::ACCEPTED, vec![two.clone()]),
        "what is left of them"
    );
    assert_eq!(user.delete(&format!("/videos/{two}")).await.0, StatusCode::NO_CONTENT);
    let (status, problem) = send(&user, "deleted", 2).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("IDEMPOTENCY_KEY_USED")));
    assert_eq!((service.files().await, rows(&service, &user).await), ([].into(), Vec::new()));
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_its_users_own(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (ana, rui) = (service.user().await, service.user().await);
    let ((_, hers), (_, his)) = tokio::join!(send(&ana, "same", 1), send(&rui, "same", 1));
    assert_ne!(ids(&hers), ids(&his));
    for (user, accepted) in [(&ana, &hers), (&rui, &his)] {
        let (status, again) = send(user, "same", 1).await;
        assert_eq!((status, ids(&again)), (StatusCode::ACCEPTED, ids(accepted)));
        let rows = rows(&service, user).await;
        assert_eq!(rows.iter().map(|job| job.id.to_string()).collect::<Vec<_>>(), ids(accepted));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_forgotten_after_a_day(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let mut user = service.user().await;
    let (_, first) = send(&user, "today", 1).await;
    done(&user, &first).await;
    for (hours, same) in [(23, true), (2, false)] {
        service.advance(Duration::from_hours(hours));
        service.run_maintenance().await;
        user.log_in_again().await;
        let (status, later) = send(&user, "today", 1).await;
        assert_eq!((status, ids(&later) == ids(&first)), (StatusCode::ACCEPTED, same));
    }
    assert_eq!(rows(&service, &user).await.len(), 2);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keys_have_one_to_255_characters(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    for (key, accepted) in
        [(String::new(), false), ("k".repeat(255), true), ("k".repeat(256), false)]
    {
        let (status, told) = send(&user, &key, 1).await;
        let (expected, code) =
            if accepted { (202, Value::Null) } else { (400, json!("INVALID_PARAMETER")) };
        assert_eq!(
            (status.as_u16(), &told["code"]),
            (expected, &code),
            "{} characters: {told}",
            key.len()
        );
    }
    assert_eq!(rows(&service, &user).await.len(), 1);
}
