//! Deletion of an account: at once, with everything that belongs to it.

use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::field_errors;
use super::links::{account, log_in};
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::{LONG, SHORT, TINY};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{output, tool};
use crate::harness::service::Service;

/// All statements that would create a SQLite database again.
fn dump(directory: &std::path::Path) -> String {
    let program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=60); \
                   print('\\n'.join(c.iterdump()))";
    let dumped = output(tool("python3").args(["-c", program]).arg(directory.join("fiapx.db")));
    String::from_utf8(dumped.expect("the database can be read")).expect("it is text")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn everything_is_deleted_at_once(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let kept = neighbor.upload_clip(TINY).await;
    neighbor.wait_until_done(&kept).await;
    let done = user.upload_clip(TINY).await;
    user.wait_until_done(&done).await;
    let running = user.upload_clip(LONG).await;
    user.wait_for_first_frames(&running).await;
    for _ in 0..3 {
        user.upload_clip(SHORT).await;
    }
    let delete = async |password: &str| {
        let body = json!({ "password": password });
        fetch_json(user.request(Method::DELETE, "/auth/me").json(&body)).await
    };
    let (status, problem) = delete("wrong").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["password: PASSWORD_WRONG".to_owned()].into());
    assert_eq!(user.get("/auth/me").await.0, StatusCode::OK);
    if service.namespaces.is_none() {
        assert!(dump(service.directory.path()).contains(&user.id), "the rows can be found");
    }

    assert_eq!(delete(PASSWORD).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&service, &user.email, PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    // The worker loses the job, and the archive that it writes.
    eventually("no file of the user is left", || async {
        service.run_maintenance().await;
        let files = service.files_and_previews().await;
        let left = |path: &String| path.contains(&user.id) || path.starts_with("unfinished/");
        (!files.keys().any(left)).then_some(())
    })
    .await;
    if service.namespaces.is_none() {
        let dump = dump(service.directory.path());
        for text in [&user.id, &user.email, &done, &running] {
            assert!(!dump.contains(text.as_str()), "a row with {text} is left");
        }
    }
    assert_eq!(neighbor.get(&format!("/videos/{kept}")).await.0, StatusCode::OK);
    neighbor.archive(&kept).await;
    assert_eq!(account(&service, &neighbor.access).await["email"], json!(neighbor.email));
    let usage = service.database().usage(user.id.parse().expect("an id")).await;
    assert_eq!(usage.expect("the database responds"), database::quotas::Usage::default());
}

/// The files are deleted even if the process ends right after the transaction.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_deleted_after_a_restart() {
    let service = Service::start().await;
    let user = service.user().await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let id = user.id.parse().expect("an id");
    drop(user);
    let deleted = service.database().delete_user(id).await.expect("the database responds");
    assert_eq!(deleted.map(|deleted| deleted.jobs), Some(1));
    service.run_maintenance().await;
    assert_eq!(service.files().await, [].into());
}
