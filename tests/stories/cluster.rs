//! A service of several processes on servers of its own, each of which can be stopped.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jobs::Clock;
use servers::{Garage, Postgres, RabbitMq, Redis};
use tempfile::TempDir;
use tokio::task::{block_in_place, spawn_blocking};

use crate::accounting::{Balance, LATER, SHORT, Sent, TINY, WRONG, account_for, send};
use crate::harness::{Run, fiapx, run, scratch};
use crate::parts::Places;
use crate::process::Process;
use crate::service::{Account, Client, Service, User};

/// Attempts follow each other so soon and so often that no fault of a story uses them up, and
/// nobody is told to come later.
const PATIENT: [(&str, &str); 4] = [
    ("WORKER_RETRY_SECONDS", "1,1,1,2,2,2,4,4,4,8,8,8,8,8,8,8,8,8,8,8"),
    ("WORKER_LEASE_SECONDS", "5"),
    ("LIMIT_UNFINISHED_JOBS", "1000000"),
    ("GRACE_PERIOD_SECONDS", "20"),
];

/// Servers, and where the processes of a service are told of them.
pub struct Cluster {
    /// Where rows are.
    pub postgres: Postgres,
    /// Who hands out messages.
    pub rabbitmq: RabbitMq,
    /// Where files lie.
    pub garage: Garage,
    /// Who counts.
    pub redis: Redis,
    /// The service's places on them.
    pub places: Places,
    environment: Vec<(&'static str, &'static str)>,
    data: TempDir,
    processes: AtomicUsize,
}

impl Cluster {
    /// Servers with a schema, for processes with these variables in their environment.
    pub async fn start(environment: &[(&'static str, &'static str)]) -> Self {
        let cluster = Self::of_servers(environment).await;
        let migrated = cluster.command(&["migrate"]);
        assert_eq!(migrated.code, Some(0), "{migrated:?}");
        cluster
    }

    /// Servers on which nothing is yet.
    pub async fn of_servers(environment: &[(&'static str, &'static str)]) -> Self {
        let start = || (Postgres::start(), RabbitMq::start(), Garage::start(), Redis::start());
        let (postgres, rabbitmq, garage, redis) =
            spawn_blocking(start).await.expect("the servers start");
        let places = Places::on(&postgres, &rabbitmq, &garage, &redis).await;
        let (environment, data, processes) = (environment.to_vec(), scratch(), AtomicUsize::new(0));
        Self { postgres, rabbitmq, garage, redis, places, environment, data, processes }
    }

    /// Servers for a story with faults.
    pub async fn for_faults() -> Self {
        Self::start(&PATIENT).await
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        let places = self.places.environment.iter().map(|(name, value)| (*name, value.as_str()));
        places.chain(self.environment.iter().copied()).collect()
    }

    /// Run a command to its end.
    pub fn command(&self, words: &[&str]) -> Run {
        run(fiapx()
            .args(words)
            .arg("--data-dir")
            .arg(self.data.path().join("command"))
            .envs(self.environment()))
    }

    /// Start a role, with more variables in its environment.
    pub fn run(&self, words: &[&str], more: &[(&str, &str)]) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let environment = [self.environment(), more.to_vec()].concat();
        Process::role(words, &self.data.path().join(number.to_string()), &environment)
    }

    /// Start an API.
    pub fn api(&self) -> Process {
        self.run(&["api", "--listen", "127.0.0.1:0"], &[])
    }

    /// Start a worker.
    pub fn worker(&self) -> Process {
        self.run(&["worker"], &[])
    }

    /// Start a notifier.
    pub fn notifier(&self) -> Process {
        self.run(&["notifier"], &[])
    }

    /// Hold the service against what its clients were told, once nobody of it runs any more.
    pub async fn account_for(self, account: &Account, sent: &[Sent]) -> Balance {
        let clock = Clock::default();
        clock.advance(LATER);
        let Self { places, data, postgres, rabbitmq, garage, redis, .. } = self;
        let service = Service::at(data, Some(places), clock, |settings| {
            settings.limits.downloads_per_minute = 1_000_000;
        });
        let balance = account_for(service.await, account, sent).await;
        // Here, and not before, is nobody left who needs them.
        drop((postgres, rabbitmq, garage, redis));
        balance
    }
}

/// An address that nobody listens on, for a process that is to have the same one as its successor.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has one").to_string()
}

/// Upload at a moderate pace, by several clients at these APIs, until `over`; gives what was sent.
pub async fn load(apis: &[&Client], account: &Account, over: &AtomicBool) -> Vec<Sent> {
    const CLIENTS: usize = 3;
    let client = async |number: usize| {
        let mut sent = Vec::new();
        for (turn, clip) in [SHORT, WRONG, TINY].into_iter().cycle().enumerate() {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let user = account.at(apis[(number + turn) % apis.len()]);
            sent.push(send(&user, format_args!("{number}-{turn}"), clip).await);
            // Not to wait for something, but to leave the machine time for the rest.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        sent
    };
    join_all((0..CLIENTS).map(client)).await.into_iter().flatten().collect()
}

/// What happens to a service of an API, two workers and a notifier under load when something
/// happens to its servers. All of them have to be done with everything afterwards, and to stop as
/// they are told to. What the fault sends itself counts as well. Gives what has become of the jobs,
/// and what was sent.
pub async fn through(
    mut cluster: Cluster,
    fault: impl AsyncFnOnce(&mut Cluster, &User<'_>) -> Vec<Sent>,
) -> (Balance, Vec<Sent>) {
    let api = cluster.api();
    let rest = [cluster.worker(), cluster.worker(), cluster.notifier()];
    let account = api.user().await.account();
    let over = AtomicBool::new(false);
    let apis = [&*api];
    let (mut sent, more) = tokio::join!(load(&apis, &account, &over), async {
        // So that there is something to lose.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let sent = fault(&mut cluster, &account.at(&api)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        over.store(true, Ordering::Relaxed);
        sent
    });
    sent.extend(more);
    for job in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        account.at(&api).until(job, &["DONE", "FAILED"]).await;
    }
    for process in [api].into_iter().chain(rest) {
        process.signal("TERM");
        let (status, log) = block_in_place(|| process.ended());
        assert!(status.success(), "{status}: {log:?}");
    }
    (cluster.account_for(&account, &sent).await, sent)
}
