//! Clients of others: `tuspy` and `tus-js-client`, which are interrupted and continue.

use std::path::Path;
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use super::{MIB, expect_only, video};
use crate::harness::client::User;
use crate::harness::clips::scratch;
use crate::harness::parts::Parts::{self, Embedded, Servers};
use crate::harness::programs::{npm_package, output, python_package, tool};
use crate::harness::service::Service;

/// Version of `tuspy` on PyPI.
const TUSPY: &str = "1.1.0";

/// Version of `tus-js-client` on npm.
const TUS_JS_CLIENT: &str = "4.3.1";

/// Program in Python, whose arguments are the URL of uploads, a token and a file. It uploads two
/// chunks, and another client object continues from the address of the upload alone.
const PYTHON: &str = r#"
import json, sys
from tusclient.client import TusClient
url, token, path = sys.argv[1:]
client = TusClient(url, headers={"Authorization": "Bearer " + token})
metadata = {"filename": "beach.mp4", "recipe": json.dumps({"image": {"format": "jpeg"}})}
first = client.uploader(path, chunk_size=3 << 20, metadata=metadata)
first.upload_chunk()
first.upload_chunk()
client = TusClient(url, headers={"Authorization": "Bearer " + token})
second = client.uploader(path, chunk_size=4 << 20, url=first.url)
offset = second.offset
second.upload()
print(json.dumps({"url": second.url, "offset": offset, "end": second.offset}))
"#;

/// Program in JavaScript, with the same arguments. It is aborted midway, in the middle of a
/// request, and another client object continues, which also checks the job in the last response.
const JAVASCRIPT: &str = r#"
const fs = require("fs");
const tus = require("tus-js-client");
const [endpoint, token, path] = process.argv.slice(1);
const bytes = fs.readFileSync(path);
const common = {
  endpoint,
  headers: { Authorization: "Bearer " + token },
  metadata: { filename: "beach.mp4", recipe: JSON.stringify({ image: { format: "jpeg" } }) },
  retryDelays: [0, 500, 1000, 2000, 4000],
  onError: (error) => { console.error(String(error)); process.exit(1); },
};
let job = null;
const continued = (uploadUrl) => {
  let offset = null;
  const second = new tus.Upload(bytes, {
    ...common,
    uploadUrl,
    onProgress: (sent) => { offset = offset ?? sent; },
    onAfterResponse: (request, response) => { job = response.getHeader("X-Job-Id") ?? job; },
    onSuccess: () => console.log(JSON.stringify({ url: second.url, offset, job })),
  });
  second.start();
};
let aborted = false;
const first = new tus.Upload(bytes, {
  ...common,
  chunkSize: 5 << 20,
  onChunkComplete: (size, accepted) => {
    if (accepted >= 10 << 20 && !aborted) {
      aborted = true;
      first.abort().then(() => continued(first.url));
    }
  },
});
first.start();
"#;

async fn check(service: &Service, user: &User<'_>, video: &[u8], mut command: Command) {
    let directory = scratch();
    let path = directory.path().join("a.mp4");
    std::fs::write(&path, video).expect("the file can be written");
    arguments(&mut command, user, &path);
    let printed = tokio::task::spawn_blocking(move || output(&mut command)).await;
    let printed = printed.expect("the task does not panic").expect("the client succeeds");
    let result: Value = serde_json::from_slice(&printed).expect("the client prints JSON");
    let url = result["url"].as_str().expect("a URL");
    let (_, job) = url.rsplit_once('/').expect("an id");
    println!("{result}");
    assert!(result["job"].is_null() || result["job"] == job, "{result}");
    let view = user.wait_until_done(job).await;
    assert_eq!(
        (&view["filename"], &view["recipe"]["image"]["format"]),
        (&json!("beach.mp4"), &json!("jpeg"))
    );
    expect_only(service, user, job, video).await;
}

fn arguments(command: &mut Command, user: &User<'_>, path: &Path) {
    command.arg(format!("{}/uploads", user.client.base())).arg(&user.access).arg(path);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tuspy_continues_an_upload(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut python = Command::new(python_package("tuspy", TUSPY).join("python3"));
    python.args(["-c", PYTHON]);
    check(&service, &user, &video(18 * MIB + 1, 1), python).await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn tus_js_client_continues_an_upload(#[values(Embedded, Servers)] parts: Parts) {
    let service = parts.start().await;
    let user = service.user().await;
    let mut node = tool("node");
    node.env("NODE_PATH", npm_package("tus-js-client", TUS_JS_CLIENT));
    node.args(["-e", JAVASCRIPT]);
    check(&service, &user, &video(18 * MIB + 1, 2), node).await;
}
