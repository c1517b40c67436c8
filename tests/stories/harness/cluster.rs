//! A service of several processes on its own servers, which can be stopped.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jobs::Clock;
use serde_json::Value;
use servers::{Garage, Postgres, RabbitMq, Redis};
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};

use super::audit::{Audit, LATER, SentVideo, audit, send_video};
use super::client::{Account, Client, User};
use super::clips::{SHORT, TINY, WRONG, scratch};
use super::parts::Namespaces;
use super::process::Process;
use super::programs::{ProgramOutput, fiapx_path, run};
use super::remote_network::RemoteNetwork;
use super::service::Service;

/// Settings with enough attempts in quick succession that no fault of a story exhausts them, and
/// without a limit on the numbers of jobs and uploads.
const PATIENT: [(&str, &str); 6] = [
    ("WORKER_RETRY_SECONDS", "1,1,1,2,2,2,4,4,4,8,8,8,8,8,8,8,8,8,8,8"),
    ("WORKER_LEASE_SECONDS", "5"),
    ("LIMIT_UNFINISHED_JOBS", "1000000"),
    ("LIMIT_JOBS_PER_HOUR", "1000000"),
    ("LIMIT_UPLOADS_AT_ONCE", "1000"),
    ("GRACE_PERIOD_SECONDS", "20"),
];

/// Size of a server's disk that a story fills, in MiB.
const DISK_MIB: usize = 768;

/// Whether a role gets a variable: all that are not secrets of other roles.
fn is_for_role(variable: &str, role: &str) -> bool {
    match variable {
        "JWT_SECRET" | "REDIS_URL" => role == "api",
        "S3_ACCESS_KEY" | "S3_SECRET_KEY" => role != "notifier",
        "SMTP_PASSWORD" => role == "notifier",
        _ => true,
    }
}

/// Servers, and the environment of a service's processes on them.
pub struct Cluster {
    /// Database server.
    pub postgres: Postgres,
    /// Broker.
    pub rabbitmq: RabbitMq,
    /// File store.
    pub garage: Garage,
    /// Server of the counters.
    pub redis: Redis,
    /// The service's namespaces on them.
    pub namespaces: Namespaces,
    environment: Vec<(&'static str, &'static str)>,
    data: TempDir,
    processes: AtomicUsize,
}

impl Cluster {
    /// Servers with a schema, for processes with these variables in their environment.
    pub async fn start(environment: &[(&'static str, &'static str)]) -> Self {
        let cluster = Self::without_schema(environment).await;
        let migrated = cluster.command(&["migrate"]);
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        cluster
    }

    /// Servers without a schema.
    pub async fn without_schema(environment: &[(&'static str, &'static str)]) -> Self {
        let start = || (Postgres::start(), RabbitMq::start(), Garage::start(), Redis::start());
        Self::on(start, environment).await
    }

    async fn on(
        start: impl FnOnce() -> (Postgres, RabbitMq, Garage, Redis) + Send + 'static,
        environment: &[(&'static str, &'static str)],
    ) -> Self {
        let (postgres, rabbitmq, garage, redis) =
            spawn_blocking(start).await.expect("the servers start");
        let namespaces = Namespaces::on(&postgres, &rabbitmq, &garage, &redis).await;
        let (environment, data, processes) = (environment.to_vec(), scratch(), AtomicUsize::new(0));
        Self { postgres, rabbitmq, garage, redis, namespaces, environment, data, processes }
    }

    /// Servers for a story with faults.
    pub async fn for_faults() -> Self {
        Self::start(&PATIENT).await
    }

    /// Servers for a story of hours with faults, each of those that store files with a disk of its
    /// own if `disks`, which requires mounts of its own.
    pub async fn for_soak(disks: bool) -> Self {
        let environment = [&PATIENT[..], &[("JWT_ACCESS_TOKEN_EXPIRE_MINUTES", "1440")]].concat();
        if !disks {
            return Self::start(&environment).await;
        }
        let start = || {
            let (postgres, rabbitmq) = (Postgres::on_disk(DISK_MIB), RabbitMq::on_disk(DISK_MIB));
            (postgres, rabbitmq, Garage::on_disk(DISK_MIB), Redis::start())
        };
        let cluster = Self::on(start, &environment).await;
        let migrated = cluster.command(&["migrate"]);
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        cluster
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        let namespaces = self.namespaces.variables().into_iter();
        namespaces.chain(self.environment.iter().copied()).collect()
    }

    /// Run a command to its end.
    pub fn command(&self, arguments: &[&str]) -> ProgramOutput {
        self.command_of(&fiapx_path(), arguments)
    }

