//! Roles as separate processes, on PostgreSQL, RabbitMQ, an S3 store and Redis.

use reqwest::{Method, StatusCode};
use tokio::task::block_in_place;

use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::{User, allowed_downloads, fetch_json};
use crate::harness::clips::{MJPEG, SHORT, fixture, scratch};
use crate::harness::cluster::Cluster;
use crate::harness::programs::{error_line, fiapx, output, run};

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_and_three_workers_share_the_work() {
    const CLIPS: [&str; 6] =
        [SHORT, "good/vp9.webm", MJPEG, "good/wmv2.wmv", "good/prores.mov", "good/flv1.flv"];
    let cluster = Cluster::without_schema(&[]).await;
    // No role starts without the schema.
    let early = cluster.command(&["worker"]);
    assert!(error_line(&early).expect("one line").contains("fiapx migrate"), "{early:?}");
    assert_eq!(cluster.command(&["migrate"]).code, Some(0));
    let checked = cluster.command(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let apis = [cluster.api(), cluster.api()];
    let workers = [cluster.worker(), cluster.worker(), cluster.worker()];
    let notifier = cluster.notifier();

    // Both APIs show the same jobs.
    let [first, second] = [&apis[0], &apis[1]];
    let user = first.user().await;
    let same = user.account().at(second);
    let mut jobs = Vec::new();
    for (number, name) in CLIPS.iter().enumerate() {
        jobs.push(if number % 2 == 0 {
            user.upload_clip(name).await
        } else {
            same.upload_clip(name).await
        });
    }
    for (job, clip) in jobs.iter().zip(CLIPS) {
        same.wait_until_done(job).await;
        expect_same_archive(&user, &same, job, clip).await;
    }
    // Both APIs share the limit of ten downloads, of which six are used.
    assert_eq!(allowed_downloads([&user, &same], &jobs[0], 12).await, 4);

    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("every outcome has a mail", || async { (mails() == CLIPS.len()).then_some(()) })
        .await;

    let done: usize = workers
        .into_iter()
        .chain([notifier])
        .map(|process| {
            let log = block_in_place(|| process.terminate());
            log.iter().filter(|line| line["event"] == "archive completed").count()
        })
        .sum();
    assert_eq!(done, CLIPS.len(), "each job is done by one worker");
    assert_eq!(mails(), CLIPS.len());
    // The APIs work without workers.
    for api in apis {
        let (status, _) = fetch_json(api.request(Method::GET, "/health")).await;
        assert_eq!(status, StatusCode::OK);
        block_in_place(|| api.terminate());
    }
}

/// Check that both APIs serve the archive and the frames that the command makes of a clip.
async fn expect_same_archive(user: &User<'_>, same: &User<'_>, job: &str, clip: &str) {
    let expected = output(fiapx().arg("extract").arg(fixture(clip)).args(["-o", "-"]));
    let archive = user.archive(job).await;
    assert_eq!(archive.len(), expected.expect("the clip is valid").len(), "{clip}");
    let (_, png) = Archive::read(archive).expect("it is complete").frames.swap_remove(0);
    let path = format!("/jobs/{job}/frames/1");
    let frame = same.request(Method::GET, &path).send().await.expect("the service responds");
    let frame = frame.bytes().await.expect("the response completes");
    assert!(frame == png, "{clip}: the first frame differs");
    let thumbnail = user.request(Method::GET, &format!("{path}?width=64"));
    let thumbnail = thumbnail.send().await.expect("the service responds");
    assert_eq!(thumbnail.status(), StatusCode::OK);
    assert_eq!(thumbnail.headers()["content-type"], "image/jpeg");
}

#[test]
fn a_single_role_needs_parts_that_can_be_shared() {
    let data = scratch();
    for (role, missing) in [
        ("api", "set RABBITMQ_URL, S3_ENDPOINT, REDIS_URL, JWT_SECRET, or"),
        ("worker", "set RABBITMQ_URL, S3_ENDPOINT, or"),
        ("notifier", "set RABBITMQ_URL, or"),
    ] {
        let rejected = run(fiapx()
            .arg(role)
            .arg("--data-dir")
            .arg(data.path())
            .env("DATABASE_URL", "postgresql://localhost/fiapx"));
        let line = error_line(&rejected).expect("one line");
        assert!(line.contains(missing), "{line}");
        assert!(!line.contains("DATABASE_URL"), "{line}");
    }
}
