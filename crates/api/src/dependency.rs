//! Dependencies of a process, and checks of whether it reaches them.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::time::timeout;
use tracing::{info, warn};

/// Maximum time of a check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Time for which the result of a check is valid, unless a dependency has its own. Shorter than the
/// interval of a usual probe, so that each probe of a load balancer has a new result.
const MAX_AGE: Duration = Duration::from_secs(2);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A check that is running. All who ask meanwhile wait for its result.
type Running = Shared<BoxFuture<'static, bool>>;

/// A server or directory that a process uses.
///
/// Checks run one at a time, for all who ask, and their results are valid for two seconds. So the
/// number of probes does not determine the load on the dependency.
pub struct Dependency {
    name: &'static str,
    is_required: bool,
    max_age: Duration,
    check: Check,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    latest: Option<CheckResult>,
}

struct CheckResult {
    reached: bool,
    at: Instant,
}

impl Dependency {
    /// A dependency without which the process cannot do its work, so that it is not ready.
    pub fn required<F, E>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self {
            name,
            is_required: true,
            max_age: MAX_AGE,
            check: Box::new(move || {
                let checking = check();
                async move { checking.await.map_err(|error| error.to_string()) }.boxed()
            }),
            state: Arc::default(),
        }
    }

    /// A dependency that the process can do without for a while. Its state is reported only.
    pub fn informative<F, E>(
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        Self { is_required: false, ..Self::required(name, check) }
    }

    /// Let the result of a check be valid for this time, because a check is expensive.
    #[must_use]
    pub fn valid_for(self, max_age: Duration) -> Self {
        Self { max_age, ..self }
    }

    /// Name of the dependency.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the process is not ready without it.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// Return whether the dependency was reached by the latest check. Checks now if its result is
    /// too old, or waits for the check that is running. The check continues if the future is
    /// dropped.
    pub(crate) async fn is_reached(&self) -> bool {
        let running = {
            let state = &mut *self.state.lock();
            match (&state.running, &state.latest) {
                (Some(running), _) => running.clone(),
                (None, Some(latest)) if latest.at.elapsed() < self.max_age => {
                    return latest.reached;
                }
                (None, _) => state.running.insert(self.start()).clone(),
            }
        };
        running.await
    }

    /// Start a check. Its end is recorded under the lock, which the caller holds.
    fn start(&self) -> Running {
        let (name, checking, state) = (self.name, (self.check)(), Arc::clone(&self.state));
        let check = tokio::spawn(async move {
            let result = timeout(TIMEOUT, checking).await;
            let result = result.unwrap_or_else(|_| Err("it did not answer in time".to_owned()));
            let reached = result.is_ok();
            metrics::gauge!("fiapx_dependency_reached", "dependency" => name).set(if reached {
                1.0
            } else {
                0.0
            });
            let mut state = state.lock();
            let was_reached = state.latest.as_ref().is_none_or(|latest| latest.reached);
            match result {
                Err(error) if was_reached => warn!(dependency = name, error, "not reached"),
                Ok(()) if !was_reached => info!(dependency = name, "reached again"),
                _ => {}
            }
            state.latest = Some(CheckResult { reached, at: Instant::now() });
            state.running = None;
            reached
        });
        // A check that panics counts as not reached.
        async move { check.await.unwrap_or(false) }.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    /// A dependency whose checks wait until they are permitted, and are counted.
    struct Slow {
        dependency: Arc<Dependency>,
        checks: Arc<AtomicUsize>,
        permits: Arc<Semaphore>,
    }

    impl Slow {
        fn valid_for(max_age: Duration) -> Self {
            let (checks, permits) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
            let (counted, waited) = (Arc::clone(&checks), Arc::clone(&permits));
            let dependency = Dependency::required("slow", move || {
                let (counted, waited) = (Arc::clone(&counted), Arc::clone(&waited));
                async move {
                    counted.fetch_add(1, Ordering::Relaxed);
                    let permit = waited.acquire().await;
                    permit.expect("the semaphore is open").forget();
                    Ok::<(), Infallible>(())
                }
            });
            Self { dependency: Arc::new(dependency.valid_for(max_age)), checks, permits }
        }

        /// Ask as often at the same time while the next check may end.
        async fn ask(&self, count: usize) {
            let asking = join_all((0..count).map(|_| self.dependency.is_reached()));
            self.permits.add_permits(1);
            assert!(asking.await.into_iter().all(|reached| reached));
        }

        fn checks(&self) -> usize {
            self.checks.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn all_who_ask_share_one_check() {
        let slow = Slow::valid_for(Duration::ZERO);
        for round in 1..=3 {
            slow.ask(100).await;
            assert_eq!(slow.checks(), round);
        }
    }

    #[tokio::test]
    async fn a_result_is_used_until_it_is_too_old() {
        let slow = Slow::valid_for(Duration::from_hours(1));
        slow.ask(1).await;
        for _ in 0..100 {
            assert!(slow.dependency.is_reached().await);
        }
        assert_eq!(slow.checks(), 1);
    }

    /// A probe that gives up does not cause another check.
    #[tokio::test]
    async fn a_check_continues_without_those_who_asked() {
        let slow = Slow::valid_for(Duration::from_hours(1));
        let dropped = timeout(Duration::ZERO, slow.dependency.is_reached()).await;
        assert!(dropped.is_err());
        slow.ask(10).await;
        assert_eq!(slow.checks(), 1);
    }

    #[tokio::test]
    async fn a_check_that_hangs_ends_after_its_timeout() {
        let slow = Slow::valid_for(Duration::ZERO);
        let started = Instant::now();
        assert!(!slow.dependency.is_reached().await);
        assert!((TIMEOUT..2 * TIMEOUT).contains(&started.elapsed()), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_later_check_may_have_another_result() {
        let works = Arc::new(AtomicBool::new(false));
        let current = Arc::clone(&works);
        let check = move || {
            let works = current.load(Ordering::Relaxed);
            async move { if works { Ok(()) } else { Err("refused") } }
        };
        let dependency = Dependency::informative("switched", check).valid_for(Duration::ZERO);
        assert!(!dependency.is_required());
        for expected in [false, true, false] {
            works.store(expected, Ordering::Relaxed);
            assert_eq!(dependency.is_reached().await, expected);
        }
    }
}