    /// Run a command of another version of the program to its end.
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> ProgramOutput {
        run(Command::new(program)
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data.path().join("command"))
            .envs(self.environment()))
    }

    /// Start a role with its own secrets only, and with more variables in its environment.
    pub fn start_role(&self, arguments: &[&str], more: &[(&str, &str)]) -> Process {
        let mut own = self.environment();
        own.retain(|(name, _)| is_for_role(name, arguments[0]));
        self.start_with(&fiapx_path(), arguments, &[own, more.to_vec()].concat())
    }

    /// Start a role of another version of the program, with all secrets.
    pub fn start_role_of(
        &self,
        program: &Path,
        arguments: &[&str],
        more: &[(&str, &str)],
    ) -> Process {
        self.start_with(program, arguments, &[self.environment(), more.to_vec()].concat())
    }

    fn start_with(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let directory = self.data.path().join(number.to_string());
        Process::of_version(program, arguments, &directory, environment)
    }

    /// Start an API.
    pub fn api(&self) -> Process {
        self.start_role(&["api", "--listen", "127.0.0.1:0"], &[])
    }

    /// Start a worker.
    pub fn worker(&self) -> Process {
        self.start_role(&["worker"], &[])
    }

    /// Start a worker in another network.
    pub fn worker_in(&self, network: &RemoteNetwork) -> Process {
        let environment = [self.environment(), network.environment()].concat();
        let directory = self.data.path().join("remote");
        Process::of(network.command(&fiapx_path()), &["worker"], &directory, &environment)
    }

    /// Start a notifier.
    pub fn notifier(&self) -> Process {
        self.start_role(&["notifier"], &[])
    }

    /// Number of messages by queue.
    pub fn queues(&self) -> BTreeMap<String, u64> {
        let list = ["list_queues", "--formatter", "json", "name", "messages"];
        let listed: Vec<Value> =
            serde_json::from_str(&self.rabbitmq.control(&list)).expect("rabbitmqctl writes JSON");
        let count = |queue: Value| {
            let name = queue["name"].as_str().expect("a name").to_owned();
            (name, queue["messages"].as_u64().unwrap_or_default())
        };
        listed.into_iter().map(count).collect()
    }

    /// Audit the service, after all its processes have stopped.
    pub async fn audit(self, account: &Account, sent: &[SentVideo]) -> Audit {
        let clock = Clock::default();
        clock.advance(LATER);
        let Self { namespaces, data, postgres, rabbitmq, garage, redis, .. } = self;
        let database = namespaces.setting("DATABASE_URL").expect("it is set");
        let service = Service::at(data, Some(namespaces), clock, |settings| {
            settings.limits.downloads_per_minute = 1_000_000;
        });
        let audit = Box::pin(async { audit(service.await, account, sent).await }).await;
        let [records, jobs] = ["count(*)", "count(DISTINCT job_id)"].map(|count| {
            let select = format!("SELECT {count} FROM notifications WHERE status = 'SENT'");
            block_in_place(|| postgres.execute(&database, &select)).trim().parse()
        });
        assert_eq!((records, jobs), (Ok(audit.jobs), Ok(audit.jobs)), "each outcome has a record");
        // The servers have to outlive the service.
        drop((postgres, rabbitmq, garage, redis));
        audit
    }
}

/// What the clients of a story upload.
pub struct Load {
    /// Clips, in turns.
    pub clips: &'static [&'static str],
    /// Pause of a client between two uploads.
    pub pause: Duration,
}

/// Short clips with short pauses.
pub const LIGHT: Load = Load { clips: &[SHORT, WRONG, TINY], pause: Duration::from_millis(300) };

/// Upload with several clients at these APIs until `stop`, with pauses; return the videos.
pub async fn upload_until(
    apis: &[&Client],
    account: &Account,
    load: &Load,
    stop: &AtomicBool,
) -> Vec<SentVideo> {
    const CLIENTS: usize = 3;
    let client = async |number: usize| {
        let mut sent = Vec::new();
        for (turn, clip) in load.clips.iter().cycle().enumerate() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let user = account.at(apis[(number + turn) % apis.len()]);
            sent.push(send_video(&user, format_args!("{number}-{turn}"), clip).await);
            // Paces the load; nothing depends on it.
            tokio::time::sleep(load.pause).await;
        }
        sent
    };
    join_all((0..CLIENTS).map(client)).await.into_iter().flatten().collect()
}

/// Result of a story with a fault.
pub struct Survived {
    /// Counts of the audit.
    pub audit: Audit,
    /// Videos that were sent.
    pub sent: Vec<SentVideo>,
}

/// Run an API, two workers and a notifier under load while `fault` happens to their servers. All
/// jobs, including those that `fault` sends itself, have to reach a final state, and all processes
/// to stop on request.
pub async fn survive(
    mut cluster: Cluster,
    fault: impl AsyncFnOnce(&mut Cluster, &User<'_>) -> Vec<SentVideo>,
) -> Survived {
    let api = cluster.api();
    let rest = [cluster.worker(), cluster.worker(), cluster.notifier()];
    let account = api.user().await.account();
    let stop = AtomicBool::new(false);
    let apis = [&*api];
    let (mut sent, more) = tokio::join!(upload_until(&apis, &account, &LIGHT, &stop), async {
        // Jobs are in progress when the fault happens, and new ones follow it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = fault(&mut cluster, &account.at(&api)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.store(true, Ordering::Relaxed);
        sent
    });
    sent.extend(more);
    for job in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        account.at(&api).wait_for(job, &["DONE", "FAILED"]).await;
    }
    for process in [api].into_iter().chain(rest) {
        block_in_place(|| process.terminate());
    }
    Survived { audit: cluster.audit(&account, &sent).await, sent }
}
