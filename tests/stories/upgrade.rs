//! Two versions of the program run side by side on the same servers under load, through an upgrade,
//! a downgrade and another upgrade, in the steps that `docs/operations.md` names ("Upgrade without
//! downtime", "Downgrade").
//!
//! The earlier version is the program at `UPGRADE_FROM` (`make verify-upgrade`). Without it, both
//! are the current one, so that the steps themselves are tested.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use tokio::task::{block_in_place, spawn_blocking};

use crate::harness::balancer::Balancer;
use crate::harness::checks::eventually;
use crate::harness::client::{Account, Client, fetch_json};
use crate::harness::clips::{SHORT, fixture};
use crate::harness::cluster::Cluster;
use crate::harness::process::{Process, free_address};
use crate::harness::programs::{fiapx_path, output};

/// Clients at a time.
const CLIENTS: usize = 4;

/// Pace of the story.
#[derive(Clone, Copy)]
struct Pace {
    /// Pause of each client between two uploads.
    pause: Duration,
    /// Time for which the versions run side by side after each replacement.
    side_by_side: Duration,
    /// Time for which one version runs alone.
    alone: Duration,
}

/// Pace with two versions.
const THOROUGH: Pace = Pace {
    pause: Duration::from_millis(200),
    side_by_side: Duration::from_secs(2),
    alone: Duration::from_secs(5),
};

/// Pace with one version, which has nothing to show between the replacements.
const BRIEF: Pace =
    Pace { pause: Duration::from_millis(500), side_by_side: Duration::ZERO, alone: Duration::ZERO };

const ENVIRONMENT: [(&str, &str); 5] = [
    ("NOTICE_PERIOD_SECONDS", "3"),
    ("LIMIT_UNFINISHED_JOBS", "1000000"),
    ("LIMIT_JOBS_PER_HOUR", "1000000"),
    ("LIMIT_UPLOADS_AT_ONCE", "1000"),
    ("LIMIT_DOWNLOADS_PER_MINUTE", "1000000"),
];

/// Processes that are replaced one by one.
struct Fleet<'a> {
    cluster: &'a Cluster,
    balancer: &'a Balancer,
    addresses: &'a [String; 2],
    pace: Pace,
    apis: Vec<Process>,
    workers: Vec<Process>,
    notifiers: Vec<Process>,
    /// Number of replacements.
    replaced: usize,
}

/// Roles in the order in which they are replaced in an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Notifier,
    Api,
    Worker,
}

impl Fleet<'_> {
    fn api(&self, program: &Path, number: usize) -> Process {
        let arguments = ["api", "--listen", &self.addresses[number]];
        self.cluster.start_role_of(program, &arguments, &[])
    }

    /// Replace all processes of a role, and wait until each new one is ready.
    async fn replace(&mut self, role: Role, program: &Path) {
        match role {
            Role::Notifier => self.notifiers = self.replace_headless(role, program).await,
            Role::Worker => self.workers = self.replace_headless(role, program).await,
            Role::Api => {
                for number in 0..self.apis.len() {
                    self.balancer.wait_until_ready(1 - number).await;
                    stop(self.apis.remove(0)).await;
                    self.apis.push(self.api(program, number));
                    self.balancer.wait_until_ready(number).await;
                    self.replaced += 1;
                    tokio::time::sleep(self.pace.side_by_side).await;
                }
            }
        }
    }

    /// Replace the processes of a role without an HTTP API.
    async fn replace_headless(&mut self, role: Role, program: &Path) -> Vec<Process> {
        let (old, name) = match role {
            Role::Worker => (std::mem::take(&mut self.workers), "worker"),
            _ => (std::mem::take(&mut self.notifiers), "notifier"),
        };
        let mut new = Vec::new();
        for process in old {
            let address = free_address();
            let more = [("METRICS_LISTEN", address.as_str())];
            let successor = self.cluster.start_role_of(program, &[name], &more);
            let client = Client::of(&address);
            eventually("the new process is ready", || async {
                let (status, _) = fetch_json(client.request(Method::GET, "/ready")).await;
                (status == StatusCode::OK).then_some(())
            })
            .await;
            new.push(successor);
            tokio::time::sleep(self.pace.side_by_side).await;
            stop(process).await;
            self.replaced += 1;
        }
        new
    }

    /// Replace all processes, in the order of an upgrade or in the reverse order of a downgrade.
    /// Then all have the same version for a while.
    async fn roll(&mut self, order: [Role; 3], program: &Path) {
        for role in order {
            self.replace(role, program).await;
        }
        tokio::time::sleep(self.pace.alone).await;
    }
}

