//! Keeps the steps of an extraction in pace with each other, so that memory stays bounded however
//! long the video is.
//!
//! Packets are read only so far ahead as decoders can use them, and pictures are encoded only so
//! far ahead as the archive can take them. The span whose pictures come next in the archive is
//! never held up, so the steps cannot wait for each other in a circle.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::Error;

/// Encoded bytes that may wait for their turn in the archive, for each thread.
const WAITING_BYTES: usize = 16 << 20;
/// Compressed bytes of spans that are read but not decoded.
const AHEAD_BYTES: usize = 48 << 20;

/// The pace of one extraction.
pub(crate) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
    threads: usize,
}

#[derive(Default)]
struct State {
    /// The span whose pictures are written now.
    writing: u64,
    /// Encoded bytes that wait to be written.
    waiting: usize,
    /// Spans handed out and not yet decoded, and their bytes.
    spans: usize,
    ahead: usize,
    /// Tasks that keep a thread busy.
    busy: usize,
    /// No more spans will come.
    all_read: bool,
    failure: Option<Error>,
    failed: bool,
}

impl Flow {
    pub(crate) fn new(threads: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), threads }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, wait: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>, Stopped> {
        let guard = self.lock();
        let guard = self
            .changed
            .wait_while(guard, |state| !state.failed && wait(state))
            .unwrap_or_else(PoisonError::into_inner);
        if guard.failed { Err(Stopped) } else { Ok(guard) }
    }

    /// End everything with this error; the first one counts.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.lock();
        state.failed = true;
        state.failure.get_or_insert(error);
        drop(state);
        self.changed.notify_all();
    }

    /// The error that ended the extraction, if one did.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.lock().failure.take()
    }

    /// Whether some step has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Wait until another span of `bytes` may be read ahead, and count it.
    pub(crate) fn admit_span(&self, bytes: usize) -> Result<(), Stopped> {
        let most = 2 * self.threads + 1;
        let mut state = self.wait_while(|state| {
            state.spans > 0 && (state.spans >= most || state.ahead + bytes > AHEAD_BYTES)
        })?;
        state.spans += 1;
        state.ahead += bytes;
        Ok(())
    }

    pub(crate) fn span_decoded(&self, bytes: usize) {
        let mut state = self.lock();
        state.spans -= 1;
        state.ahead -= bytes;
        drop(state);
        self.changed.notify_all();
    }

    pub(crate) fn all_read(&self) {
        self.lock().all_read = true;
    }

    /// How many spans are left, once that is known.
    pub(crate) fn spans_left(&self) -> Option<usize> {
        let state = self.lock();
        state.all_read.then_some(state.spans)
    }

    /// Until the guard is dropped, a panic on this thread ends the waiting of all others, so that
    /// it can come through.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch(self)
    }

    /// A thread takes up work; the work is counted until the guard is dropped.
    pub(crate) fn work(&self) -> Working<'_> {
        self.lock().busy += 1;
        Working(self)
    }

    /// Whether a thread has nothing to do.
    pub(crate) fn has_idle_thread(&self) -> bool {
        let state = self.lock();
        state.busy < self.threads
    }

    /// Wait until a picture of `span` may be encoded.
    pub(crate) fn admit_picture(&self, span: u64) -> Result<(), Stopped> {
        let most = WAITING_BYTES * self.threads;
        self.wait_while(|state| state.writing != span && state.waiting > most).map(drop)
    }

    pub(crate) fn encoded(&self, bytes: usize) {
        self.lock().waiting += bytes;
    }

    pub(crate) fn written(&self, bytes: usize) {
        self.lock().waiting -= bytes;
        self.changed.notify_all();
    }

    pub(crate) fn writing(&self, span: u64) {
        self.lock().writing = span;
        self.changed.notify_all();
    }
}

/// Another step has failed and has left its error in the flow.
#[derive(Debug)]
pub(crate) struct Stopped;

/// A thread at work.
pub(crate) struct Working<'a>(&'a Flow);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
    }
}

/// A thread under watch.
pub(crate) struct Watch<'a>(&'a Flow);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().failed = true;
            self.0.changed.notify_all();
        }
    }
}
