//! Connections that are over when the client has closed them, or sends so slowly that it only holds
//! the connection.
//!
//! hyper gives a connection up when the client closes it while an answer is under way, but poem's
//! server then asks it to go on until a write fails, which streams of events without news seldom
//! do. Here everything fails from the first sign of the end on.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use poem::http::uri::Scheme;
use poem::listener::{Acceptor, TcpAcceptor};
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts [`Connection`]s.
pub struct Connections {
    acceptor: TcpAcceptor,
    patience: Duration,
}

impl Connections {
    /// Accept those that come to a listener, and wait for each client so long.
    pub fn of(listener: TcpListener, patience: Duration) -> io::Result<Self> {
        Ok(Self { acceptor: TcpAcceptor::from_tokio(listener)?, patience })
    }
}

impl Acceptor for Connections {
    type Io = Connection;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.acceptor.local_addr()
    }

    async fn accept(&mut self) -> io::Result<(Connection, LocalAddr, RemoteAddr, Scheme)> {
        let (stream, local, remote, scheme) = self.acceptor.accept().await?;
        Ok((
            Connection { stream, over: false, pace: Pace::new(self.patience) },
            local,
            remote,
            scheme,
        ))
    }
}

/// How fast a client sends what it has begun to send: from the first byte after an answer on, and
/// only while we wait for it.
#[derive(Debug)]
struct Pace {
    patience: Duration,
    /// How many bytes came.
    bytes: u64,
    /// How long we waited for them.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// Bytes per second below which a client is too slow. No line is as slow that somebody would
    /// upload a video by.
    const SLOWEST: u64 = 4 << 10;

    fn new(patience: Duration) -> Self {
        Self { patience, bytes: 0, waited: Duration::ZERO, waiting_since: None }
    }

    /// Something was answered: what follows begins anew.
    fn answered(&mut self) {
        *self = Self::new(self.patience);
    }

    /// There is nothing to read yet.
    fn waits(&mut self, now: Instant) {
        if self.bytes > 0 {
            self.waiting_since.get_or_insert(now);
        }
    }

    /// So many bytes came. Whether that is fast enough.
    fn came(&mut self, bytes: usize, now: Instant) -> bool {
        if let Some(since) = self.waiting_since.take() {
            self.waited += now - since;
        }
        self.bytes += bytes as u64;
        self.waited <= self.patience + Duration::from_secs(self.bytes / Self::SLOWEST)
    }
}

/// A connection to which nothing can be written once the client has closed it, and which is over
/// when the client is too slow.
pub struct Connection {
    stream: TcpStream,
    over: bool,
    pace: Pace,
}

impl Connection {
    fn open(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if self.over { Err(ErrorKind::BrokenPipe.into()) } else { Ok(Pin::new(&mut self.stream)) }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
            self.pace.waits(Instant::now());
            return Poll::Pending;
        };
        let bytes = buffer.filled().len() - before;
        if !self.pace.came(bytes, Instant::now()) {
            self.over = true;
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        self.over |= read.is_err() || room > 0 && bytes == 0;
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.pace.answered();
        self.open()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.pace.answered();
        self.open()?.poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_lag_behind_the_slowest_pace_by_our_patience_and_no_more() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(Duration::from_mins(1));
        // Before the first byte there is no haste.
        pace.waits(start);
        assert!(pace.came(1, at(1000)));
        pace.waits(at(1000));
        assert!(pace.came(1, at(1060)));
        pace.waits(at(1060));
        assert!(!pace.came(1, at(1061)));

        // What comes fast enough may come for ever, and time that we do not wait is not the
        // client's.
        pace.answered();
        assert!(pace.came(1, at(2000)));
        for second in 2000..4000 {
            pace.waits(at(second));
            assert!(pace.came(4 << 10, at(second + 1)));
        }
        assert!(pace.came(1, at(9000)));
    }
}
