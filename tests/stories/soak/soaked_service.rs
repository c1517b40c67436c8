//! The service that the soak torments.

use std::time::Duration;

use servers::postgres::ShutdownMode;
use tokio::runtime::Handle;

use super::incident::{Incident, Kind, Member, Server};
use super::network::Network;
use crate::harness::cluster::Cluster;
use crate::harness::process::{Process, free_address};
use crate::harness::small_disk::fill;

/// Free space below which `RabbitMQ` accepts no messages is 50 MB (`disk_free_limit`); it does not
/// survive a disk without any space, so operators keep that limit.
const LEFT_FOR_RABBITMQ: u64 = 30 << 20;

/// A service with two APIs, two workers and a notifier, each on a machine with a clock of its own.
pub(super) struct SoakedService {
    pub(super) cluster: Cluster,
    network: Network,
    pub(super) addresses: [String; 2],
    /// In the order of [`Member::ALL`].
    pub(super) processes: Vec<Process>,
    /// Seconds by which the clock of each process is wrong.
    clock_errors: [i64; 5],
    /// Number of servers that ended by themselves.
    pub(super) ended_servers: usize,
}

impl SoakedService {
    pub(super) fn start(cluster: Cluster) -> Self {
        let (network, addresses) =
            (Network::to(&cluster.namespaces), [free_address(), free_address()]);
        let mut service = Self {
            cluster,
            network,
            addresses,
            processes: Vec::new(),
            clock_errors: [0; 5],
            ended_servers: 0,
        };
        for member in Member::ALL {
            let process = service.start_process(member);
            service.processes.push(process);
        }
        service
    }

    fn start_process(&self, member: Member) -> Process {
        let arguments: &[&str] = match member {
            Member::Api(number) => &["api", "--listen", &self.addresses[number]],
            Member::Worker(_) => &["worker"],
            Member::Notifier => &["notifier"],
        };
        let error = self.clock_errors[member.index()].to_string();
        let mut environment = self.network.environment(member);
        environment.push(("FIAPX_CLOCK_ERROR", &error));
        self.cluster.start_role(arguments, &environment)
    }

    /// Start all servers again that have ended by themselves, as a supervisor does.
    pub(super) fn supervise(&mut self) {
        let Cluster { postgres, rabbitmq, garage, redis, .. } = &mut self.cluster;
        let ended = [
            postgres.start_if_ended(),
            rabbitmq.start_if_ended(),
            garage.start_if_ended(),
            redis.start_if_ended(),
        ];
        self.ended_servers += ended.into_iter().filter(|ended| *ended).count();
    }

    /// Cause an incident, and end it after its duration. `clock_error` is for the machine of a
    /// process whose clock changes.
    pub(super) fn cause(&mut self, Incident { kind, duration }: Incident, clock_error: i64) {
        self.supervise();
        match kind {
            Kind::Killed(member) => self.replace(member, "KILL", duration),
            Kind::Stopped(member) => self.replace(member, "TERM", duration),
            Kind::Paused(member) => {
                let process = &self.processes[member.index()];
                process.signal("STOP");
                std::thread::sleep(duration);
                process.signal("CONT");
            }
            Kind::Clock(member) => {
                self.clock_errors[member.index()] = clock_error;
                self.replace(member, "TERM", duration);
            }
            Kind::CutOff(member, server) => self.cut(Some(member), server, duration),
            Kind::Isolated(server) => self.cut(None, server, duration),
            Kind::ServerKilled(server) => self.restart_server(server, true, duration),
            Kind::ServerStopped(server) => self.restart_server(server, false, duration),
            Kind::ServerPaused(server) => self.pause_server(server, duration),
            Kind::DiskFull(server) => self.fill_disk(server, duration),
            Kind::Refusal => {
                let bucket = &self.cluster.namespaces.bucket;
                bucket.set_writable(false);
                std::thread::sleep(duration);
                bucket.set_writable(true);
            }
        }
    }

    /// End a process with a signal, and start its successor later.
    fn replace(&mut self, member: Member, signal: &str, pause: Duration) {
        let process = &mut self.processes[member.index()];
        process.signal(signal);
        process.wait();
        std::thread::sleep(pause);
        self.processes[member.index()] = self.start_process(member);
    }

    fn cut(&self, member: Option<Member>, server: Server, duration: Duration) {
        self.network.links(member, server).for_each(servers::Proxy::freeze);
        std::thread::sleep(duration);
        self.network.links(member, server).for_each(servers::Proxy::thaw);
    }

    fn restart_server(&mut self, server: Server, killed: bool, pause: Duration) {
        let Cluster { postgres, rabbitmq, garage, redis, namespaces, .. } = &mut self.cluster;
        let mailbox = &mut namespaces.mailbox;
        match (server, killed) {
            (Server::Postgres, true) => postgres.stop(ShutdownMode::Immediate),
            (Server::Postgres, false) => postgres.stop(ShutdownMode::Fast),
            (Server::RabbitMq, true) => rabbitmq.kill(),
            (Server::RabbitMq, false) => rabbitmq.stop(),
            (Server::Garage, true) => garage.kill(),
            (Server::Garage, false) => garage.stop(),
            (Server::Redis, true) => redis.kill(),
            (Server::Redis, false) => redis.stop(),
            (Server::Mail, _) => Handle::current().block_on(mailbox.stop()),
        }
        std::thread::sleep(pause);
        match server {
            Server::Postgres => postgres.start_again(),
            Server::RabbitMq => rabbitmq.start_again(),
            Server::Garage => garage.start_again(),
            Server::Redis => redis.start_again(),
            Server::Mail => Handle::current().block_on(mailbox.start_again()),
        }
    }

    fn pause_server(&self, server: Server, duration: Duration) {
        let Cluster { postgres, rabbitmq, garage, redis, .. } = &self.cluster;
        let signals: [&dyn Fn(); 2] = match server {
            Server::Postgres => [&|| postgres.pause(), &|| postgres.resume()],
            Server::RabbitMq => [&|| rabbitmq.pause(), &|| rabbitmq.resume()],
            Server::Garage => [&|| garage.pause(), &|| garage.resume()],
            Server::Redis => [&|| redis.pause(), &|| redis.resume()],
            Server::Mail => unreachable!("it runs in this process"),
        };
        signals[0]();
        std::thread::sleep(duration);
        signals[1]();
    }

    fn fill_disk(&mut self, server: Server, duration: Duration) {
        let Cluster { postgres, rabbitmq, garage, .. } = &self.cluster;
        let (disk, left) = match server {
            Server::Postgres => (postgres.directory(), 0),
            Server::RabbitMq => (rabbitmq.directory(), LEFT_FOR_RABBITMQ),
            _ => (garage.directory(), 0),
        };
        fill(disk, "filler", left);
        std::thread::sleep(duration);
        std::fs::remove_file(disk.join("filler")).expect("the file exists");
        self.supervise();
    }
}
