//! Roles as processes of their own, on a real PostgreSQL, RabbitMQ, S3 store and Redis.

use std::path::Path;

use reqwest::{Method, StatusCode};
use servers::{Garage, Postgres, RabbitMq, Redis};

use crate::harness::{fiapx, output, run, scratch, single_line};
use crate::process::Process;
use crate::service::{answer, clip, eventually};

/// The servers that all processes share.
pub struct Servers {
    postgres: Postgres,
    rabbitmq: RabbitMq,
    garage: Garage,
    redis: Redis,
}

impl Servers {
    /// Start all of them.
    pub fn start() -> Self {
        Self { postgres: Postgres::start(), rabbitmq: RabbitMq::start(), garage: Garage::start(), redis: Redis::start() }
    }

    /// How a process is told of them.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.postgres.create_database()),
            ("RABBITMQ_URL", self.rabbitmq.url()),
            ("S3_ENDPOINT", self.garage.endpoint()),
            ("S3_ACCESS_KEY", self.garage.access_key().to_owned()),
            ("S3_SECRET_KEY", self.garage.secret_key().to_owned()),
            ("S3_BUCKET", self.garage.bucket().to_owned()),
            ("REDIS_URL", self.redis.url()),
            ("JWT_SECRET", "a key that only this test knows, of many bytes".to_owned()),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apis_and_three_workers_share_the_work() {
    const CLIPS: [&str; 6] =
        ["good/h264_aac.mp4", "good/vp9.webm", "good/mjpeg.avi", "good/wmv2.wmv", "good/prores.mov", "good/flv1.flv"];
    let servers = Servers::start();
    let environment = servers.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let data = scratch();
    let command = |words: &[&str]| {
        run(fiapx().args(words).arg("--data-dir").arg(data.path().join("command")).envs(environment.iter().copied()))
    };

    // Nobody works on a schema that is not there.
    let early = command(&["worker"]);
    assert!(single_line(&early).expect("one line").contains("fiapx migrate"), "{early:?}");
    assert_eq!(command(&["migrate"]).code, Some(0));
    let checked = command(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let start = |words: &[&str], name: &str| Process::role(words, &data.path().join(name), &environment);
    let apis = ["api1", "api2"].map(|name| start(&["api", "--listen", "127.0.0.1:0"], name));
    let workers = ["worker1", "worker2", "worker3"].map(|name| start(&["worker"], name));
    let notifier = start(&["notifier"], "notifier");

    // What is uploaded to one API is seen by the other.
    let [first, second] = [&apis[0], &apis[1]];
    let user = first.user().await;
    let same = user.account().at(second);
    let mut jobs = Vec::new();
    for (number, name) in CLIPS.iter().enumerate() {
        jobs.push(if number % 2 == 0 { user.send(name).await } else { same.send(name).await });
    }
    for (job, name) in jobs.iter().zip(CLIPS) {
        same.done(job).await;
        let alone = output(fiapx().arg("extract").arg(clip(name)).args(["-o", "-"])).expect("the command makes one, too");
        assert_eq!(user.archive(job).await.len(), alone.len(), "{name}");
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
    let mails = data.path().join("notifier/mails");
    eventually("every outcome is told", || async { (mails_in(&mails) == CLIPS.len()).then_some(()) }).await;

    let done: usize = workers
        .into_iter()
        .chain([notifier])
        .map(|process| {
            process.signal("TERM");
            let (status, log) = process.ended();
            assert!(status.success());
            log.iter().filter(|line| line["event"] == "the archive is done").count()
        })
        .sum();
    assert_eq!(done, CLIPS.len(), "each job is done by one worker");
    assert_eq!(mails_in(&mails), CLIPS.len());
    // The APIs need no worker to be well.
    for api in apis {
        let (status, _) = answer(api.request(Method::GET, "/health")).await;
        assert_eq!(status, StatusCode::OK);
        api.signal("TERM");
        assert!(api.ended().0.success());
    }
}

#[test]
fn a_role_alone_needs_parts_that_others_share() {
    let data = scratch();
    for role in ["api", "worker", "notifier"] {
        let refused = run(fiapx().arg(role).arg("--data-dir").arg(data.path()).env("DATABASE_URL", "postgresql://localhost/fiapx"));
        let line = single_line(&refused).expect("one line");
        assert!(line.contains("RABBITMQ_URL, S3_ENDPOINT, REDIS_URL, JWT_SECRET"), "{line}");
        assert!(!line.contains("DATABASE_URL"), "{line}");
    }
}

/// How many mails lie in a directory.
pub fn mails_in(directory: &Path) -> usize {
    directory
        .read_dir()
        .map_or(0, |entries| entries.flatten().filter(|entry| entry.path().extension().is_some_and(|it| it == "eml")).count())
}
