//! Processes and servers are killed, stopped and paused at random under load, again and again; then
//! every accepted video is audited.
//!
//! The story runs for a minute unless `SOAK_MINUTES` is set (`make soak`). `STORY_SEED` repeats the
//! sequence of faults, though not their exact moments.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use servers::postgres::ShutdownMode;
use tokio::task::block_in_place;

use crate::harness::checks::story_seed;
use crate::harness::client::Client;
use crate::harness::cluster::{Cluster, upload_until};
use crate::harness::process::{Process, free_address};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    Paused,
}

/// A process or server that a fault happens to.
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

/// A fault that happens to a victim.
#[derive(Clone, Copy)]
struct Incident {
    victim: Victim,
    fault: Fault,
    duration: Duration,
}

impl fmt::Debug for Incident {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} {:?} for {:.1} s",
            self.victim,
            self.fault,
            self.duration.as_secs_f64()
        )
    }
}

/// A possible incident.
struct Possibility {
    victim: Victim,
    fault: Fault,
    /// Longest duration in seconds.
    longest: f64,
}

const fn possible(victim: Victim, fault: Fault, longest: f64) -> Possibility {
    Possibility { victim, fault, longest }
}

/// All possible incidents. One of the pauses of a worker can outlast its lease of 5 s.
const INCIDENTS: [Possibility; 17] = [
    possible(Victim::Api(0), Fault::Killed, 2.0),
    possible(Victim::Api(1), Fault::Stopped, 2.0),
    possible(Victim::Api(1), Fault::Paused, 3.0),
    possible(Victim::Worker(0), Fault::Killed, 2.0),
    possible(Victim::Worker(1), Fault::Killed, 2.0),
    possible(Victim::Worker(0), Fault::Stopped, 2.0),
    possible(Victim::Worker(1), Fault::Paused, 9.0),
    possible(Victim::Worker(0), Fault::Paused, 3.0),
    possible(Victim::Notifier, Fault::Killed, 2.0),
    possible(Victim::RabbitMq, Fault::Killed, 3.0),
    possible(Victim::RabbitMq, Fault::Stopped, 3.0),
    possible(Victim::RabbitMq, Fault::Paused, 5.0),
    possible(Victim::Postgres, Fault::Killed, 3.0),
    possible(Victim::Postgres, Fault::Stopped, 3.0),
    possible(Victim::Garage, Fault::Killed, 3.0),
    possible(Victim::Garage, Fault::Paused, 5.0),
    possible(Victim::Redis, Fault::Stopped, 3.0),
];

/// A service with two APIs, two workers and a notifier.
struct SoakedService {
    cluster: Cluster,
    addresses: [String; 2],
    apis: Vec<Process>,
    workers: Vec<Process>,
    notifier: Process,
}

impl SoakedService {
    fn start(cluster: Cluster) -> Self {
        let addresses = [free_address(), free_address()];
        let apis = addresses.iter().map(|address| api(&cluster, address)).collect();
        let workers = vec![cluster.worker(), cluster.worker()];
        let notifier = cluster.notifier();
        Self { cluster, addresses, apis, workers, notifier }
    }

    /// The victim, if it is a process.
    fn process(&mut self, victim: Victim) -> Option<&mut Process> {
        match victim {
            Victim::Api(number) => Some(&mut self.apis[number]),
            Victim::Worker(number) => Some(&mut self.workers[number]),
            Victim::Notifier => Some(&mut self.notifier),
            _ => None,
        }
    }

    /// Start the successor of a process that has exited.
    fn successor(&self, victim: Victim) -> Process {
        match victim {
            Victim::Api(number) => api(&self.cluster, &self.addresses[number]),
            Victim::Worker(_) => self.cluster.worker(),
            _ => self.cluster.notifier(),
        }
    }

    /// Cause a fault, and end it after its duration.
    fn cause(&mut self, Incident { victim, fault, duration }: Incident) {
        let last = || std::thread::sleep(duration);
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
                *self.process(victim).expect("the victim is a process") = successor;
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
    cluster.start_role(&["api", "--listen", address], &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_video_reaches_a_final_state_despite_random_faults() {
    let minutes = std::env::var("SOAK_MINUTES")
        .map_or(1, |minutes| minutes.parse().expect("SOAK_MINUTES is a whole number"));
    let seed = story_seed();
    let mut random = StdRng::seed_from_u64(seed);

    let mut soaked = SoakedService::start(Cluster::for_faults().await);
    let account = soaked.apis[0].user().await.account();
    let clients = soaked.addresses.each_ref().map(|address| Client::of(address));
    let (stop, started) = (AtomicBool::new(false), Instant::now());
    let apis = clients.each_ref();
    let (sent, ()) = tokio::join!(upload_until(&apis, &account, &stop), async {
        while started.elapsed() < Duration::from_mins(minutes) {
            let &Possibility { victim, fault, longest } =
                INCIDENTS.choose(&mut random).expect("the list is not empty");
            let duration = Duration::from_secs_f64(random.random_range(0.0..longest));
            let incident = Incident { victim, fault, duration };
            println!("{:6.1} s: {incident:?}", started.elapsed().as_secs_f64());
            block_in_place(|| soaked.cause(incident));
            // Faults happen at any moment of the work; nothing depends on the pause.
            tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.0..3.0))).await;
        }
        stop.store(true, Ordering::Relaxed);
    });
    let accepted = sent.iter().filter(|sent| sent.accepted.is_some()).count();
    println!("{accepted} of {} uploads were accepted", sent.len());
    let SoakedService { cluster, apis, workers, notifier, .. } = soaked;
    for job in sent.iter().filter_map(|sent| sent.accepted.as_ref()) {
        account.at(&apis[0]).wait_for(job, &["DONE", "FAILED"]).await;
    }
    println!("all jobs are finished after {:.0} s", started.elapsed().as_secs_f64());
    for process in apis.into_iter().chain(workers).chain([notifier]) {
        block_in_place(|| process.terminate());
    }
    let audit = cluster.audit(&account, &sent).await;
    println!("{audit:?} after {:.0} s", started.elapsed().as_secs_f64());
    assert!(accepted > 0 && audit.jobs >= accepted, "{audit:?}");
}
