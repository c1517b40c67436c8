//! Connections whose waits for the client are limited.
//!
//! A timer of the connection ends each wait: for a request, for the rest of its head, for more of
//! its body, and for the client to read the response. Without them a client could hold a connection
//! for ever by sending or reading nothing. hyper has a limit for the head only.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use metrics::counter;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// Time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeLimits {
    /// Maximum time without a request.
    pub idle: Duration,
    /// Maximum time from the first byte of a request to the end of its head.
    pub head: Duration,
    /// Maximum time in which nothing of a body is sent or read. A client has to keep the minimum
    /// rate over each such period.
    pub stall: Duration,
    /// Time without a byte after which a connection is not waited for at the shutdown.
    pub silence: Duration,
}

/// State of a connection, as far as limits depend on it.
#[derive(Debug)]
pub(crate) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Time since which the server waits for the client, if it does.
    awaited_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of a request has arrived.
    Idle,
    /// A part of a request's head has arrived.
    Head,
    /// A request is processed, until its response is written.
    Request,
}

/// Request in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct RequestInProgress(Arc<Activity>);

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

impl Activity {
    /// State of a new connection.
    pub(crate) fn new() -> Self {
        let since = Instant::now();
        Self(Mutex::new(State { phase: Phase::Idle, since, awaited_since: None }))
    }

    /// Record that the head of a request is complete.
    pub(crate) fn begin_request(self: &Arc<Self>) -> RequestInProgress {
        self.enter(Phase::Request);
        RequestInProgress(Arc::clone(self))
    }

    /// Time since which there was no request, if there is none.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.0.lock();
        (state.phase == Phase::Idle).then_some(state.since)
    }

    /// Time since which the server waits for the client, if it does.
    pub(crate) fn awaited_since(&self) -> Option<Instant> {
        self.0.lock().awaited_since
    }

    fn enter(&self, phase: Phase) {
        *self.0.lock() = State { phase, since: Instant::now(), awaited_since: None };
    }

    /// Record that bytes were received.
    fn received(&self) {
        let mut state = self.0.lock();
        state.awaited_since = None;
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, Instant::now());
        }
    }

    /// Record that the server waits for the client, or that it does not anymore.
    fn set_awaited(&self, awaited: bool) {
        let since = &mut self.0.lock().awaited_since;
        if awaited {
            since.get_or_insert_with(Instant::now);
        } else {
            *since = None;
        }
    }

    /// Time until which the rest of a request's head has to arrive; `None` while a request is
    /// processed.
    fn head_deadline(&self, limits: TimeLimits) -> Option<Instant> {
        let mut state = self.0.lock();
        let limit = match state.phase {
            Phase::Idle => limits.idle,
            Phase::Head => limits.head,
            Phase::Request => return None,
        };
        state.awaited_since.get_or_insert_with(Instant::now);
        Some(state.since + limit)
    }
}

/// Timer that wakes the task which polls it.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Return whether a deadline has passed. Otherwise the task is woken at the deadline.
    fn is_over(&mut self, deadline: Instant, context: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(context).is_ready()
    }
}

/// Rate at which a client sends or reads, over each period of waiting for it.
#[derive(Debug)]
struct Pace {
    period: Duration,
    /// Bytes in the current period.
    bytes: u64,
    /// Time spent waiting in the current period.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Minimum rate in bytes per second. No connection this slow could transfer a video.
    const MIN_BYTES_PER_SECOND: u64 = 4 << 10;

