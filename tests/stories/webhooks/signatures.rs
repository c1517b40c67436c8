//! Signatures, verified by the libraries of Standard Webhooks.

use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::client::{EVENTS, Webhook, service};
use crate::harness::clips::TINY;
use crate::harness::programs::{npm_package, output, python_package, tool};
use crate::harness::receiver::{Received, Receiver};

/// Program in Python, whose arguments are a secret, the headers as JSON, and the body.
const PYTHON: &str = "
import sys, json
from standardwebhooks.webhooks import Webhook
secret, headers, body = sys.argv[1:]
print(json.dumps(Webhook(secret).verify(body, json.loads(headers))))
";

/// The same in JavaScript.
const JAVASCRIPT: &str = "
const { Webhook } = require('standardwebhooks');
const [secret, headers, body] = process.argv.slice(1);
console.log(JSON.stringify(new Webhook(secret).verify(body, JSON.parse(headers))));
";

/// Commands that verify a request, in each language.
fn verifiers(secret: &str, request: &Received) -> [Command; 2] {
    let headers = json!(request.headers).to_string();
    let mut python = Command::new(python_package("standardwebhooks", "1.1.0").join("python3"));
    python.args(["-c", PYTHON, secret, &headers, &request.body]);
    let mut node = tool("node");
    node.env("NODE_PATH", npm_package("standardwebhooks", "1.1.1"));
    node.args(["-e", JAVASCRIPT, secret, &headers, &request.body]);
    [python, node]
}

/// Assert whether both libraries accept a request.
#[track_caller]
fn assert_verified(secret: &str, request: &Received, expected: bool) {
    for mut command in verifiers(secret, request) {
        let verified = output(&mut command);
        assert_eq!(verified.is_ok(), expected, "{verified:?}");
        if let Ok(verified) = verified {
            let body: Value = serde_json::from_slice(&verified).expect("the output is JSON");
            assert_eq!(body, request.json());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_of_others_verify_them() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let job = user.upload_clip(TINY).await;
    user.wait_until_done(&job).await;
    let [request] = &receiver.expect(1).await[..] else { panic!("one event arrives") };
    assert_verified(&webhook.secret, request, true);
    assert_eq!(request.headers["content-type"], "application/json");

    let other = Webhook::of(&user, &receiver.url(), &["job.failed"]).await;
    assert_verified(&other.secret, request, false);
    let body = request.body.replace("DONE", "FAILED");
    assert_verified(&webhook.secret, &Received { body, ..request.clone() }, false);
    let mut late = request.clone();
    let sent: i64 = late.headers["webhook-timestamp"].parse().expect("a number");
    late.headers.insert("webhook-timestamp".to_owned(), (sent + 1).to_string());
    assert_verified(&webhook.secret, &late, false);
}

/// For a day, receivers with either secret accept what is sent.
#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_sign_during_a_rotation() {
    let (service, receiver) = (service().await, Receiver::accepting().await);
    let user = service.user().await;
    let webhook = Webhook::of(&user, &receiver.url(), &EVENTS).await;
    let (status, rotated) = webhook.post("/secret").await;
    assert_eq!(status, StatusCode::OK, "{rotated}");
    let (old, new) = (webhook.secret.as_str(), rotated["secret"].as_str().expect("a secret"));
    assert_ne!(old, new);
    assert!(rotated["previous_secret_until"].is_string(), "{rotated}");

    webhook.test().await;
    let requests = receiver.expect(1).await;
    for secret in [old, new] {
        assert_verified(secret, &requests[0], true);
    }

    service.advance(Duration::from_hours(24));
    assert!(webhook.get().await["previous_secret_until"].is_null());
    webhook.test().await;
    let requests = receiver.expect(2).await;
    let signatures = [0, 1].map(|at| requests[at].headers["webhook-signature"].clone());
    assert_eq!(signatures.map(|signature| signature.split(' ').count()), [2, 1]);
}
