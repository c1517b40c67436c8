//! Simultaneous work of each user, and of each network without a user, in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jobs::UserId;
use parking_lot::Mutex;
use poem::http::StatusCode;

use crate::client::Network;
use crate::problem::Problem;
use crate::rate_limit::RateLimitStatus;

/// User or network whose work is limited and takes turns with that of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// User.
    User(UserId),
    /// Network of clients that need no account.
    Network(Network),
}

impl From<UserId> for Caller {
    fn from(user: UserId) -> Self {
        Self::User(user)
    }
}

/// Numbers of pieces of work in progress, by caller.
#[derive(Debug)]
pub struct UserSlots {
    /// Maximum of each caller.
    max: u32,
    used: Mutex<HashMap<Caller, u32>>,
}

/// Work in progress. It counts until it is dropped.
#[derive(Debug)]
pub struct UserSlot {
    slots: Arc<UserSlots>,
    caller: Caller,
}

impl UserSlots {
    /// Permit each user so many pieces of work at a time.
    pub fn new(max: u32) -> Arc<Self> {
        Arc::new(Self { max, used: Mutex::default() })
    }

    /// Count another piece of work of a caller. `things` names it in the problem that is returned
    /// if too many are in progress.
    pub fn acquire(
        self: &Arc<Self>,
        caller: impl Into<Caller>,
        things: &str,
    ) -> Result<UserSlot, Problem> {
        let caller = caller.into();
        let mut used = self.used.lock();
        let count = used.entry(caller).or_default();
        if *count >= self.max {
            return Err(self.too_many(things));
        }
        *count += 1;
        Ok(UserSlot { slots: Arc::clone(self), caller })
    }

    fn too_many(&self, things: &str) -> Problem {
        /// Time after which one of them may have ended.
        const RETRY_AFTER: Duration = Duration::from_secs(1);
        let (limit, remaining) = (self.max, 0);
        let status = RateLimitStatus { allowed: false, limit, remaining, reset: RETRY_AFTER };
        let detail = format!("{limit} {things} are in progress. Wait until one is finished.");
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_AT_ONCE", detail)
            .rate_limited(&status)
    }
}

impl Drop for UserSlot {
    fn drop(&mut self) {
        let mut used = self.slots.used.lock();
        if let Some(count) = used.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                used.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_each_user_is_limited_until_it_ends() {
        let slots = UserSlots::new(2);
        let (one, other) = (UserId::generate(), UserId::generate());
        let acquire = |user: UserId| slots.acquire(user, "downloads");
        let first = acquire(one).expect("none is in progress");
        let _second = acquire(one).expect("one is in progress");
        let problem = acquire(one).expect_err("two are in progress");
        assert_eq!(problem.code(), "TOO_MANY_AT_ONCE");
        drop(acquire(other).expect("none of another user is in progress"));
        drop(first);
        assert!(acquire(one).is_ok());
        assert_eq!(slots.used.lock().len(), 1, "{slots:?}");
    }
}
