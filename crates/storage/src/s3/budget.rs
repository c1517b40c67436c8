//! Memory for the parts of uploads, reserved while their bytes arrive.
//!
//! A part reserves memory in steps of [`STEP`] bytes as long as more than [`LAST`] bytes are free,
//! and otherwise the whole rest of the part at once. Waiting uploads are served in the order of
//! the memory that their users have reserved, least first, and then in the order of their requests.
//! One that has waited while as much was granted as there is memory goes before all younger ones.
//!
//! **There is no deadlock.** Call a part *promised* if all of its memory is reserved, or if it is
//! being sent. It needs no more memory, so it returns all of it in bounded time: its producer is
//! stopped if it is too slow, and so is a request to the store. Steps are granted only while at
//! least [`LAST`] bytes remain free, so the parts that are not promised never have more than all
//! memory but [`LAST`]. While nothing is granted, all promised parts return their memory; then at
//! least [`LAST`] bytes are free, which is the size of the largest part, and thus enough for the
//! rest of the first one that waits. So the first one is always granted its memory, and every one
//! is the first after a bounded number of bytes were granted.
//!
//! **A slow upload does not stop a fast one.** A part can only be sent when it is full, so many
//! slow uploads can hold all memory for minutes. If an upload waits for [`PATIENCE`] although its
//! user has no more than a fair share, an upload of another user that is much slower is displaced:
//! its part is dropped, and it fails with [`Displaced`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jobs::UserId;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::pace::Pace;
use super::part_size;

/// Bytes that a part reserves at a time. Every part size is a multiple.
pub(super) const STEP: usize = 64 << 10;

/// Memory that is only granted as whole rests of parts: as much as the largest part.
const LAST: usize = part_size::MAX;

/// Bytes at the start of each upload that are not counted. They show how fast its producer is
/// before it can displace another upload, and are no more than its connection needs anyway.
const UNCOUNTED: usize = 2 * STEP;

/// Time for which an upload waits for memory before it displaces another one. Parts that are being
/// sent usually return theirs earlier.
const PATIENCE: Duration = Duration::from_millis(250);

/// Maximum rate in bytes per second of an upload that may be displaced. It needs more than ten
/// seconds for a part of the minimum size.
const SLOW: f64 = part_size::MIN as f64 / 10.0;

/// Factor by which the displacing upload has to be faster.
const FASTER: f64 = 4.0;

/// Error of an upload whose memory was given to a faster one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Displaced;

/// Bytes of the part being filled; `None` once the upload is displaced.
pub(super) type Buffer = Arc<Mutex<Option<Vec<Vec<u8>>>>>;

/// Memory that uploads share.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Purpose of the uploads, for the metrics.
    purpose: &'static str,
    /// Whether slow uploads may be displaced.
    displaces: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Size of the budget in bytes.
    size: usize,
    free: usize,
    /// Bytes granted so far.
    granted: u64,
    /// Bytes reserved by each user, including those of parts that are being sent.
    users: HashMap<UserId, usize>,
    /// Uploads in progress, by their numbers.
    uploads: BTreeMap<u64, UploadState>,
    /// Uploads that wait for memory, in the order of their requests.
    waiting: BTreeMap<u64, Waiting>,
    next_number: u64,
}

#[derive(Debug)]
struct UploadState {
    user: UserId,
    /// Bytes reserved for the part being filled.
    reserved: usize,
    pace: Pace,
    buffer: Buffer,
}

#[derive(Debug)]
struct Waiting {
    upload: u64,
    user: UserId,
    /// Bytes that the part lacks.
    rest: usize,
    /// Value of [`State::granted`] at the time of the request.
    granted_before: u64,
    granted: oneshot::Sender<usize>,
}

impl Budget {
    /// Create a budget of `size` bytes, at least [`part_size::MAX`], for uploads of one purpose.
    pub(super) fn new(purpose: &'static str, size: usize, displaces: bool) -> Self {
        let state = State {
            size,
            free: size,
            granted: 0,
            users: HashMap::new(),
            uploads: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_number: 0,
        };
        let shared = Shared { purpose, displaces, state: Mutex::new(state) };
        shared.report(&shared.state.lock());
        Self { shared: Arc::new(shared) }
    }

