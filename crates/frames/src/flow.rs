//! Flow control between the steps of an extraction, so that memory is bounded for a video of any
//! length.
//!
//! Packets are read ahead only as far as decoders can use them, and frames are encoded ahead only
//! as far as the archive can accept them. The span whose frames are next in the archive is blocked
//! only while the writer has frames that it can write, so the steps cannot deadlock.

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::Error;
use crate::mode::Mode;

/// Maximum size of encoded frames that wait to be written, in bytes per thread.
const MAX_ENCODED_BYTES: usize = 16 << 20;
/// Maximum size of packets that are read but not decoded, in bytes.
const MAX_READ_AHEAD_BYTES: usize = 48 << 20;

/// Flow control of one extraction.
pub(crate) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
    threads: usize,
}

#[derive(Default)]
struct State {
    /// Number of the span whose frames are being written.
    current_span: u64,
    /// Size of encoded frames that wait to be written, in bytes.
    encoded_bytes: usize,
    /// Size of those of them that the writer has not received yet, in bytes.
    sent_bytes: usize,
    /// Number of spans that are read but not decoded.
    pending_spans: usize,
    /// Size of the packets of these spans, in bytes.
    pending_bytes: usize,
    /// Number of threads that decode or encode.
    busy_threads: usize,
    /// Whether all packets were read.
    all_read: bool,
    /// First reason to end early, until it is taken.
    failure: Option<Failure>,
    failed: bool,
}

/// Reason why an extraction ends early.
pub(crate) enum Failure {
    Error(Error),
    /// It has to start again in another mode.
    Restart(Mode),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Flow {
    pub(crate) fn new(threads: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), threads }
    }

    /// Block while `condition` holds and no step has failed.
    fn wait_while(
        &self,
        condition: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, Aborted> {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.failed && condition(state));
        if state.failed { Err(Aborted) } else { Ok(state) }
    }

    /// Abort the extraction. The first failure is kept.
    pub(crate) fn fail(&self, failure: impl Into<Failure>) {
        let mut state = self.state.lock();
        state.failed = true;
        state.failure.get_or_insert_with(|| failure.into());
        drop(state);
        self.changed.notify_all();
    }

    /// Return the failure that aborted the extraction, if any, and reset the state for another
    /// start.
    pub(crate) fn take_failure(&self) -> Option<Failure> {
        std::mem::take(&mut *self.state.lock()).failure
    }

    /// Whether a step has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Block until another span of `bytes` may be read ahead, and count it as pending.
    pub(crate) fn admit_span(&self, bytes: usize) -> Result<(), Aborted> {
        let max_spans = 2 * self.threads + 1;
        let mut state = self.wait_while(|state| {
            state.pending_spans > 0
                && (state.pending_spans >= max_spans
                    || state.pending_bytes + bytes > MAX_READ_AHEAD_BYTES)
        })?;
        state.pending_spans += 1;
        state.pending_bytes += bytes;
        Ok(())
    }

    /// Record that a span of `bytes` was decoded.
    pub(crate) fn span_decoded(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.pending_spans -= 1;
        state.pending_bytes -= bytes;
        drop(state);
        self.changed.notify_all();
    }

    /// Record that all packets were read.
    pub(crate) fn set_all_read(&self) {
        self.state.lock().all_read = true;
    }

    /// Number of spans left to decode; `None` until all packets were read.
    pub(crate) fn spans_left(&self) -> Option<usize> {
        let state = self.state.lock();
        state.all_read.then_some(state.pending_spans)
    }

    /// Return a guard that aborts the extraction if it is dropped by a panic, so that no other
    /// thread waits forever and the panic can propagate.
    pub(crate) fn abort_on_panic(&self) -> PanicGuard<'_> {
        PanicGuard(self)
    }

    /// Count the calling thread as busy until the guard is dropped.
    pub(crate) fn start_work(&self) -> WorkGuard<'_> {
        self.state.lock().busy_threads += 1;
        WorkGuard(self)
    }

    /// Whether a thread is idle.
    pub(crate) fn has_idle_thread(&self) -> bool {
        self.state.lock().busy_threads < self.threads
    }

    /// Block until a frame of `span` may be encoded.
    pub(crate) fn admit_frame(&self, span: u64) -> Result<(), Aborted> {
        let max_bytes = MAX_ENCODED_BYTES * self.threads;
        self.wait_while(|state| {
            let is_current = state.current_span == span;
            // What the writer has received and holds may wait for a frame of the current span.
            let waiting = if is_current { state.sent_bytes } else { state.encoded_bytes };
            waiting > max_bytes
        })
        .map(drop)
    }

    /// Record that a frame of `bytes` was encoded and is sent to the writer.
    pub(crate) fn frame_encoded(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.encoded_bytes += bytes;
        state.sent_bytes += bytes;
    }

    /// Record that the writer received a frame of `bytes`.
    pub(crate) fn frame_received(&self, bytes: usize) {
        self.state.lock().sent_bytes -= bytes;
        self.changed.notify_all();
    }

    /// Record that a frame of `bytes` was written.
    pub(crate) fn frame_written(&self, bytes: usize) {
        self.state.lock().encoded_bytes -= bytes;
        self.changed.notify_all();
    }

    /// Set the span whose frames are written next.
    pub(crate) fn set_current_span(&self, span: u64) {
        self.state.lock().current_span = span;
        self.changed.notify_all();
    }
}

/// Error of a step that ends because another one failed. [`Flow::take_failure`] returns the cause.
#[derive(Debug)]
pub(crate) struct Aborted;

/// Guard of [`Flow::start_work`].
pub(crate) struct WorkGuard<'a>(&'a Flow);

impl Drop for WorkGuard<'_> {
    fn drop(&mut self) {
        self.0.state.lock().busy_threads -= 1;
    }
}

/// Guard of [`Flow::abort_on_panic`].
pub(crate) struct PanicGuard<'a>(&'a Flow);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state.lock().failed = true;
            self.0.changed.notify_all();
        }
    }
}