    fn new(period: Duration) -> Self {
        Self { period, bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// Record that the server waits. Return the time at which it has waited too long.
    fn wait(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.period
    }

    /// Record that bytes were sent or read. Return whether the client is fast enough.
    fn proceed(&mut self, bytes: usize, now: Instant) -> bool {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now - since;
        }
        self.bytes += bytes as u64;
        if self.waited < self.period {
            return true;
        }
        let required = self.waited.as_secs_f64() * Self::MIN_BYTES_PER_SECOND as f64;
        let is_fast_enough = self.bytes as f64 >= required;
        (self.bytes, self.waited) = (0, Duration::ZERO);
        is_fast_enough
    }
}

/// Error of a client that is too slow.
fn too_slow() -> io::Error {
    counter!("fiapx_connections_refused_total", "reason" => "slow").increment(1);
    io::Error::new(ErrorKind::TimedOut, "the client was too slow")
}

/// A connection that fails if its client sends a request's head or reads a response too slowly.
pub(crate) struct Connection {
    stream: TcpStream,
    activity: Arc<Activity>,
    limits: TimeLimits,
    reading: Timer,
    writing: Timer,
    write_pace: Pace,
}

impl Connection {
    /// Limit a connection.
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>, limits: TimeLimits) -> Self {
        let (reading, writing) = (Timer::default(), Timer::default());
        let write_pace = Pace::new(limits.stall);
        Self { stream, activity, limits, reading, writing, write_pace }
    }

    /// Limit the time of a write with this result.
    fn timed(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        match written {
            Poll::Pending => {
                self.activity.set_awaited(true);
                let deadline = self.write_pace.wait(now);
                if self.writing.is_over(deadline, context) {
                    return Poll::Ready(Err(too_slow()));
                }
                Poll::Pending
            }
            Poll::Ready(Ok(bytes)) => {
                self.activity.set_awaited(false);
                let is_fast_enough = self.write_pace.proceed(bytes, now);
                Poll::Ready(if is_fast_enough { Ok(bytes) } else { Err(too_slow()) })
            }
            Poll::Ready(error) => Poll::Ready(error),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > filled_before {
                self.activity.received();
            }
            return read;
        }
        let deadline = self.activity.head_deadline(self.limits);
        if deadline.is_some_and(|deadline| self.reading.is_over(deadline, context)) {
            let is_idle = self.activity.idle_since().is_some();
            return Poll::Ready(Err(if is_idle { ErrorKind::TimedOut.into() } else { too_slow() }));
        }
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.timed(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Body of a request that fails if its client sends it too slowly. Only time in which the body is
/// awaited counts.
pub(crate) struct TimedBody {
    bytes: BoxStream<'static, io::Result<Bytes>>,
    activity: Arc<Activity>,
    pace: Pace,
    timer: Timer,
}

impl TimedBody {
    /// Limit a body.
    pub(crate) fn new(
        bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        activity: Arc<Activity>,
        limits: TimeLimits,
    ) -> Self {
        /// Additional time in which an operation that has a limit of its own responds.
        const MARGIN: Duration = Duration::from_secs(5);
        let pace = Pace::new(limits.stall + MARGIN);
        Self { bytes: bytes.boxed(), activity, pace, timer: Timer::default() }
    }
}

impl Stream for TimedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let (polled, now) = (self.bytes.poll_next_unpin(context), Instant::now());
        self.activity.set_awaited(polled.is_pending());
        match &polled {
            Poll::Pending => {
                let deadline = self.pace.wait(now);
                if self.timer.is_over(deadline, context) {
                    return Poll::Ready(Some(Err(too_slow())));
                }
            }
            Poll::Ready(Some(Ok(bytes))) => {
                if !self.pace.proceed(bytes.len(), now) {
                    return Poll::Ready(Some(Err(too_slow())));
                }
            }
            Poll::Ready(_) => {}
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_to_keep_the_minimum_rate_over_each_period_of_waiting() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_mins(1));
        assert_eq!(pace.wait(start), at(60));
        assert_eq!(pace.wait(at(30)), at(60), "the wait goes on");
        assert!(pace.proceed(1, at(59)));
        // Time in which the server does not wait does not count.
        assert!(pace.proceed(1, at(1000)));
        pace.wait(at(1000));
        assert!(!pace.proceed(1, at(1001)), "3 bytes in 60 seconds of waiting");

        // A client at the minimum rate may go on for ever.
        for second in 2000..4000 {
            pace.wait(at(second));
            assert!(pace.proceed(4 << 10, at(second + 1)));
        }
        // Bytes of an earlier period do not count.
        assert!(pace.proceed(1 << 30, at(4000)));
        pace.wait(at(4000));
        assert!(pace.proceed(1, at(4060)));
        pace.wait(at(4060));
        assert!(!pace.proceed(1, at(4120)));
    }
}
