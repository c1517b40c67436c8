//! Export of an account: a ZIP archive with all rows of the user as JSON, and none of others.

use std::collections::BTreeMap;

use reqwest::header::CONTENT_DISPOSITION;
use reqwest::{Method, StatusCode};
use rstest::rstest;
use serde_json::{Value, json};

use super::field_errors;
use crate::harness::client::{PASSWORD, fetch_json};
use crate::harness::clips::{TINY, scratch};
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{output, tool};

/// Files of a ZIP archive, as Python reads them.
fn unzip(archive: &[u8]) -> BTreeMap<String, Value> {
    let program = "import json, sys, zipfile; archive = zipfile.ZipFile(sys.argv[1]); \
                   assert archive.testzip() is None; \
                   print(json.dumps({n: json.loads(archive.read(n)) for n in archive.namelist()}))";
    let directory = scratch();
    let file = directory.path().join("export.zip");
    std::fs::write(&file, archive).expect("it can be written");
    let read = output(tool("python3").args(["-c", program]).arg(file)).expect("a valid archive");
    serde_json::from_slice(&read).expect("the output is JSON")
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_everything_but_secrets(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let (user, neighbor) = (service.user().await, service.user().await);
    let other = neighbor.upload_clip(TINY).await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let key = user.create_key(&["videos:read"]).await;
    let export = |password: &str| {
        let body = json!({ "password": password });
        user.request(Method::POST, "/auth/export").json(&body)
    };
    let (status, problem) = fetch_json(export("wrong")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(field_errors(&problem), ["password: PASSWORD_WRONG".to_owned()].into());

    let response = export(PASSWORD).send().await.expect("the service responds");
    assert_eq!(response.status(), StatusCode::OK);
    let disposition = response.headers()[CONTENT_DISPOSITION].to_str().expect("it is text");
    assert!(disposition.starts_with("attachment; filename=\"fiapx-20"), "{disposition}");
    let bytes = response.bytes().await.expect("the response completes");
    let files = unzip(&bytes);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        "account.json",
        "idempotency_keys.json",
        "job_history.json",
        "job_shares.json",
        "jobs.json",
        "keys.json",
        "links.json",
        "mails.json",
        "resumable_uploads.json",
        "sessions.json",
        "uploads.json",
        "webhook_deliveries.json",
        "webhooks.json",
    ];
    assert_eq!(names, expected);
    let account = &files["account.json"];
    assert_eq!((&account[0]["id"], &account[0]["email"]), (&json!(user.id), &json!(user.email)));
    let jobs = &files["jobs.json"];
    assert_eq!(jobs.as_array().map(Vec::len), Some(1), "{jobs}");
    assert_eq!(
        (&jobs[0]["id"], &jobs[0]["filename"]),
        (&json!(job), &json!("short_all_intra.avi"))
    );
    let states = jobs[0]["events"].as_array().expect("events").iter();
    let states: Vec<_> = states.map(|event| event["new_state"].clone()).collect();
    assert_eq!(states, ["UPLOADED", "QUEUED", "PROCESSING", "DONE"].map(Value::from));
    assert_eq!(files["sessions.json"].as_array().map(Vec::len), Some(1));

    let keys = &files["keys.json"];
    assert_eq!((&keys[0]["id"], &keys[0]["scopes"]), (&json!(key.id), &json!("videos:read")));

    let text = json!(files).to_string();
    let hashes = ["password_hash", "token_hash", "key_hash", "$argon2", "unsubscribe_secret"];
    for secret in
        hashes.into_iter().chain([key.key.as_str(), &neighbor.id, &neighbor.email, &other])
    {
        assert!(!text.contains(secret), "the export contains {secret}");
    }
}
