//! Queue for shared resources in which whoever has used the least is next.
//!
//! In a queue in the order of arrival, one user's hundred thumbnails would precede everybody
//! else's first one. Here a user waits for one piece of work of others at most for each place,
//! unless they have used as little.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Time after which half of what somebody has used is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Number of users above which those who have used little are forgotten.
const MAX_IDLE_USERS: usize = 1000;

/// Queue of all users, who are identified by a `User`.
#[derive(Debug)]
pub struct FairQueue<User: Copy + Eq + Hash>(Mutex<State<User>>);

#[derive(Debug)]
struct State<User: Copy + Eq + Hash> {
    free_places: usize,
    /// Free memory, in bytes.
    free_memory: u64,
    users: HashMap<User, UserQueue<User>>,
}

/// What a user does and waits for.
#[derive(Debug)]
struct UserQueue<User: Copy + Eq + Hash> {
    waiting: VecDeque<Waiter<User>>,
    running: usize,
    /// Time for which the user has used a place, in seconds, at the time `at`.
    used: f64,
    at: Instant,
}

#[derive(Debug)]
struct Waiter<User: Copy + Eq + Hash> {
    memory: u64,
    turn: oneshot::Sender<Turn<User>>,
}

/// Permission to use a place, and memory. It is returned when it is dropped.
#[derive(Debug)]
pub struct Turn<User: Copy + Eq + Hash> {
    queue: Arc<FairQueue<User>>,
    user: User,
    memory: u64,
    started: Instant,
}

impl<User: Copy + Eq + Hash> FairQueue<User> {
    /// Queue for so many places and bytes of memory.
    pub fn new(places: usize, memory: u64) -> Arc<Self> {
        let users = HashMap::new();
        Arc::new(Self(Mutex::new(State { free_places: places, free_memory: memory, users })))
    }

    /// Wait until a place and this memory, in bytes, are free and it is the user's turn. The memory
    /// must not exceed that of the queue.
    pub async fn turn(self: &Arc<Self>, user: User, memory: u64) -> Turn<User> {
        let (turn, receiver) = oneshot::channel();
        {
            let mut state = self.0.lock();
            let queue = state.users.entry(user).or_insert_with(UserQueue::new);
            queue.waiting.push_back(Waiter { memory, turn });
        }
        self.grant();
        receiver.await.unwrap_or_else(|_| unreachable!("a waiter gets its turn or is dropped"))
    }

    /// Grant as many turns as possible.
    fn grant(self: &Arc<Self>) {
        let mut granted = Vec::new();
        {
            let state = &mut *self.0.lock();
            while state.free_places > 0
                && let Some((user, waiter)) = state.next()
            {
                state.free_places -= 1;
                state.free_memory -= waiter.memory;
                let (queue, started) = (Arc::clone(self), Instant::now());
                granted.push((waiter.turn, Turn { queue, user, memory: waiter.memory, started }));
            }
        }
        for (waiter, turn) in granted {
            // A turn of a waiter that is gone is dropped, and thereby returned.
            let _ = waiter.send(turn);
        }
    }
}

impl<User: Copy + Eq + Hash> State<User> {
    /// Waiter whose turn it is, unless its memory is not free yet. It is not overtaken, so that a
    /// large manifest is read at some time.
    fn next(&mut self) -> Option<(User, Waiter<User>)> {
        let now = Instant::now();
        if self.users.len() > MAX_IDLE_USERS {
            self.users.retain(|_, queue| queue.is_relevant(now));
        }
        loop {
            let waiting = self.users.iter_mut().filter(|(_, queue)| !queue.waiting.is_empty());
            let (user, queue) = waiting.min_by(|(_, one), (_, other)| {
                let order = one.running.cmp(&other.running);
                order.then(one.used_at(now).total_cmp(&other.used_at(now)))
            })?;
            let is_gone = queue.waiting.pop_front_if(|waiter| waiter.turn.is_closed()).is_some();
            if is_gone {
                continue;
            }
            let free = self.free_memory;
            let waiter = queue.waiting.pop_front_if(|waiter| waiter.memory <= free)?;
            queue.running += 1;
            return Some((*user, waiter));
        }
    }
}