    /// Start an upload of a user.
    pub(super) fn start(&self, user: UserId) -> Allowance {
        let buffer = Buffer::new(Mutex::new(Some(Vec::new())));
        let upload =
            UploadState { user, reserved: 0, pace: Pace::default(), buffer: Arc::clone(&buffer) };
        let mut state = self.shared.state.lock();
        let number = state.take_number();
        state.uploads.insert(number, upload);
        Allowance { shared: Arc::clone(&self.shared), number, user, buffer, uncounted: UNCOUNTED }
    }

    /// Number of bytes that are not reserved.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.shared.state.lock().free
    }

    /// Number of uploads that wait for memory.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.state.lock().waiting.len()
    }
}

impl State {
    fn take_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn reserved_by(&self, user: UserId) -> usize {
        self.users.get(&user).copied().unwrap_or(0)
    }

    fn reserve(&mut self, number: u64, user: UserId, bytes: usize) {
        self.free -= bytes;
        self.granted += bytes as u64;
        *self.users.entry(user).or_default() += bytes;
        if let Some(upload) = self.uploads.get_mut(&number) {
            upload.reserved += bytes;
        }
    }

    fn release(&mut self, user: UserId, bytes: usize) {
        self.free += bytes;
        if let Some(reserved) = self.users.get_mut(&user) {
            *reserved -= bytes;
            if *reserved == 0 {
                self.users.remove(&user);
            }
        }
    }

    /// Remove an upload with the memory of the part being filled, and stop its waiting.
    fn remove(&mut self, number: u64) {
        if let Some(upload) = self.uploads.remove(&number) {
            self.release(upload.user, upload.reserved);
            self.waiting.retain(|_, waiting| waiting.upload != number);
        }
    }

    /// Number of the request that is served next.
    fn first_waiting(&self) -> Option<u64> {
        let rank = |waiting: &Waiting| {
            let is_old = self.granted - waiting.granted_before >= self.size as u64;
            if is_old { 0 } else { 1 + self.reserved_by(waiting.user) }
        };
        let first = self.waiting.iter().min_by_key(|(number, waiting)| (rank(waiting), **number));
        first.map(|(number, _)| *number)
    }

    /// Grant memory to the uploads that wait, in order, as long as there is enough.
    fn grant(&mut self) {
        while let Some(first) = self.first_waiting() {
            let rest = self.waiting[&first].rest;
            let bytes = if self.free >= LAST + STEP { STEP.min(rest) } else { rest };
            if bytes > self.free {
                return;
            }
            let Some(waiting) = self.waiting.remove(&first) else { return };
            self.reserve(waiting.upload, waiting.user, bytes);
            // A receiver that is gone belongs to an upload that is being dropped, which releases
            // all of its memory.
            let _ = waiting.granted.send(bytes);
        }
    }

    /// Upload that has to make room for the waiting one: of the users with more than a fair share,
    /// if there are any, and of these the one with the most memory.
    fn find_slow(&self, waiting: u64, now: Instant) -> Option<u64> {
        let request = self.waiting.values().find(|request| request.upload == waiting)?;
        let fair_share = self.size / self.users.len().max(1);
        let allowed = fair_share.max(2 * part_size::MIN).max(request.rest);
        if self.reserved_by(request.user) + request.rest > allowed {
            return None;
        }
        let limit = SLOW.min(self.uploads.get(&waiting)?.pace.rate(now) / FASTER);
        let slow = self.uploads.iter().filter(|(_, upload)| {
            upload.user != request.user && upload.reserved > 0 && upload.pace.rate(now) <= limit
        });
        let memory =
            |upload: &UploadState| (self.reserved_by(upload.user) > fair_share, upload.reserved);
        slow.max_by_key(|(_, upload)| memory(upload)).map(|(number, _)| *number)
    }
}

