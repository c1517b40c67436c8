//! Renewal of the leases on jobs while their attempts run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use database::Database;
use database::claim::Claim;
use database::renewal::{Renewal, Renewed};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::warn;

use crate::progress::SharedProgress;

/// Time between two renewals. Each renewal publishes the progress that users watch, and detects a
/// cancellation.
const INTERVAL: Duration = Duration::from_millis(500);

/// Number of leases after which an attempt that cannot renew its own is stopped. A lease ends for
/// others only when they see that nobody renews it, so an attempt outlives a database that is away
/// for a while.
const GIVE_UP_AFTER: u32 = 10;

/// Leases that a worker holds. One statement per interval renews all of them, and none while there
/// are none. Clones share them.
#[derive(Clone)]
pub(crate) struct HeldLeases {
    database: Database,
    registry: Arc<Mutex<Registry>>,
}

#[derive(Default)]
struct Registry {
    next_number: u64,
    leases: HashMap<u64, HeldLease>,
    /// Whether a task renews the leases.
    is_renewing: bool,
}

/// Lease of a running attempt.
struct HeldLease {
    claim: Claim,
    progress: Arc<SharedProgress>,
    state: watch::Sender<LeaseState>,
}

#[derive(Debug, Clone, Copy)]
enum LeaseState {
    /// Start of the latest successful renewal, or of the renewals.
    RenewedAt(Instant),
    Lost,
}

impl HeldLeases {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, registry: Arc::default() }
    }

    /// Renew the lease of a claim until the job is lost: cancelled, claimed by another worker, or
    /// not renewed for a long time.
    pub(crate) async fn renew_until_lost(&self, claim: &Claim, progress: &Arc<SharedProgress>) {
        let (state, mut states) = watch::channel(LeaseState::RenewedAt(Instant::now()));
        let lease = HeldLease { claim: claim.clone(), progress: Arc::clone(progress), state };
        let _registration = self.register(lease);
        let limit = self.database.rules().lease * GIVE_UP_AFTER;
        loop {
            let last_renewal = match *states.borrow_and_update() {
                LeaseState::RenewedAt(at) => at,
                LeaseState::Lost => return,
            };
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(last_renewal + limit) => {
                    metrics::counter!("fiapx_leases_lost_total").increment(1);
                    warn!("lease not renewed for a long time; attempt stopped");
                    return;
                }
            }
        }
    }

    /// Add a lease to those that are renewed, until the result is dropped.
    fn register(&self, lease: HeldLease) -> Registration {
        let mut registry = self.registry.lock();
        let number = registry.next_number;
        registry.next_number += 1;
        registry.leases.insert(number, lease);
        if !std::mem::replace(&mut registry.is_renewing, true) {
            tokio::spawn(self.clone().renew_all());
        }
        Registration { registry: Arc::clone(&self.registry), number }
    }

    /// Renew all leases at an interval, until there are none.
    async fn renew_all(self) {
        let interval = INTERVAL.min(self.database.rules().lease / 3);
        let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (numbers, renewals) = {
                let mut registry = self.registry.lock();
                if registry.leases.is_empty() {
                    registry.is_renewing = false;
                    return;
                }
                let renewals = registry.leases.iter().map(|(number, lease)| {
                    let frames::Progress { done, expected } = lease.progress.get();
                    (*number, Renewal { claim: lease.claim.clone(), done, expected })
                });
                renewals.collect::<(Vec<u64>, Vec<Renewal>)>()
            };
            let started = Instant::now();
            match self.database.renew(&renewals).await {
                Ok(results) => self.publish(started, numbers.into_iter().zip(results)),
                Err(error) => warn!(%error, leases = renewals.len(), "cannot renew; retrying"),
            }
        }
    }

    /// Publish the results of a renewal that began at `started`.
    fn publish(&self, started: Instant, results: impl Iterator<Item = (u64, Renewed)>) {
        let registry = self.registry.lock();
        for (number, result) in results {
            let Some(lease) = registry.leases.get(&number) else { continue };
            match result {
                Renewed::Yes => drop(lease.state.send_replace(LeaseState::RenewedAt(started))),
                Renewed::Locked => {}
                Renewed::Lost => drop(lease.state.send_replace(LeaseState::Lost)),
            }
        }
    }
}

/// Lease that is renewed until this is dropped.
struct Registration {
    registry: Arc<Mutex<Registry>>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.registry.lock().leases.remove(&self.number);
    }
}
