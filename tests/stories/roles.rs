//! Roles as processes of their own, on a real PostgreSQL, RabbitMQ, S3 store and Redis.

use reqwest::{Method, StatusCode};

use crate::harness::archive::Archive;
use crate::harness::checks::eventually;
use crate::harness::client::fetch_json;
use crate::harness::clips::{MJPEG, SHORT, fixture, scratch};
use crate::harness::cluster::Cluster;
use crate::harness::programs::{error_line, fiapx, output, run};

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_and_three_workers_share_the_work() {
    const CLIPS: [&str; 6] =
        [SHORT, "good/vp9.webm", MJPEG, "good/wmv2.wmv", "good/prores.mov", "good/flv1.flv"];
    let cluster = Cluster::without_schema(&[]).await;
    // Nobody works on a schema that is not there.
    let early = cluster.command(&["worker"]);
    assert!(error_line(&early).expect("one line").contains("fiapx migrate"), "{early:?}");
    assert_eq!(cluster.command(&["migrate"]).code, Some(0));
    let checked = cluster.command(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let apis = [cluster.api(), cluster.api()];
    let workers = [cluster.worker(), cluster.worker(), cluster.worker()];
    let notifier = cluster.notifier();

    // What is uploaded to one API is seen by the other.
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
    for (job, name) in jobs.iter().zip(CLIPS) {
        same.wait_until_done(job).await;
        let alone = output(fiapx().arg("extract").arg(fixture(name)).args(["-o", "-"]))
            .expect("the command makes one, too");
        let archive = user.archive(job).await;
        assert_eq!(archive.len(), alone.len(), "{name}");
        // Single pictures are read out of the store, by either API.
        let (_, picture) = Archive::read(archive).expect("it is whole").frames.swap_remove(0);
        let frame = same
            .request(Method::GET, &format!("/jobs/{job}/frames/1"))
            .send()
            .await
            .expect("the service answers");
        assert!(
            frame.bytes().await.expect("it comes whole") == picture,
            "{name}: the first frame is another"
        );
        let small = user
            .request(Method::GET, &format!("/jobs/{job}/frames/1?width=64"))
            .send()
            .await
            .expect("the service answers");
        assert_eq!(
            (small.status(), &small.headers()["content-type"]),
            (StatusCode::OK, &"image/jpeg".parse().expect("a value"))
        );
    }
    // The limit holds over both: six downloads are made, four more are allowed.
    let mut allowed = 0;
    for number in 0..12 {
        let client = if number % 2 == 0 { &user } else { &same };
        let (status, _) = client.get(&format!("/jobs/{}/download", jobs[0])).await;
        allowed += usize::from(status == StatusCode::OK);
        assert!(status == StatusCode::OK || status == StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(allowed, 4);

    // Each outcome is told once.
    let mails = || cluster.namespaces.mailbox.received().len();
    eventually("every outcome is told", || async { (mails() == CLIPS.len()).then_some(()) }).await;

    let done: usize = workers
        .into_iter()
        .chain([notifier])
        .map(|process| {
            process.signal("TERM");
            let (status, log) = process.wait_for_exit();
            assert!(status.success());
            log.iter().filter(|line| line["event"] == "the archive is done").count()
        })
        .sum();
    assert_eq!(done, CLIPS.len(), "each job is done by one worker");
    assert_eq!(mails(), CLIPS.len());
    // The APIs need no worker to be well.
    for api in apis {
        let (status, _) = fetch_json(api.request(Method::GET, "/health")).await;
        assert_eq!(status, StatusCode::OK);
        api.signal("TERM");
        assert!(api.wait_for_exit().0.success());
    }
}

#[test]
fn a_role_alone_needs_parts_that_others_share() {
    let data = scratch();
    for role in ["api", "worker", "notifier"] {
        let refused = run(fiapx()
            .arg(role)
            .arg("--data-dir")
            .arg(data.path())
            .env("DATABASE_URL", "postgresql://localhost/fiapx"));
        let line = error_line(&refused).expect("one line");
        assert!(line.contains("RABBITMQ_URL, S3_ENDPOINT, REDIS_URL, JWT_SECRET"), "{line}");
        assert!(!line.contains("DATABASE_URL"), "{line}");
    }
}