impl Shared {
    /// Update the gauges.
    fn report(&self, state: &State) {
        let reserved = state.size - state.free;
        metrics::gauge!("fiapx_upload_memory_bytes", "of" => self.purpose).set(reserved as f64);
        metrics::gauge!("fiapx_uploads_waiting_for_memory", "of" => self.purpose)
            .set(state.waiting.len() as f64);
    }

    /// Change the state, and grant what that makes possible.
    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.grant();
        self.report(&state);
        result
    }

    /// Displace a slow upload for one that has waited, if there is one.
    fn displace(&self, waiting: u64) {
        if !self.displaces {
            return;
        }
        let dropped = self.update(|state| {
            let number = state.find_slow(waiting, Instant::now())?;
            let buffer = Arc::clone(&state.uploads.get(&number)?.buffer);
            let bytes = buffer.lock().take();
            state.remove(number);
            bytes
        });
        // Freed without the lock.
        drop(dropped);
    }
}

/// The part of the budget that an upload may use. Dropping it releases the memory of the part
/// being filled.
#[derive(Debug)]
pub(super) struct Allowance {
    shared: Arc<Shared>,
    number: u64,
    user: UserId,
    buffer: Buffer,
    /// Bytes that the upload may still have without a reservation.
    uncounted: usize,
}

impl Allowance {
    /// Bytes of the part being filled.
    pub(super) fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// Record that the upload waits for its producer, and that the part being filled has `bytes`
    /// so far.
    pub(super) fn start_waiting(&self, bytes: usize) {
        if let Some(upload) = self.shared.state.lock().uploads.get_mut(&self.number) {
            upload.pace.set_bytes(bytes);
            upload.pace.start_waiting(Instant::now());
        }
    }

    /// Record that the producer has delivered bytes.
    pub(super) fn stop_waiting(&self) {
        if let Some(upload) = self.shared.state.lock().uploads.get_mut(&self.number) {
            upload.pace.stop_waiting(Instant::now());
        }
    }

    /// Reserve memory for a part that has `bytes` so far and lacks `rest`, at least one step or the
    /// rest, and return its size. If the future is dropped, the allowance has to be dropped, too.
    pub(super) async fn reserve(&mut self, bytes: usize, rest: usize) -> Result<usize, Displaced> {
        if self.uncounted > 0 {
            let bytes = self.uncounted.min(rest);
            self.uncounted -= bytes;
            return Ok(bytes);
        }
        let mut granted = self.request(bytes, rest)?;
        loop {
            match tokio::time::timeout(PATIENCE, &mut granted).await {
                Ok(granted) => return granted.map_err(|_| Displaced),
                Err(_) => self.shared.displace(self.number),
            }
        }
    }

    fn request(&self, bytes: usize, rest: usize) -> Result<oneshot::Receiver<usize>, Displaced> {
        let (granted, receiver) = oneshot::channel();
        let (upload, user) = (self.number, self.user);
        self.shared.update(|state| {
            state.uploads.get_mut(&upload).ok_or(Displaced)?.pace.set_bytes(bytes);
            let number = state.take_number();
            let granted_before = state.granted;
            let waiting = Waiting { upload, user, rest, granted_before, granted };
            state.waiting.insert(number, waiting);
            Ok(receiver)
        })
    }

    /// Move the memory of the part being filled, which has `bytes`, to a reservation of its own.
    pub(super) fn finish_part(&mut self, bytes: usize) -> Reservation {
        let mut state = self.shared.state.lock();
        let reserved = state.uploads.get_mut(&self.number).map_or(0, |upload| {
            upload.pace.finish_part(bytes);
            std::mem::take(&mut upload.reserved)
        });
        Reservation { shared: Arc::clone(&self.shared), user: self.user, bytes: reserved }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.shared.update(|state| state.remove(self.number));
    }
}

/// Memory of a part that is being sent. Dropping it releases the memory.
#[derive(Debug)]
pub(super) struct Reservation {
    shared: Arc<Shared>,
    user: UserId,
    bytes: usize,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.update(|state| state.release(self.user, self.bytes));
    }
}

#[cfg(test)]
mod tests;
