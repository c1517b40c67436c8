//! Open connections, which are limited in number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::connection::Activity;

/// Maximum numbers of open connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// Name of the port in metrics.
    pub port: &'static str,
    /// Connections in all.
    pub total: usize,
    /// Connections of one network; not limited behind a proxy, whose address all of them have.
    pub per_network: Option<usize>,
}

/// Open connections of a server. At a limit, the one that has been idle for the longest time is
/// closed for a new one, so that silent connections keep nobody out.
#[derive(Debug)]
pub(crate) struct OpenConnections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_network: HashMap<IpAddr, Vec<OpenConnection>>,
}

#[derive(Debug, Clone)]
struct OpenConnection {
    activity: Arc<Activity>,
    closed: CancellationToken,
}

/// Permission to serve a connection. It counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    connections: Arc<OpenConnections>,
    network: IpAddr,
    connection: OpenConnection,
}

impl OpenConnections {
    /// No connections.
    pub(crate) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Admit a connection from an address; `None` if a limit is reached and no other connection is
    /// idle.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admission> {
        let network = api::network_of(address);
        let open = &mut *self.open.lock();
        let of_network = open.by_network.get(&network).map_or(0, Vec::len);
        let is_network_full = self.limits.per_network.is_some_and(|limit| of_network >= limit);
        let is_full = open.total >= self.limits.total;
        if (is_network_full || is_full) && !open.close_idle(is_network_full.then_some(network)) {
            let reason = if is_network_full { "address" } else { "total" };
            counter!("fiapx_connections_refused_total", "reason" => reason).increment(1);
            return None;
        }
        let connection = OpenConnection {
            activity: Arc::new(Activity::new()),
            closed: CancellationToken::new(),
        };
        open.by_network.entry(network).or_default().push(connection.clone());
        open.total += 1;
        gauge!("fiapx_connections", "port" => self.limits.port).set(open.total as f64);
        Some(Admission { connections: Arc::clone(self), network, connection })
    }
}

impl Open {
    /// Close the connection that has been idle for the longest time, of one network or of all.
    /// Returns whether there was one.
    fn close_idle(&mut self, network: Option<IpAddr>) -> bool {
        let networks =
            self.by_network.iter().filter(|(other, _)| network.is_none_or(|own| own == **other));
        let idle = networks.flat_map(|(network, connections)| {
            let since = |connection: &OpenConnection| connection.activity.idle_since();
            connections
                .iter()
                .filter_map(move |connection| Some((since(connection)?, *network, connection)))
        });
        let longest = idle.min_by_key(|(since, ..)| *since);
        let Some((_, network, connection)) = longest else { return false };
        let connection = connection.clone();
        connection.closed.cancel();
        self.remove(network, &connection);
        true
    }

    fn remove(&mut self, network: IpAddr, connection: &OpenConnection) {
        let Some(connections) = self.by_network.get_mut(&network) else { return };
        let is_same = |other: &OpenConnection| Arc::ptr_eq(&other.activity, &connection.activity);
        let Some(index) = connections.iter().position(is_same) else { return };
        connections.swap_remove(index);
        self.total -= 1;
        if connections.is_empty() {
            self.by_network.remove(&network);
        }
    }
}

impl Admission {
    /// State of the connection.
    pub(crate) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.connection.activity)
    }

    /// Wait until the connection has to be closed, because others need its place.
    pub(crate) async fn closed(&self) {
        self.connection.closed.cancelled().await;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.remove(self.network, &self.connection);
        let port = self.connections.limits.port;
        gauge!("fiapx_connections", "port" => port).set(open.total as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(total: usize, per_network: Option<usize>) -> Arc<OpenConnections> {
        OpenConnections::new(ConnectionLimits { port: "test", total, per_network })
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_busy_connection_is_not_closed_for_another_one() {
        let connections = connections(2, None);
        let first = connections.admit(address(1)).expect("nothing is open");
        let second = connections.admit(address(2)).expect("one is open");
        let _requests = [&first, &second].map(|other| other.activity().begin_request());
        assert!(connections.admit(address(3)).is_none());
        drop(first);
        assert!(connections.admit(address(3)).is_some());
    }

    #[test]
    fn the_longest_idle_connection_gives_way() {
        let connections = connections(2, None);
        let silent = connections.admit(address(1)).expect("nothing is open");
        let busy = connections.admit(address(1)).expect("one is open");
        drop(busy.activity().begin_request());
        let third = connections.admit(address(2)).expect("one is idle");
        assert!(silent.connection.closed.is_cancelled());
        assert!(!busy.connection.closed.is_cancelled());
        // It counts once, although it is dropped later.
        drop(silent);
        assert_eq!(connections.open.lock().total, 2);
        drop((busy, third));
        assert_eq!(connections.open.lock().total, 0);
        assert!(connections.open.lock().by_network.is_empty());
    }

    #[test]
    fn a_network_takes_the_places_of_no_other() {
        let connections = connections(10, Some(2));
        let other = connections.admit(address(1)).expect("nothing is open");
        let open: Vec<_> = (0..2).filter_map(|_| connections.admit(address(2))).collect();
        let _requests: Vec<_> =
            open.iter().map(|connection| connection.activity().begin_request()).collect();
        assert!(connections.admit(address(2)).is_none());
        assert!(!other.connection.closed.is_cancelled(), "it is of another network");
        assert!(connections.admit(address(3)).is_some());
        // All addresses of an IPv6 network count together.
        let [one, two, three]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8::3"].map(|text| text.parse().expect("valid"));
        let open = [one, two].map(|address| connections.admit(address).expect("a place"));
        let _requests = open.each_ref().map(|open| open.activity().begin_request());
        assert!(connections.admit(three).is_none());
    }
}
