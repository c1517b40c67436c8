//! A connection that is established on demand.

use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::error::Error;
use crate::rabbitmq::topology;

/// Timeout of an attempt to connect. A dropped attempt keeps a thread until the server
/// responds or the socket breaks, so attempts are not dropped with their callers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// Default interval of heartbeats in seconds. A peer that misses two is disconnected, and its
/// messages go to others: with the 60 seconds of the server, a hanging worker would hold them for
/// minutes. Recommended are 5 to 20 (RabbitMQ, "Detecting Dead TCP Connections with Heartbeats").
const HEARTBEAT: u16 = 10;

/// A connection to the server that is established again after it breaks.
pub(super) struct Reconnecting {
    /// Contains a password, so this type does not implement `Debug`.
    address: AMQPUri,
    /// Name of the connection for the operators of the server.
    name: &'static str,
    state: Mutex<State>,
}

enum State {
    Disconnected,
    Connecting(JoinHandle<Result<Connection, Error>>),
    Connected(Arc<Connection>),
}

impl Reconnecting {
    pub(super) fn new(address: AMQPUri, name: &'static str) -> Self {
        Self { address, name, state: Mutex::new(State::Disconnected) }
    }

    /// Return the current connection, or establish a new one and declare the queues. The future
    /// may be dropped.
    pub(super) async fn get(&self) -> Result<Arc<Connection>, Error> {
        let mut state = self.state.lock().await;
        if let State::Connected(connection) = &*state
            && connection.status().connected()
        {
            return Ok(Arc::clone(connection));
        }
        if !matches!(*state, State::Connecting(_)) {
            *state = State::Connecting(tokio::spawn(connect(self.address.clone(), self.name)));
        }
        let State::Connecting(attempt) = &mut *state else { return Err(Error::Closed) };
        let result = attempt
            .await
            .unwrap_or_else(|stopped| Err(Error::Unavailable { reason: stopped.to_string() }));
        *state = State::Disconnected;
        let connection = Arc::new(result?);
        *state = State::Connected(Arc::clone(&connection));
        Ok(connection)
    }

    /// Drop the connection, so that the next call establishes a new one.
    pub(super) async fn reset(&self) {
        *self.state.lock().await = State::Disconnected;
    }
}

async fn connect(address: AMQPUri, name: &'static str) -> Result<Connection, Error> {
    let attempt = async {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(address, properties).await?;
        topology::declare(&connection).await?;
        Ok(connection)
    };
    timeout(ATTEMPT_TIMEOUT, attempt).await.unwrap_or(Err(Error::Timeout))
}

/// Parse the URL of a server. Errors do not quote it, because it may contain a password.
pub(super) fn parse_address(url: &SecretString) -> Result<AMQPUri, Error> {
    let url = url.expose_secret();
    let parsed = url.parse::<AMQPUri>();
    // The parser reads an IPv6 address as an empty host, and uses localhost instead.
    let supported = parsed.ok().filter(|_| !url.contains("//[") && !url.contains("@["));
    let mut address = supported.ok_or_else(|| Error::Unavailable {
        reason: "the URL of RabbitMQ must have the form amqp://user:password@host:5672/vhost, \
                 with a name or an IPv4 address as host"
            .to_owned(),
    })?;
    // Strictly, `amqp://host/` names the virtual host with the empty name, which hardly any server
    // has.
    if address.vhost.is_empty() {
        "/".clone_into(&mut address.vhost);
    }
    address.query.heartbeat.get_or_insert(HEARTBEAT);
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<AMQPUri, Error> {
        parse_address(&SecretString::from(url))
    }

    #[test]
    fn applies_defaults() {
        for (url, host, port, vhost) in [
            ("amqp://rabbitmq", "rabbitmq", 5672, "/"),
            ("amqp://guest:guest@rabbitmq:5672/", "rabbitmq", 5672, "/"),
            ("amqp://guest:guest@10.0.0.1:5673/%2f", "10.0.0.1", 5673, "/"),
            ("amqps://guest:guest@rabbitmq/videos", "rabbitmq", 5671, "videos"),
        ] {
            let address = parse(url).expect(url);
            assert_eq!(
                (&*address.authority.host, address.authority.port, &*address.vhost),
                (host, port, vhost),
                "{url}"
            );
            assert_eq!(address.query.heartbeat, Some(HEARTBEAT), "{url}");
        }
        let address = parse("amqp://rabbitmq/?heartbeat=30").expect("the URL is valid");
        assert_eq!(address.query.heartbeat, Some(30));
    }

    #[test]
    fn rejects_invalid_urls_without_quoting_them() {
        for url in [
            "",
            "rabbitmq:hunter2",
            "hunter2",
            "http://user:hunter2@rabbitmq",
            "amqp://user:hunter2@[::1]:5672/%2f",
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains("must have the form") && !error.contains("hunter2"), "{error}");
        }
    }
}
