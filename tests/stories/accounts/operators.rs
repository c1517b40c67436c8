//! `fiapx users`: operators list, sign out and delete users while the service runs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::post;
use crate::harness::checks::eventually;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::scratch;
use crate::harness::process::Process;
use crate::harness::programs::{ProgramOutput, error_line, fiapx, run};
use crate::harness::service::stored;

const CLIP: &str = "good/shorter_than_half_a_second.mp4";

#[tokio::test(flavor = "multi_thread")]
async fn users_are_listed_and_signed_out() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let (user, other) = (process.user().await, process.user().await);
    let users = |arguments: &[&str]| {
        let command =
            || run(fiapx().arg("users").args(arguments).arg("--data-dir").arg(directory.path()));
        let output: ProgramOutput = block_in_place(command);
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        output.lines()
    };
    users(&["disable", &other.email]);
    let lines = users(&["list"]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with(&user.id) && lines[0].contains(" active - "), "{lines:?}");
    assert!(lines[1].starts_with(&other.id) && lines[1].contains(" disabled - "), "{lines:?}");
    let json: Vec<Value> = users(&["list", "--json"])
        .iter()
        .map(|line| serde_json::from_str(line).expect("a line is JSON"))
        .collect();
    assert_eq!(json[0]["email"], json!(user.email));
    assert_eq!([&json[0]["active"], &json[1]["active"]], [&json!(true), &json!(false)]);

    assert_eq!(users(&["sign-out", &user.email]), [format!("{}: signed out", user.id)]);
    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    let refresh = json!({ "refresh_token": user.refresh });
    assert_eq!(post(&process, "/auth/refresh", &refresh).await.0, StatusCode::UNAUTHORIZED);
    let credentials = json!({ "email": user.email, "password": PASSWORD });
    assert_eq!(post(&process, "/auth/login", &credentials).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_user_leaves_nothing() {
    let directory = scratch();
    let process = Process::start(directory.path(), &[]);
    let (user, other) = (process.user().await, process.user().await);
    let job = user.upload_clip(CLIP).await;
    user.wait_until_done(&job).await;
    let kept = other.upload_clip(CLIP).await;
    other.wait_until_done(&kept).await;
    let delete = || {
        let command = || {
            let arguments = ["users", "delete", &user.email, "--data-dir"];
            run(fiapx().args(arguments).arg(directory.path()))
        };
        block_in_place(command)
    };
    let output = delete();
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert_eq!(output.lines(), [format!("{}: deleted with 1 jobs and 2 files", user.id)]);

    assert_eq!(user.get("/auth/me").await.0, StatusCode::UNAUTHORIZED);
    let credentials = json!({ "email": user.email, "password": PASSWORD });
    assert_eq!(post(&process, "/auth/login", &credentials).await.0, StatusCode::UNAUTHORIZED);
    eventually("the files are deleted", || async {
        let files = stored(directory.path());
        files.keys().all(|path| path.contains(&other.id)).then_some(())
    })
    .await;
    assert_eq!(other.get(&format!("/videos/{kept}")).await.0, StatusCode::OK);
    let again = delete();
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(error_line(&again).expect("one line").contains(&user.email));
    let registration = json!({ "email": user.email, "password": PASSWORD, "name": "Ana" });
    let register = process.request(Method::POST, "/auth/register").json(&registration);
    assert_eq!(fetch_json(register).await.0, StatusCode::CREATED, "the address is free");
}
