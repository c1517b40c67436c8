//! A connection that is made when it is needed.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Error;
use crate::rabbitmq::topology;

/// How long an attempt to connect may take before another begins. One that is dropped leaves a
/// thread behind until the server answers or the socket breaks, and so an attempt outlasts those
/// who wait for it.
const ATTEMPT: Duration = Duration::from_mins(1);

/// Seconds between signs of life, unless the URL says otherwise. Whoever misses two is given up,
/// and his messages go to others: a worker that hangs would keep them for minutes by the server's
/// own 60. From 5 to 20 is what suits most (RabbitMQ, "Detecting Dead TCP Connections with
/// Heartbeats").
const HEARTBEAT: u16 = 10;

/// One connection to the server, or the wish for one.
pub(super) struct Link {
    /// Holds a password, so this has no `Debug`.
    address: AMQPUri,
    /// What the server's operators see it as.
    name: &'static str,
    state: Mutex<State>,
}

enum State {
    None,
    Attempt(JoinHandle<Result<Connection, Error>>),
    Made(Arc<Connection>),
}

impl Link {
    pub(super) fn new(address: AMQPUri, name: &'static str) -> Self {
        Self { address, name, state: Mutex::new(State::None) }
    }

    /// The connection: the one there is, if it is alive, or a new one, with the queues declared.
    /// Waits for as long as that takes; may be dropped meanwhile.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let mut state = self.state.lock().await;
        if let State::Made(connection) = &*state
            && connection.status().connected()
        {
            return Ok(Arc::clone(connection));
        }
        if !matches!(*state, State::Attempt(_)) {
            *state = State::Attempt(tokio::spawn(attempt(self.address.clone(), self.name)));
        }
        let State::Attempt(attempt) = &mut *state else { return Err(Error::Closed) };
        let made = attempt
            .await
            .unwrap_or_else(|stopped| Err(Error::Unavailable { reason: stopped.to_string() }));
        *state = State::None;
        let connection = Arc::new(made?);
        *state = State::Made(Arc::clone(&connection));
        Ok(connection)
    }

    /// Make a new connection next time.
    pub(super) async fn forget(&self) {
        *self.state.lock().await = State::None;
    }
}

async fn attempt(address: AMQPUri, name: &'static str) -> Result<Connection, Error> {
    let making = async {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(address, properties).await?;
        topology::declare(&connection).await?;
        Ok(connection)
    };
    timeout(ATTEMPT, making).await.unwrap_or(Err(Error::TooSlow))
}

/// Read an address. What is wrong with it is said without its words, for a password may be among
/// them.
pub(super) fn address(url: &SecretString) -> Result<AMQPUri, Error> {
    let url = url.expose_secret();
    let parsed = url.parse::<AMQPUri>();
    // The parser takes an IPv6 address for no host at all, and no host for this one.
    let readable = parsed.ok().filter(|_| !url.contains("//[") && !url.contains("@["));
    let mut address = readable.ok_or_else(|| Error::Unavailable {
        reason:
            "the address of RabbitMQ must look like amqp://user:password@host:5672/vhost, with a name or an IPv4 address for host"
                .to_owned(),
    })?;
    // `amqp://host/` is strictly the virtual host with the empty name, which nobody has and many do
    // not mean.
    if address.vhost.is_empty() {
        "/".clone_into(&mut address.vhost);
    }
    address.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let read = |url: &str| address(&SecretString::from(url));
        for (url, host, port, vhost) in [
            ("amqp://rabbitmq", "rabbitmq", 5672, "/"),
            ("amqp://guest:guest@rabbitmq:5672/", "rabbitmq", 5672, "/"),
            ("amqp://guest:guest@10.0.0.1:5673/%2f", "10.0.0.1", 5673, "/"),
            ("amqps://guest:guest@rabbitmq/videos", "rabbitmq", 5671, "videos"),
        ] {
            let address = read(url).expect(url);
            assert_eq!(
                (&*address.authority.host, address.authority.port, &*address.vhost),
                (host, port, vhost),
                "{url}"
            );
            assert_eq!(address.query.heartbeat, Some(HEARTBEAT), "{url}");
        }
        assert_eq!(
            read("amqp://rabbitmq/?heartbeat=30").expect("it is one").query.heartbeat,
            Some(30)
        );
        for url in [
            "",
            "rabbitmq:hunter2",
            "hunter2",
            "http://user:hunter2@rabbitmq",
            "amqp://user:hunter2@[::1]:5672/%2f",
        ] {
            let said = read(url).expect_err(url).to_string();
            assert!(said.contains("must look like") && !said.contains("hunter2"), "{url}: {said}");
        }
    }
}
