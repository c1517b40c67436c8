//! A backup that is made while the service works, restored elsewhere, has everything that was
//! accepted before it.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use storage::s3::{DEFAULT_ASSEMBLY_TIMEOUT, DEFAULT_UPLOAD_MEMORY};
use storage::{Key, S3, S3Settings, Storage};
use tokio::task::block_in_place;

use crate::harness::checks::eventually;
use crate::harness::client::{Account, Client, User};
use crate::harness::clips::{LONG, SHORT, scratch};
use crate::harness::parts::{Namespaces, Parts, objects};
use crate::harness::process::Process;
use crate::harness::programs::{fiapx, root, run, tool};
use crate::harness::service::is_preview;

/// Shell commands under a heading of the operator's manual.
fn commands(heading: &str) -> String {
    let manual =
        std::fs::read_to_string(root().join("docs/operations.md")).expect("there is a manual");
    let (_, rest) = manual.split_once(&format!("\n### {heading}\n")).expect("it has the heading");
    let (_, rest) = rest.split_once("```sh\n").expect("the section has shell commands");
    rest.split_once("```").expect("the block ends").0.to_owned()
}

/// Run commands of the manual in a directory, with the service's settings.
fn execute(script: &str, directory: &Path, settings: &[(&str, String)]) {
    // Operators have the program in their path.
    let program = fiapx().get_program().to_owned();
    let home = Path::new(&program).parent().expect("it is in a directory").display().to_string();
    let path = format!("{home}:{}", std::env::var("PATH").expect("there is a path"));
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg(format!("set -euo pipefail\n{script}"))
        .current_dir(directory)
        .env("PATH", path);
    let done = run(shell.envs(settings.iter().cloned()));
    assert_eq!(done.code, Some(0), "{script}\n{done:?}");
}

/// A job that was done before a backup, and its archive.
struct Finished {
    job: String,
    archive: Vec<u8>,
}

impl Finished {
    /// Upload a clip and download its archive.
    async fn of(user: &User<'_>) -> Self {
        let job = user.upload_clip(SHORT).await;
        user.wait_until_done(&job).await;
        let archive = user.archive(&job).await;
        Self { job, archive }
    }
}

/// Check that a restored service has the finished job, and finishes the others.
async fn expect_restored(
    service: &Client,
    account: &Account,
    finished: &Finished,
    others: &[String],
) {
    let user = account.at(service);
    assert!(user.archive(&finished.job).await == finished.archive, "the archive differs");
    for job in others {
        user.wait_until_done(job).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_is_restored_from_a_backup_made_while_it_worked() {
    tool("sqlite3");
    let place = scratch();
    let process = Process::start(&place.path().join("data"), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    let finished = Finished::of(&user).await;
    // One job is in progress and another one waits.
    let mut others = vec![user.upload_clip(LONG).await];
    user.wait_for_first_frames(&others[0]).await;
    others.push(user.upload_clip(SHORT).await);
    block_in_place(|| execute(&commands("Back up one machine"), place.path(), &[]));
    // A job after the backup is not in it.
    let late = user.upload_clip(SHORT).await;
    let account = user.account();
    process.kill();

    block_in_place(|| execute(&commands("Restore one machine"), place.path(), &[]));
    let restored = Process::start(&place.path().join("restored"), &[]);
    expect_restored(&restored, &account, &finished, &others).await;
    let (status, _) = account.at(&restored).get(&format!("/videos/{late}")).await;
    assert_eq!(status, 404);
    let mut user = account.at(&restored);
    user.log_in_again().await;
    let new = user.upload_clip(SHORT).await;
    user.wait_until_done(&new).await;
}

/// Start the roles of a service.
fn roles(namespaces: &Namespaces, data: &Path) -> [Process; 3] {
    let settings = [("WORKER_CONCURRENCY", "1"), ("WORKER_LEASE_SECONDS", "5")];
    let environment = [namespaces.variables(), settings.to_vec()].concat();
    [&["api", "--listen", "127.0.0.1:0"][..], &["worker"], &["notifier"]]
        .map(|words| Process::role(words, data, &environment))
}

/// Copy a bucket, as a store's own tool does.
async fn copy(from: &Namespaces, to: &Namespaces) {
    let open = |namespaces: &Namespaces| {
        let setting = |name: &str| namespaces.setting(name).expect("the setting exists");
        S3::connect(S3Settings {
            endpoint: setting("S3_ENDPOINT"),
            public_endpoint: None,
            region: setting("S3_REGION"),
            bucket: setting("S3_BUCKET"),
            access_key: setting("S3_ACCESS_KEY").into(),
            secret_key: setting("S3_SECRET_KEY").into(),
            path_style: true,
            upload_memory: DEFAULT_UPLOAD_MEMORY,
            assembly_timeout: DEFAULT_ASSEMBLY_TIMEOUT,
        })
        .expect("the settings are valid")
    };
    let (from, to) = (open(from), open(to));
    for (name, size) in objects(&from).await {
        let key: Key = name.parse().expect("a key");
        // Previews end with their attempt, perhaps before they are copied.
        if is_preview(&name) {
            continue;
        }
        let bytes: Bytes = from.read(&key, 0..size).await.expect("it can be read");
        let mut upload = to.create(&key).await.expect("an upload begins");
        upload.write(bytes).await.expect("it can be written");
        upload.complete().await.expect("it is stored");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_machines_are_restored_with_an_empty_broker() {
    let (place, old, new) =
        (scratch(), Parts::Servers.namespaces().await, Parts::Servers.namespaces().await);
    let (old, new) = old.zip(new).expect("they are servers");
    block_in_place(|| execute("fiapx migrate", place.path(), &old.environment));
    let [api, worker, notifier] = block_in_place(|| roles(&old, place.path()));
    let user = api.user().await;
    let finished = Finished::of(&user).await;
    let mut others = vec![user.upload_clip(LONG).await];
    user.wait_for(&others[0], &["PROCESSING"]).await;
    others.push(user.upload_clip(SHORT).await);
    eventually("the outbox is empty", || async {
        let url = old.setting("DATABASE_URL").expect("the setting exists");
        let count = block_in_place(|| {
            run(tool("psql").args(["-At", &url, "-c", "SELECT count(*) FROM outbox"]))
        });
        (count.stdout == b"0\n").then_some(())
    })
    .await;
    block_in_place(|| execute(&commands("Back up many machines"), place.path(), &old.environment));
    copy(&old, &new).await;
    let account = user.account();
    for process in [api, worker, notifier] {
        process.kill();
    }

    block_in_place(|| execute(&commands("Restore many machines"), place.path(), &new.environment));
    let [api, _worker, _notifier] = block_in_place(|| roles(&new, place.path()));
    expect_restored(&api, &account, &finished, &others).await;
    eventually("every outcome has a mail", || async {
        (new.mailbox.received().len() >= others.len()).then_some(())
    })
    .await;
}