/// Stop a process; its log has no errors.
async fn stop(process: Process) {
    let log = spawn_blocking(|| process.terminate()).await.expect("it stops");
    let errors: Vec<_> = log.iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

const UPGRADE: [Role; 3] = [Role::Notifier, Role::Api, Role::Worker];
const DOWNGRADE: [Role; 3] = [Role::Worker, Role::Api, Role::Notifier];

#[tokio::test(flavor = "multi_thread")]
async fn versions_side_by_side_lose_nothing() {
    let new = fiapx_path();
    let (old, pace) = std::env::var_os("UPGRADE_FROM")
        .map_or_else(|| (new.clone(), BRIEF), |path| (PathBuf::from(path), THOROUGH));
    let cluster = Cluster::without_schema(&ENVIRONMENT).await;
    let migrate = |program: &Path| {
        let migrated = block_in_place(|| cluster.command_of(program, &["migrate"]));
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
    };
    migrate(&old);
    let addresses = [free_address(), free_address()];
    let balancer = Balancer::of(&addresses);
    let mut fleet = Fleet {
        cluster: &cluster,
        balancer: &balancer,
        addresses: &addresses,
        pace,
        apis: Vec::new(),
        workers: (0..2).map(|_| cluster.start_role_of(&old, &["worker"], &[])).collect(),
        notifiers: vec![cluster.start_role_of(&old, &["notifier"], &[])],
        replaced: 0,
    };
    fleet.apis = (0..2).map(|number| fleet.api(&old, number)).collect();
    let account = fleet.apis[0].user().await.account();

    let (stop_load, started) = (AtomicBool::new(false), Instant::now());
    let load =
        join_all((0..CLIENTS).map(|_| balancer.send_requests(&account, pace.pause, &stop_load)));
    let steps = async {
        let step = |name: &str| println!("{:5.1} s: {name}", started.elapsed().as_secs_f64());
        balancer.api().await;
        tokio::time::sleep(pace.side_by_side).await;
        step("migrate, then upgrade");
        migrate(&new);
        tokio::time::sleep(pace.side_by_side).await;
        fleet.roll(UPGRADE, &new).await;
        step("downgrade");
        fleet.roll(DOWNGRADE, &old).await;
        step("upgrade again");
        fleet.roll(UPGRADE, &new).await;
        step("done");
        stop_load.store(true, Ordering::Relaxed);
        fleet
    };
    let (jobs, fleet, ()) = tokio::join!(load, steps, balancer.poll_readiness(&stop_load));
    let jobs: Vec<String> = jobs.into_iter().flatten().collect();
    println!("{} jobs, {} processes replaced", jobs.len(), fleet.replaced);
    let archives = [&old, &new].map(|program| archive_by(program));
    audit(&fleet, &account, &jobs, &archives).await;
    for process in fleet.apis.into_iter().chain(fleet.workers).chain(fleet.notifiers) {
        stop(process).await;
    }
    println!("audited after {:.0} s", started.elapsed().as_secs_f64());
}

/// Archive that a version makes of the clip.
fn archive_by(program: &Path) -> Vec<u8> {
    let mut extract = std::process::Command::new(program);
    output(extract.args(["extract", "--output", "-"]).arg(fixture(SHORT))).expect("it is extracted")
}

/// Each accepted video is done, has an archive, and its user one mail.
async fn audit(fleet: &Fleet<'_>, account: &Account, jobs: &[String], archives: &[Vec<u8>; 2]) {
    let user = account.at(&fleet.apis[0]);
    let mut retries = BTreeMap::new();
    for job in jobs {
        let done = user.wait_until_done(job).await;
        assert!(archives.contains(&user.archive(job).await), "{done}");
        *retries.entry(done["retry_count"].as_u64()).or_insert(0) += 1;
    }
    println!("jobs by retries: {retries:?}");
    let mailbox = &fleet.cluster.namespaces.mailbox;
    eventually("every outcome has a mail", || async {
        (mailbox.received().len() >= jobs.len()).then_some(())
    })
    .await;
    let postgres = &fleet.cluster.postgres;
    let database = fleet.cluster.namespaces.setting("DATABASE_URL").expect("it is set");
    let select = "SELECT count(*), count(DISTINCT job_id), count(*) FILTER (WHERE status = 'SENT') \
                  FROM notifications";
    let expected = format!("{0}|{0}|{0}\n", jobs.len());
    eventually("every outcome has a record", || async {
        let counts = block_in_place(|| postgres.execute(&database, select));
        (counts == expected).then_some(())
    })
    .await;
    eventually("the queues of the earlier version are gone", || async {
        let queues = block_in_place(|| fleet.cluster.queues());
        let mut rest = queues.iter().filter(|(name, count)| !name.contains(".v2") || **count > 0);
        rest.next().is_none().then_some(())
    })
    .await;
    assert_eq!(mailbox.received().len(), jobs.len(), "each outcome has one mail");
}
