//! Reaper: fails the attempts of workers that stopped renewing their leases.
//!
//! A lease that has expired by the database's clock is not enough: if the database was away for a
//! while, no worker could renew, and all leases have expired. So an attempt is failed only if its
//! lease was also seen unchanged for the duration of a lease, by the monotonic clock of this
//! machine, while the database responded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use database::recovery::Lease;
use jobs::{Clock, JobId, Mark};

/// Maximum time between two looks, and for one look, that count as uninterrupted observation.
const MAX_GAP: Duration = Duration::from_secs(20);

/// Observed leases.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    /// Each lease, and since when it is unchanged.
    leases: HashMap<JobId, (Lease, Mark)>,
    /// End of the latest look.
    latest: Option<Instant>,
}

impl Observations {
    /// Forget everything, because a look failed.
    pub(crate) fn interrupt(&mut self) {
        *self = Self::default();
    }

    /// Record a look at all leases, which began at `began`. Return those that have been unchanged
    /// for at least `duration`.
    pub(crate) fn look(
        &mut self,
        began: Instant,
        leases: &[Lease],
        duration: Duration,
        clock: &Clock,
    ) -> Vec<Lease> {
        let is_continuous = began.elapsed() <= MAX_GAP
            && self.latest.is_none_or(|latest| latest.elapsed() <= MAX_GAP);
        let mut known = std::mem::take(&mut self.leases);
        if !is_continuous {
            known.clear();
        }
        self.latest = Some(Instant::now());
        let mut unchanged = Vec::new();
        for lease in leases {
            let since = match known.remove(&lease.job) {
                Some((before, since)) if before == *lease => since,
                _ => clock.mark(),
            };
            if clock.elapsed_since(since) >= duration {
                unchanged.push(*lease);
            }
            self.leases.insert(lease.job, (*lease, since));
        }
        unchanged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_mins(1);

    fn lease(job: JobId, fence: i64, until: &str) -> Lease {
        Lease { job, fence, until: until.parse().expect("a time") }
    }

    #[test]
    fn only_leases_that_were_observed_unchanged_are_returned() {
        let (clock, mut observations) = (Clock::default(), Observations::default());
        let (dead, alive) = (JobId::generate(), JobId::generate());
        let frozen = lease(dead, 1, "2026-01-01T00:01:00Z");
        let mut look = |until: &str| {
            let leases = [frozen, lease(alive, 7, until)];
            observations.look(Instant::now(), &leases, LEASE, &clock)
        };
        assert_eq!(look("2026-01-01T00:01:00Z"), []);
        clock.advance(LEASE.saturating_sub(Duration::from_secs(1)));
        assert_eq!(look("2026-01-01T00:02:00Z"), []);
        clock.advance(Duration::from_secs(1));
        assert_eq!(look("2026-01-01T00:03:00Z"), [frozen]);
        clock.advance(LEASE);
        assert_eq!(
            look("2026-01-01T00:03:00Z"),
            [frozen, lease(alive, 7, "2026-01-01T00:03:00Z")],
            "it is returned until the row changes"
        );
    }

    #[test]
    fn an_interruption_starts_the_observation_again() {
        let (clock, mut observations) = (Clock::default(), Observations::default());
        let leases = [lease(JobId::generate(), 1, "2026-01-01T00:01:00Z")];
        let now = Instant::now();
        assert_eq!(observations.look(now, &leases, LEASE, &clock), []);
        clock.advance(LEASE);
        observations.interrupt();
        assert_eq!(observations.look(now, &leases, LEASE, &clock), []);
        clock.advance(LEASE);
        let slow = now.checked_sub(MAX_GAP + Duration::from_secs(1)).expect("a past instant");
        assert_eq!(observations.look(slow, &leases, LEASE, &clock), [], "the look took too long");
        clock.advance(LEASE);
        assert_eq!(observations.look(Instant::now(), &leases, LEASE, &clock), leases);
    }
}
