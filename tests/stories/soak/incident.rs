//! Incidents that the soak chooses from.

use std::fmt;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// A process of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Api(usize),
    Worker(usize),
    Notifier,
}

impl Member {
    pub(super) const ALL: [Self; 5] =
        [Self::Api(0), Self::Api(1), Self::Worker(0), Self::Worker(1), Self::Notifier];

    /// Position in [`ALL`](Self::ALL).
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Api(number) => number,
            Self::Worker(number) => 2 + number,
            Self::Notifier => 4,
        }
    }

    const fn role(self) -> &'static str {
        match self {
            Self::Api(_) => "API",
            Self::Worker(_) => "worker",
            Self::Notifier => "notifier",
        }
    }

    /// Servers that it uses.
    const fn servers(self) -> &'static [Server] {
        use Server::{Garage, Mail, Postgres, RabbitMq, Redis};
        match self {
            Self::Api(_) => &[Postgres, Garage, Redis, RabbitMq],
            Self::Worker(_) => &[Postgres, Garage, RabbitMq],
            Self::Notifier => &[Postgres, RabbitMq, Mail],
        }
    }
}

/// A server that the processes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Postgres,
    RabbitMq,
    Garage,
    Redis,
    Mail,
}

impl Server {
    pub(super) const ALL: [Self; 5] =
        [Self::Postgres, Self::RabbitMq, Self::Garage, Self::Redis, Self::Mail];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::RabbitMq => "RabbitMQ",
            Self::Garage => "store",
            Self::Redis => "Redis",
            Self::Mail => "mail server",
        }
    }
}

/// A kind of incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Killed(Member),
    Stopped(Member),
    Paused(Member),
    /// The process moves to a machine with another clock.
    Clock(Member),
    /// No byte passes between a process and a server.
    CutOff(Member, Server),
    ServerKilled(Server),
    ServerStopped(Server),
    ServerPaused(Server),
    /// No byte passes between any process and a server.
    Isolated(Server),
    DiskFull(Server),
    /// The store rejects every write.
    Refusal,
}

impl fmt::Display for Kind {
    /// The kind without the number of a process, for counts.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(member) => write!(formatter, "{} killed", member.role()),
            Self::Stopped(member) => write!(formatter, "{} stopped", member.role()),
            Self::Paused(member) => write!(formatter, "{} paused", member.role()),
            Self::Clock(member) => write!(formatter, "{} with another clock", member.role()),
            Self::CutOff(member, server) => {
                write!(formatter, "{} cut off from {}", member.role(), server.name())
            }
            Self::ServerKilled(server) => write!(formatter, "{} killed", server.name()),
            Self::ServerStopped(server) => write!(formatter, "{} stopped", server.name()),
            Self::ServerPaused(server) => write!(formatter, "{} paused", server.name()),
            Self::Isolated(server) => write!(formatter, "{} cut off from all", server.name()),
            Self::DiskFull(server) => write!(formatter, "disk of {} full", server.name()),
            Self::Refusal => write!(formatter, "store refuses"),
        }
    }
}

/// A kind with its longest duration in seconds.
type Possibility = (Kind, f64);

/// All possible incidents. Some pauses of workers outlast their lease of 5 s, and some cuts the
/// limit of 25 s for a call of the database.
fn possibilities(disks: bool) -> Vec<Possibility> {
    let mut all = Vec::new();
    for member in Member::ALL {
        all.extend([(Kind::Killed(member), 3.0), (Kind::Stopped(member), 3.0)]);
        all.extend([(Kind::Paused(member), 12.0), (Kind::Clock(member), 1.0)]);
        all.extend(member.servers().iter().map(|server| (Kind::CutOff(member, *server), 35.0)));
    }
    for server in Server::ALL {
        all.extend([(Kind::ServerStopped(server), 5.0), (Kind::Isolated(server), 35.0)]);
        if server != Server::Mail {
            all.extend([(Kind::ServerKilled(server), 5.0), (Kind::ServerPaused(server), 20.0)]);
        }
    }
    if disks {
        let on_disks = [Server::Postgres, Server::RabbitMq, Server::Garage];
        all.extend(on_disks.map(|server| (Kind::DiskFull(server), 30.0)));
    }
    all.push((Kind::Refusal, 30.0));
    all
}

/// An incident.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incident {
    pub(super) kind: Kind,
    pub(super) duration: Duration,
}

/// Source of random incidents. Every kind happens once before any happens again.
pub(super) struct Incidents {
    all: Vec<Possibility>,
    left: Vec<Possibility>,
    /// Longest duration of each incident in seconds.
    longest: f64,
}

impl Incidents {
    pub(super) fn new(disks: bool, longest: f64) -> Self {
        Self { all: possibilities(disks), left: Vec::new(), longest }
    }

    pub(super) fn next(&mut self, random: &mut StdRng) -> Incident {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            self.left.shuffle(random);
        }
        let (kind, longest) = self.left.pop().expect("there are possibilities");
        // Most are short.
        let share = random.random_range(0.0_f64..1.0).powi(2);
        Incident { kind, duration: Duration::from_secs_f64(share * longest.min(self.longest)) }
    }
}
