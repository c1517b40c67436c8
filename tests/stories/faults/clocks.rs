//! Machines whose clocks differ: every rule follows the clock of the database.

use app::service::{Roles, RunningService};
use chrono::TimeDelta;
use jobs::Clock;

use crate::harness::client::Client;
use crate::harness::clips::{LONG, TINY, scratch};
use crate::harness::parts::{Namespaces, Parts};
use crate::harness::service::settings_on;

/// Start a role on a machine whose clock is wrong.
async fn start(namespaces: &Namespaces, roles: Roles, error: TimeDelta) -> RunningService {
    let directory = scratch();
    let mut settings = settings_on(directory.path(), Some(namespaces));
    settings.worker.lease_seconds = 5;
    settings.worker.concurrency = 1;
    RunningService::start(settings, roles, Clock::with_machine_error(error))
        .await
        .expect("the role starts")
}

/// Two workers two minutes ahead and behind, and an API and a notifier that differ as well, in both
/// directions.
#[tokio::test(flavor = "multi_thread")]
async fn clocks_two_minutes_apart_have_no_effect() {
    for minutes in [2, -2] {
        let error = TimeDelta::minutes(minutes);
        let namespaces = Parts::Servers.namespaces().await.expect("they are on servers");
        tokio::task::block_in_place(|| namespaces.migrate());
        let services = [
            start(&namespaces, Roles::API, error).await,
            start(&namespaces, Roles::WORKER, error).await,
            start(&namespaces, Roles::WORKER, -error).await,
            start(&namespaces, Roles::NOTIFIER, -error).await,
        ];
        let api = Client::of(&services[0].address().expect("it listens").to_string());
        let user = api.user().await;
        let mut jobs = vec![user.upload_clip(LONG).await];
        for _ in 0..6 {
            jobs.push(user.upload_clip(TINY).await);
        }
        for job in &jobs {
            let done = user.wait_until_done(job).await;
            let changes =
                ["->UPLOADED", "UPLOADED>QUEUED", "QUEUED>PROCESSING 1", "PROCESSING>DONE 1"];
            assert_eq!(user.history(job).await, changes, "no lease expired: {done}");
            let time = |name: &str| -> jobs::Time {
                done[name].as_str().expect("text").parse().expect("a time")
            };
            assert!(
                time("created_at") <= time("started_at")
                    && time("started_at") <= time("completed_at"),
                "{done}"
            );
            let off = (time("completed_at") - chrono::Utc::now()).abs();
            assert!(off < TimeDelta::minutes(1), "{done} has the time of the database");
        }
        for service in services {
            service.stop_token().cancel();
            service.stopped().await.expect("the role stops");
        }
        let mails = namespaces.mailbox.received().len();
        assert_eq!(mails, jobs.len(), "each outcome has one mail");
    }
}
