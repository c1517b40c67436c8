//! Connections that fail once the client has closed them or sends too slowly.
//!
//! hyper abandons a connection when the client closes it during a response, but poem's server then
//! makes it continue until a write fails. Event streams seldom write. Here every write fails
//! after the client has closed the connection.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poem::http::uri::Scheme;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Acceptor of [`Connection`]s.
pub(crate) struct ConnectionAcceptor {
    acceptor: TcpAcceptor,
    stall_timeout: Duration,
}

impl ConnectionAcceptor {
    /// Accept the connections of a listener. `stall_timeout` is the time by which a client may
    /// fall behind the minimum rate.
    pub(crate) fn new(listener: TcpListener, stall_timeout: Duration) -> io::Result<Self> {
        Ok(Self { acceptor: TcpAcceptor::from_tokio(listener)?, stall_timeout })
    }
}

impl Acceptor for ConnectionAcceptor {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, local, remote, scheme) = self.acceptor.accept().await?;
        let connection =
            Connection { stream, closed: false, rate: ReceiveRate::new(self.stall_timeout) };
        Ok((connection, local, remote, scheme))
    }
}

/// Rate at which a client sends a request. Time counts from its first byte, and only while the
/// server waits for more.
#[derive(Debug)]
struct ReceiveRate {
    stall_timeout: Duration,
    bytes: u64,
    /// Total time spent waiting for `bytes`.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl ReceiveRate {
    /// Minimum rate in bytes per second. No connection this slow could upload a video.
    const MIN_BYTES_PER_SECOND: u64 = 4 << 10;

    fn new(stall_timeout: Duration) -> Self {
        Self { stall_timeout, bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// Start over, because a response was written.
    fn reset(&mut self) {
        *self = Self::new(self.stall_timeout);
    }

    /// Record that no bytes are available.
    fn start_waiting(&mut self, now: Instant) {
        if self.bytes > 0 {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// Record received bytes. Return whether the client is fast enough.
    fn received(&mut self, bytes: usize, now: Instant) -> bool {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now - since;
        }
        self.bytes += bytes as u64;
        let allowed = Duration::from_secs(self.bytes / Self::MIN_BYTES_PER_SECOND);
        self.waited <= self.stall_timeout + allowed
    }
}

/// A connection that cannot be written to once the client has closed it, and that is closed if the
/// client is too slow.
pub(crate) struct Connection {
    stream: TcpStream,
    closed: bool,
    rate: ReceiveRate,
}

impl Connection {
    fn open_stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.closed { Err(ErrorKind::BrokenPipe.into()) } else { Ok(Pin::new(&mut self.stream)) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (filled_before, capacity) = (buffer.filled().len(), buffer.remaining());
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            self.rate.start_waiting(Instant::now());
            return Poll::Pending;
        };
        let bytes = buffer.filled().len() - filled_before;
        if !self.rate.received(bytes, Instant::now()) {
            self.closed = true;
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        self.closed |= read.is_err() || capacity > 0 && bytes == 0;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.rate.reset();
        self.open_stream()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.rate.reset();
        self.open_stream()?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open_stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_a_connection_that_falls_behind_the_minimum_rate_by_more_than_the_timeout() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = ReceiveRate::new(Duration::from_mins(1));
        // Time before the first byte does not count.
        rate.start_waiting(start);
        assert!(rate.received(1, at(1000)));
        rate.start_waiting(at(1000));
        assert!(rate.received(1, at(1060)));
        rate.start_waiting(at(1060));
        assert!(!rate.received(1, at(1061)));

        // A client at the minimum rate may send forever, and time in which the server does not wait
        // does not count.
        rate.reset();
        assert!(rate.received(1, at(2000)));
        for second in 2000..4000 {
            rate.start_waiting(at(second));
            assert!(rate.received(4 << 10, at(second + 1)));
        }
        assert!(rate.received(1, at(9000)));
    }
}
