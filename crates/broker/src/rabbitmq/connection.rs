//! A connection that is established on demand.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jobs::Backoff;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::rabbitmq::topology;

/// Timeout of an attempt to connect. A dropped attempt keeps a thread until the server
/// responds or the socket breaks, so attempts are not dropped with their callers.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);

/// Pauses before an attempt to connect after failed ones, and before the first one after a
/// connection broke, so that not all processes connect at once to a server that has restarted. The
/// longest is shorter than the time for which callers wait.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// Default interval of heartbeats in seconds. A peer that misses two is disconnected, and its
/// messages go to others: with the 60 seconds of the server, a hanging worker would hold them for
/// minutes. Recommended are 5 to 20 (RabbitMQ, "Detecting Dead TCP Connections with Heartbeats").
const HEARTBEAT: u16 = 10;

/// A connection to the server that is established when it is needed, and again after it breaks.
pub(super) struct Reconnecting {
    /// Contains a password, so this type does not implement `Debug`.
    address: AMQPUri,
    /// Name of the connection for the operators of the server.
    name: &'static str,
    state: Mutex<State>,
}

/// An attempt to connect, which runs in its own task. All callers share its result.
type Attempt = Shared<BoxFuture<'static, Result<Arc<Connection>, Error>>>;

#[derive(Default)]
struct State {
    /// `None` until the connection is needed for the first time.
    latest: Option<Attempt>,
    /// Number of failures in a row: of a connection, and of the attempts that followed it.
    failures: u32,
    /// Whether the latest connection must not be used anymore.
    discarded: bool,
}

impl Reconnecting {
    pub(super) fn new(address: AMQPUri, name: &'static str) -> Self {
        Self { address, name, state: Mutex::default() }
    }

    /// Return the current connection, or establish a new one and declare the queues, after a pause
    /// if the previous one failed. The future may be dropped.
    pub(super) async fn get(&self) -> Result<Arc<Connection>, Error> {
        loop {
            let attempt = self.attempt();
            match attempt.await {
                // It broke since nobody was waiting for it anymore.
                Ok(connection) if !connection.status().connected() => {}
                result => return result,
            }
        }
    }

    /// Replace the connection at the next call.
    pub(super) fn discard(&self) {
        self.state.lock().discarded = true;
    }

    /// Return the attempt that is running or has succeeded, or start another one.
    fn attempt(&self) -> Attempt {
        let state = &mut *self.state.lock();
        if let Some(latest) = &state.latest {
            match latest.peek() {
                Some(Err(_)) => state.failures = state.failures.saturating_add(1),
                Some(Ok(connection)) if state.discarded || !connection.status().connected() => {
                    state.failures = 1;
                }
                Some(Ok(_)) | None => return latest.clone(),
            }
        }
        let pause = match state.failures {
            0 => Duration::ZERO,
            failures => BACKOFF.pause(failures, rand::random()),
        };
        let (address, name) = (self.address.clone(), self.name);
        let connecting = tokio::spawn(async move {
            sleep(pause).await;
            connect(address, name).await
        });
        let attempt = async move {
            let result = connecting.await;
            result.unwrap_or_else(|stopped| Err(Error::Unavailable { reason: stopped.to_string() }))
        };
        state.discarded = false;
        state.latest.insert(attempt.boxed().shared()).clone()
    }
}

async fn connect(address: AMQPUri, name: &'static str) -> Result<Arc<Connection>, Error> {
    let attempt = async {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connection = Connection::connect_uri(address, properties).await?;
        topology::declare(&connection).await?;
        Ok(Arc::new(connection))
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
    use std::time::Instant;

    use futures_util::future::join_all;
    use tokio::net::TcpListener;

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

    /// While the server is down, the number of attempts does not depend on that of the callers.
    #[tokio::test]
    async fn callers_share_an_attempt_and_the_next_one_follows_a_pause() {
        const ROUNDS: usize = 3;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("amqp://{}", listener.local_addr().expect("a listener has an address"));
        let attempts: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let accepted = Arc::clone(&attempts);
        tokio::spawn(async move {
            // Each connection is closed at once.
            while listener.accept().await.is_ok() {
                accepted.lock().push(Instant::now());
            }
        });
        let connection = Reconnecting::new(parse(&url).expect("the URL is valid"), "test");
        for _ in 0..ROUNDS {
            let results = join_all((0..20).map(|_| connection.get())).await;
            assert!(results.iter().all(Result::is_err));
        }
        let attempts = attempts.lock();
        assert_eq!(attempts.len(), ROUNDS);
        for (failures, pair) in (1..).zip(attempts.windows(2)) {
            assert!(pair[1] - pair[0] >= BACKOFF.limit(failures) / 2, "{attempts:?}");
        }
    }
}
