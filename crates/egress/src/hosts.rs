//! Limit of the requests to one host at a time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of requests to one host at a time, so that no user makes this service attack one.
const PER_HOST: usize = 4;

/// Requests to hosts that are in progress.
#[derive(Default)]
pub(crate) struct HostSlots {
    hosts: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Permission for one request to a host. It ends when it is dropped.
pub(crate) struct HostSlot {
    _permit: Option<OwnedSemaphorePermit>,
    /// Keeps the host in the table.
    _host: Arc<Semaphore>,
}

impl HostSlots {
    /// Wait until another request to a host may be made.
    pub(crate) async fn acquire(&self, host: &str) -> HostSlot {
        let slots = self.of(host);
        // The semaphore is never closed.
        HostSlot { _permit: Arc::clone(&slots).acquire_owned().await.ok(), _host: slots }
    }

    fn of(&self, host: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if let Some(slots) = hosts.get(host).and_then(Weak::upgrade) {
            return slots;
        }
        // Hosts without requests.
        hosts.retain(|_, slots| slots.strong_count() > 0);
        let slots = Arc::new(Semaphore::new(PER_HOST));
        hosts.insert(host.to_owned(), Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn requests_to_one_host_are_limited() {
        let hosts = HostSlots::default();
        let mut slots = Vec::new();
        for _ in 0..PER_HOST {
            slots.push(hosts.acquire("a.example.com").await);
        }
        let waiting = tokio::time::timeout(Duration::ZERO, hosts.acquire("a.example.com"));
        assert!(waiting.await.is_err(), "another one has to wait");
        slots.push(hosts.acquire("b.example.com").await);
        drop(slots.remove(0));
        slots.push(hosts.acquire("a.example.com").await);
        drop(slots);
        hosts.acquire("c.example.com").await;
        assert_eq!(hosts.hosts.lock().len(), 1, "other hosts are forgotten");
    }
}