impl<User: Copy + Eq + Hash> UserQueue<User> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), running: 0, used: 0.0, at: Instant::now() }
    }

    /// Time for which the user has used a place lately, in seconds.
    fn used_at(&self, now: Instant) -> f64 {
        let half_lives = (now - self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.used * 0.5_f64.powf(half_lives)
    }

    /// Return whether the user waits, works, or has used so much that it matters.
    fn is_relevant(&self, now: Instant) -> bool {
        const NEGLIGIBLE_SECONDS: f64 = 1e-3;
        self.running > 0 || !self.waiting.is_empty() || self.used_at(now) > NEGLIGIBLE_SECONDS
    }
}

impl<User: Copy + Eq + Hash> Drop for Turn<User> {
    fn drop(&mut self) {
        {
            let state = &mut *self.queue.0.lock();
            state.free_places += 1;
            state.free_memory += self.memory;
            if let Some(queue) = state.users.get_mut(&self.user) {
                let now = Instant::now();
                queue.used = queue.used_at(now) + (now - self.started).as_secs_f64();
                (queue.at, queue.running) = (now, queue.running - 1);
            }
        }
        self.queue.grant();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use jobs::UserId;

    use super::*;

    #[tokio::test]
    async fn a_user_who_has_used_little_precedes_one_who_waits_already() {
        let queue = FairQueue::new(1, 100);
        let (greedy, modest) = (UserId::generate(), UserId::generate());
        let running = queue.turn(greedy, 1).await;
        let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(queue.turn(greedy, 1))).collect();
        for turn in &mut waiting {
            assert!(poll!(turn.as_mut()).is_pending());
        }
        let mut first = pin!(queue.turn(modest, 1));
        assert!(poll!(first.as_mut()).is_pending());
        drop(running);
        assert!(poll!(waiting[0].as_mut()).is_pending());
        let turn = first.await;
        assert!(poll!(waiting[0].as_mut()).is_pending());
        drop(turn);
        let mut turns = Vec::new();
        for turn in waiting {
            turns.push(turn.await.user);
        }
        assert_eq!(turns, vec![greedy; 100]);
    }

    #[tokio::test]
    async fn work_waits_for_its_memory_and_is_not_overtaken() {
        let queue = FairQueue::new(3, 100);
        let [one, two, three] = [(); 3].map(|()| UserId::generate());
        let small = queue.turn(one, 60).await;
        let mut large = pin!(queue.turn(two, 50));
        assert!(poll!(large.as_mut()).is_pending());
        // It has the same right to the next turn; whichever is first, memory is not exceeded.
        let mut other = pin!(queue.turn(three, 60));
        assert!(poll!(other.as_mut()).is_pending());
        drop(small);
        let granted = [poll!(large.as_mut()).is_ready(), poll!(other.as_mut()).is_ready()];
        assert_eq!(granted.into_iter().filter(|granted| *granted).count(), 1, "{granted:?}");
    }

    #[tokio::test]
    async fn a_waiter_that_is_gone_uses_nothing() {
        let queue = FairQueue::new(1, 100);
        let (one, other) = (UserId::generate(), UserId::generate());
        let running = queue.turn(one, 100).await;
        let mut waiting = Box::pin(queue.turn(other, 100));
        assert!(poll!(waiting.as_mut()).is_pending());
        drop(waiting);
        drop(running);
        drop(queue.turn(one, 100).await);
        let mut waiting = Box::pin(queue.turn(other, 100));
        let _ = poll!(waiting.as_mut());
        // It has its turn, but never learns it.
        drop(waiting);
        drop(queue.turn(one, 100).await);
    }
}
