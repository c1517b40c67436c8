//! Checks that report instead of panicking, and waiting with a deadline.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// Time after which a program or a step counts as hanging. No story needs a large part of it.
pub const TIMEOUT: Duration = Duration::from_mins(2);

/// Run `check` on every item, two at a time, and fail with all errors at the end.
pub fn check_all<T: Sync + Debug>(items: &[T], check: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, errors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = check(item) {
                        errors.lock().push(format!("{item:?}: {error}"));
                    }
                }
            });
        }
    });
    let errors = errors.into_inner();
    assert!(errors.is_empty(), "{} of {} fail:\n{}", errors.len(), items.len(), errors.join("\n"));
}

/// Return an error unless both sides are equal.
#[expect(
    clippy::needless_pass_by_value,
    reason = "most callers have no further use for what they compare"
)]
pub fn expect_equal<T: PartialEq + Debug>(
    what: &str,
    actual: T,
    expected: T,
) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what}: {actual:?}, expected {expected:?}"))
    }
}

/// Run `work` on a separate thread and fail if it does not finish.
pub fn with_timeout<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = std::thread::spawn(move || sender.send(work()));
    match receiver.recv_timeout(TIMEOUT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{name} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            panic!("{name} panics: {:?}", worker.join().err().map(panic_message))
        }
    }
}

/// Message of a panic.
pub fn panic_message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap_or(&"no message").to_string(),
    }
}

/// Wait until `condition` returns something; fail if it never does.
pub fn poll<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Wait until `condition` returns something; fail if it never does.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out waiting for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Seed of a story's random numbers: `STORY_SEED`, or a new one. It is printed, so that a failure
/// can be repeated.
pub fn story_seed() -> u64 {
    let seed = std::env::var("STORY_SEED").map_or_else(
        |_| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            now.expect("the clock is later than 1970").as_nanos() as u64
        },
        |seed| seed.parse().expect("STORY_SEED is a whole number"),
    );
    println!("STORY_SEED={seed}");
    seed
}
