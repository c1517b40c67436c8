//! Everything is killed, stopped and paused at random under load, again and again; then every
//! accepted video is accounted for.
//!
//! For a minute unless `SOAK_MINUTES` says otherwise (`make soak`). `STORY_SEED` repeats what
//! happened, though not when within the work.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use servers::postgres::ShutdownMode;
use tokio::task::block_in_place;

use crate::cluster::{Cluster, free_address, load};
use crate::process::Process;
use crate::service::Client;

/// What can happen to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    Paused,
}

/// To what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Api(usize),
    Worker(usize),
    Notifier,
    RabbitMq,
    Postgres,
    Garage,
    Redis,
}

/// Something that happened.
#[derive(Clone, Copy)]
struct Incident {
    victim: Victim,
    fault: Fault,
    lasting: Duration,
}

impl fmt::Debug for Incident {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} {:?} for {:.1} s",
            self.victim,
            self.fault,
            self.lasting.as_secs_f64()
        )
    }
}

/// What can happen, and for how many seconds at most: workers also past their leases, which are of
/// 5 s.
const INCIDENTS: [(Victim, Fault, f64); 17] = [
    (Victim::Api(0), Fault::Killed, 2.0),
    (Victim::Api(1), Fault::Stopped, 2.0),
    (Victim::Api(1), Fault::Paused, 3.0),
    (Victim::Worker(0), Fault::Killed, 2.0),
    (Victim::Worker(1), Fault::Killed, 2.0),
    (Victim::Worker(0), Fault::Stopped, 2.0),
    (Victim::Worker(1), Fault::Paused, 9.0),
    (Victim::Worker(0), Fault::Paused, 3.0),
    (Victim::Notifier, Fault::Killed, 2.0),
    (Victim::RabbitMq, Fault::Killed, 3.0),
    (Victim::RabbitMq, Fault::Stopped, 3.0),
    (Victim::RabbitMq, Fault::Paused, 5.0),
    (Victim::Postgres, Fault::Killed, 3.0),
    (Victim::Postgres, Fault::Stopped, 3.0),
    (Victim::Garage, Fault::Killed, 3.0),
    (Victim::Garage, Fault::Paused, 5.0),
    (Victim::Redis, Fault::Stopped, 3.0),
];

/// A service with two APIs, two workers and a notifier.
struct Soaked {
    cluster: Cluster,
    addresses: [String; 2],
    apis: Vec<Process>,
    workers: Vec<Process>,
    notifier: Process,
}

impl Soaked {
    fn start(cluster: Cluster) -> Self {
        let addresses = [free_address(), free_address()];
        let apis = addresses.iter().map(|address| api(&cluster, address)).collect();
        let workers = vec![cluster.worker(), cluster.worker()];
        let notifier = cluster.notifier();
        Self { cluster, addresses, apis, workers, notifier }
    }

    /// The process that is the victim, if one is.
    fn process(&mut self, victim: Victim) -> Option<&mut Process> {
        match victim {
            Victim::Api(number) => Some(&mut self.apis[number]),
            Victim::Worker(number) => Some(&mut self.workers[number]),
            Victim::Notifier => Some(&mut self.notifier),
            _ => None,
        }
    }

    /// Start what takes the place of a process that is gone.
    fn successor(&self, victim: Victim) -> Process {
        match victim {
            Victim::Api(number) => api(&self.cluster, &self.addresses[number]),
            Victim::Worker(_) => self.cluster.worker(),
            _ => self.cluster.notifier(),
        }
    }

    /// Let something happen, and mend it.
    fn suffer(&mut self, Incident { victim, fault, lasting }: Incident) {
        let last = || std::thread::sleep(lasting);
        if let Some(process) = self.process(victim) {
            if fault == Fault::Paused {
                process.signal("STOP");
                last();
                process.signal("CONT");
            } else {
                process.signal(if fault == Fault::Killed { "KILL" } else { "TERM" });
                process.wait();
                last();
                let successor = self.successor(victim);
                *self.process(victim).expect("it was there") = successor;
            }
            return;
        }
        let Cluster { postgres, rabbitmq, garage, redis, .. } = &mut self.cluster;
        match (victim, fault) {
            (Victim::Postgres, Fault::Killed) => postgres.stop(ShutdownMode::Immediate),
            (Victim::Postgres, _) => postgres.stop(ShutdownMode::Fast),
            (Victim::RabbitMq, Fault::Killed) => rabbitmq.kill(),
            (Victim::RabbitMq, Fault::Stopped) => rabbitmq.stop(),
            (Victim::RabbitMq, Fault::Paused) => rabbitmq.pause(),
            (Victim::Garage, Fault::Paused) => garage.pause(),
            (Victim::Garage, _) => garage.kill(),
            (_, _) => redis.stop(),
        }
        last();
        match (victim, fault) {
            (Victim::Postgres, _) => postgres.start_again(),
            (Victim::RabbitMq, Fault::Paused) => rabbitmq.resume(),
            (Victim::RabbitMq, _) => rabbitmq.start_again(),
            (Victim::Garage, Fault::Paused) => garage.resume(),
            (Victim::Garage, _) => garage.start_again(),
            (_, _) => redis.start_again(),
        }
    }
}

fn api(cluster: &Cluster, address: &str) -> Process {
    cluster.run(&["api", "--listen", address], &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_every_accepted_video_comes_to_its_end() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name} is no number")))
    };
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    let (minutes, seed) = (
        number("SOAK_MINUTES").unwrap_or(1),
        number("STORY_SEED").unwrap_or(now.as_nanos() as u64),
    );
    println!("STORY_SEED={seed} for {minutes} min");
    let mut random = StdRng::seed_from_u64(seed);

    let mut soaked = Soaked::start(Cluster::for_faults().await);
    let account = soaked.apis[0].user().await.account();
    let clients = soaked.addresses.each_ref().map(|address| Client::of(address));
    let (over, begun) = (AtomicBool::new(false), Instant::now());
    let apis = clients.each_ref();
    let (sent, ()) = tokio::join!(load(&apis, &account, &over), async {
        while begun.elapsed() < Duration::from_mins(minutes) {
            let (victim, fault, most) = *INCIDENTS.choose(&mut random).expect("there are some");
            let incident = Incident {
                victim,
                fault,
                lasting: Duration::from_secs_f64(random.random_range(0.0..most)),
            };
            println!("{:6.1} s: {incident:?}", begun.elapsed().as_secs_f64());
            block_in_place(|| soaked.suffer(incident));
            // Not to wait for something, but to let things come at any moment of the work.
            tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.0..3.0))).await;
        }
        over.store(true, Ordering::Relaxed);
    });
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    println!("{accepted} of {} uploads were accepted", sent.len());
    let Soaked { cluster, apis, workers, notifier, .. } = soaked;
    for job in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        account.at(&apis[0]).until(job, &["DONE", "FAILED"]).await;
    }
    println!("all are over after {:.0} s", begun.elapsed().as_secs_f64());
    for process in apis.into_iter().chain(workers).chain([notifier]) {
        process.signal("TERM");
        let (status, log) = block_in_place(|| process.ended());
        assert!(status.success(), "{status}: {log:?}");
    }
    let balance = cluster.account_for(&account, &sent).await;
    println!("{balance:?} after {:.0} s", begun.elapsed().as_secs_f64());
    assert!(accepted > 0 && balance.jobs >= accepted, "{balance:?}");
}
