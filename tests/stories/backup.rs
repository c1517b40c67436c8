//! A backup that is made while the service works, restored elsewhere, loses nothing that was
//! accepted before.

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use storage::s3::DEFAULT_UPLOAD_MEMORY;
use storage::{Key, S3, S3Settings, Storage};
use tokio::task::block_in_place;

use crate::harness::{fiapx, root, run, scratch, tool};
use crate::parts::{Parts, Places, objects};
use crate::process::Process;
use crate::service::{Account, Client, eventually};

/// A clip that takes so long that a backup finds it at work.
const LONG: &str = "long/240_pictures.mp4";
/// A clip of a few pictures.
const SHORT: &str = "good/h264_aac.mp4";

/// The shell commands under a heading of the operator's manual.
fn commands(heading: &str) -> String {
    let manual =
        std::fs::read_to_string(root().join("docs/operations.md")).expect("there is a manual");
    let (_, rest) = manual.split_once(&format!("\n### {heading}\n")).expect("it has the heading");
    let (_, rest) = rest.split_once("```sh\n").expect("it has shell commands");
    rest.split_once("```").expect("they end").0.to_owned()
}

/// Run commands as they are printed, in this directory, with the service's settings.
fn execute(script: &str, directory: &Path, settings: &[(&str, String)]) {
    // The program is in the path of whoever operates it.
    let program = fiapx().get_program().to_owned();
    let home = Path::new(&program).parent().expect("it lies somewhere").display().to_string();
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

/// The user, where the service is now.
async fn goes_on(
    service: &Client,
    account: &Account,
    fetched: &(String, Vec<u8>),
    others: &[String],
) {
    let user = account.at(service);
    assert!(
        user.archive(&fetched.0).await == fetched.1,
        "what was done can be fetched, and is the same"
    );
    for job in others {
        user.done(job).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_machine_is_restored_from_what_was_copied_while_it_worked() {
    tool("sqlite3");
    let place = scratch();
    let process = Process::start(&place.path().join("data"), &[("WORKER_CONCURRENCY", "1")]);
    let user = process.user().await;
    let done = user.send(SHORT).await;
    user.done(&done).await;
    let fetched = (done.clone(), user.archive(&done).await);
    // One job is at work and others wait.
    let mut others = vec![user.send(LONG).await];
    user.until(&others[0], &["PROCESSING"]).await;
    eventually("it is at work", || async {
        let view = user.get(&format!("/videos/{}", others[0])).await.1;
        view["progress"]["done"].as_u64().filter(|done| *done > 0)
    })
    .await;
    others.push(user.send(SHORT).await);
    block_in_place(|| execute(&commands("Back up one machine"), place.path(), &[]));
    // What comes after a backup is not in it, and harms nothing.
    let late = user.send(SHORT).await;
    let account = user.account();
    process.kill();

    block_in_place(|| execute(&commands("Restore one machine"), place.path(), &[]));
    let restored = Process::start(&place.path().join("restored"), &[]);
    goes_on(&restored, &account, &fetched, &others).await;
    let (status, _) = account.at(&restored).get(&format!("/videos/{late}")).await;
    assert_eq!(status, 404);
    let mut fresh = account.at(&restored);
    fresh.log_in_again().await;
    let new = fresh.send(SHORT).await;
    fresh.done(&new).await;
}

/// The roles of a service on these places.
fn roles(places: &Places, data: &Path) -> [Process; 3] {
    let environment: Vec<(&str, &str)> =
        places.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let environment =
        [&environment[..], &[("WORKER_CONCURRENCY", "1"), ("WORKER_LEASE_SECONDS", "5")]].concat();
    [&["api", "--listen", "127.0.0.1:0"][..], &["worker"], &["notifier"]]
        .map(|words| Process::role(words, data, &environment))
}

/// What a store's own tool does that copies a bucket.
async fn copy(from: &Places, to: &Places) {
    let open = |places: &Places| {
        let told = |name: &str| places.told_of(name).expect("it is told");
        S3::connect(S3Settings {
            endpoint: told("S3_ENDPOINT"),
            public_endpoint: None,
            region: told("S3_REGION"),
            bucket: told("S3_BUCKET"),
            access_key: told("S3_ACCESS_KEY").into(),
            secret_key: told("S3_SECRET_KEY").into(),
            path_style: true,
            upload_memory: DEFAULT_UPLOAD_MEMORY,
        })
        .expect("the settings are right")
    };
    let (from, to) = (open(from), open(to));
    for (name, size) in objects(&from).await {
        let key: Key = name.parse().expect("a key");
        let bytes: Bytes = from.read(&key, 0..size).await.expect("it can be read");
        let mut upload = to.create(&key).await.expect("there is room");
        upload.write(bytes).await.expect("it is taken");
        upload.complete().await.expect("it is kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_machines_are_restored_with_an_empty_broker() {
    let (place, old, new) =
        (scratch(), Parts::Servers.places().await, Parts::Servers.places().await);
    let (old, new) = old.zip(new).expect("they are servers");
    block_in_place(|| execute("fiapx migrate", place.path(), &old.environment));
    let [api, worker, notifier] = block_in_place(|| roles(&old, place.path()));
    let user = api.user().await;
    let done = user.send(SHORT).await;
    user.done(&done).await;
    let fetched = (done.clone(), user.archive(&done).await);
    let mut others = vec![user.send(LONG).await];
    user.until(&others[0], &["PROCESSING"]).await;
    others.push(user.send(SHORT).await);
    eventually("it is with the broker", || async {
        let url = old.told_of("DATABASE_URL").expect("it is told");
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
    goes_on(&api, &account, &fetched, &others).await;
    eventually("every outcome is told", || async {
        (new.mailbox.received().len() >= others.len()).then_some(())
    })
    .await;
}
