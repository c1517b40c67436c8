//! Circuit breaker: a worker takes no jobs while a part that every job needs fails its check.
//!
//! Without it, a worker that cannot start cells, or whose store rejects it, would fail each job
//! faster than healthy workers process one, and so attract most of them.

use std::fmt;
use std::time::Duration;

use jobs::FailureCode;
use parking_lot::Mutex;
use storage::Storage;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::attempt_error::AttemptError;
use crate::isolation::Isolation;

/// Pause before a part that failed is checked again; it doubles with each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Maximum pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Maximum duration of a check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Part that every job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Storage,
    Cells,
}

impl Part {
    const ALL: [Self; 2] = [Self::Storage, Self::Cells];

    /// Part that may be the cause of a failure.
    const fn of(code: FailureCode) -> Option<Self> {
        match code {
            FailureCode::StorageError => Some(Self::Storage),
            FailureCode::InternalError => Some(Self::Cells),
            _ => None,
        }
    }

    /// Value of the label `part` in metrics.
    const fn label(self) -> &'static str {
        match self {
            Self::Storage => "storage",
            Self::Cells => "cells",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

/// Breaker of a worker.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Parts that attempts have named as the cause of a failure since their last check.
    suspects: Mutex<Vec<Part>>,
    suspicion: Notify,
}

impl Breaker {
    /// Suspect the part that may be the cause of a failed attempt.
    pub(crate) fn suspect(&self, error: &AttemptError) {
        let Some(part) = Part::of(error.code) else { return };
        let mut suspects = self.suspects.lock();
        if !suspects.contains(&part) {
            suspects.push(part);
        }
        self.suspicion.notify_one();
    }

    /// Wait until a part is suspected.
    pub(crate) async fn suspected(&self) {
        self.suspicion.notified().await;
    }

    /// Check the suspected parts. Return whether all of them work.
    pub(crate) async fn check(&self, storage: &dyn Storage, isolation: &Isolation) -> bool {
        let suspects = std::mem::take(&mut *self.suspects.lock());
        for part in suspects {
            if let Err(problem) = check(part, storage, isolation).await {
                warn!(%part, problem, "this worker takes no jobs until the part works again");
                self.suspects.lock().push(part);
            }
        }
        let open = self.suspects.lock().clone();
        for part in Part::ALL {
            metrics::gauge!("fiapx_circuit_open", "part" => part.label())
                .set(f64::from(open.contains(&part)));
        }
        open.is_empty()
    }

    /// Check the suspected parts until all of them work, or `stop` is cancelled.
    pub(crate) async fn closed(
        &self,
        storage: &dyn Storage,
        isolation: &Isolation,
        stop: &CancellationToken,
    ) {
        let mut pause = FIRST_PAUSE;
        let mut was_open = false;
        while !stop.is_cancelled() && !self.check(storage, isolation).await {
            was_open = true;
            let jitter = 0.5 + rand::random::<f64>();
            let _ = stop.run_until_cancelled(tokio::time::sleep(pause.mul_f64(jitter))).await;
            pause = MAX_PAUSE.min(pause * 2);
        }
        if was_open && !stop.is_cancelled() {
            info!("all parts work again; this worker takes jobs");
        }
    }
}

async fn check(part: Part, storage: &dyn Storage, isolation: &Isolation) -> Result<(), String> {
    let check = async {
        match part {
            Part::Storage => storage.check().await.map_err(|error| error.to_string()),
            Part::Cells => isolation.check().await.map_err(|error| error.message),
        }
    };
    let timeout = || Err(format!("no response within {} seconds", CHECK_TIMEOUT.as_secs()));
    tokio::time::timeout(CHECK_TIMEOUT, check).await.unwrap_or_else(|_| timeout())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_video_suspect_no_part() {
        let breaker = Breaker::default();
        for code in FailureCode::ALL {
            breaker.suspect(&AttemptError::new(*code, "a failure"));
        }
        assert_eq!(*breaker.suspects.lock(), [Part::Storage, Part::Cells]);
    }
}
