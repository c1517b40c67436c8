//! HTTP/1 server with limits of connections, of their time, and of their memory.
//!
//! poem's own server has none of them, waits at its shutdown for connections that never say
//! anything, and serves any number of HTTP/2 streams. Proxies and browsers without TLS use HTTP/1
//! only, so HTTP/2 is not served.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Endpoint, Request};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::connection::{Activity, Connection, RequestInProgress, TimeLimits, TimedBody};
use crate::open_connections::{Admission, ConnectionLimits, OpenConnections};

/// Time after which a connection without a request is closed. Load balancers close theirs after 60
/// seconds, and must be the first to do so.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of the head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// Maximum size of each buffer of a connection, in bytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Bytes that the kernel accepts beyond those on their way. With more, a write would wait so long
/// that a slow client could not be told from one that reads nothing.
const UNSENT_BYTES: u32 = 128 << 10;
/// Time without a byte after which a connection is not waited for at the shutdown.
const SHUTDOWN_SILENCE: Duration = Duration::from_secs(5);

/// A server, before it starts.
pub(crate) struct HttpServer {
    listener: TcpListener,
    limits: ConnectionLimits,
    times: TimeLimits,
    grace: Duration,
}

impl HttpServer {
    /// Serve the connections of a listener. `stall` is the maximum time for which a client may send
    /// or read nothing of a body, and `grace` that for requests at the shutdown.
    pub(crate) fn new(
        listener: TcpListener,
        limits: ConnectionLimits,
        stall: Duration,
        grace: Duration,
    ) -> Self {
        let (idle, head, silence) = (IDLE_TIMEOUT, HEAD_TIMEOUT, SHUTDOWN_SILENCE);
        let times = TimeLimits { idle, head, stall, silence };
        Self { listener, limits, times, grace }
    }

    /// Serve an endpoint until `closing` completes and the requests in progress are finished or out
    /// of time.
    pub(crate) async fn run(
        self,
        endpoint: impl Endpoint + 'static,
        closing: impl Future<Output = ()>,
    ) {
        raise_descriptor_limit(self.limits.total);
        let (connections, endpoint) = (OpenConnections::new(self.limits), Arc::new(endpoint));
        let (tasks, is_closing) = (TaskTracker::new(), CancellationToken::new());
        let mut closing = pin!(closing);
        loop {
            let accepted = tokio::select! {
                () = &mut closing => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // A connection that is not admitted is closed.
                    if let Some(admission) = connections.admit(peer.ip()) {
                        let session = Session {
                            admission,
                            peer,
                            times: self.times,
                            grace: self.grace,
                            closing: is_closing.clone(),
                        };
                        tasks.spawn(session.serve(stream, Arc::clone(&endpoint)));
                    }
                }
                Err(error) => {
                    /// Time in which connections may be closed if the process has too many files.
                    const PAUSE: Duration = Duration::from_millis(100);
                    warn!(%error, "a connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
        drop(self.listener);
        is_closing.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

/// Allow the process as many descriptors as connections need, if the system permits it: the usual
/// limit is 1,024 of 524,288.
fn raise_descriptor_limit(connections: usize) {
    /// Descriptors for files, databases and cells.
    const OTHERS: u64 = 1024;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    // A connection that reads or writes a file has two.
    let needed = hard.min(2 * connections as u64 + OTHERS);
    if soft < needed
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, needed, hard)
    {
        warn!(%error, soft, needed, "the limit of open files could not be raised");
    }
}

/// A connection that is served.
struct Session {
    admission: Admission,
    peer: SocketAddr,
    times: TimeLimits,
    grace: Duration,
    closing: CancellationToken,
}

impl Session {
    async fn serve<E: Endpoint>(self, stream: TcpStream, endpoint: Arc<E>) {
        // An error means that the client has closed the connection.
        let Ok(local) = prepare(&stream) else { return };
        let (local, remote) = (LocalAddr(local.into()), RemoteAddr(self.peer.into()));
        let (activity, times) = (self.admission.activity(), self.times);
        let connection = Connection::new(stream, Arc::clone(&activity), times);
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let in_progress = activity.begin_request();
            let has_body = !request.body().is_end_stream();
            let mut request: Request =
                (request, local.clone(), remote.clone(), Scheme::HTTP).into();
            if has_body {
                let bytes = request.take_body().into_bytes_stream();
                let timed = TimedBody::new(bytes, Arc::clone(&activity), times);
                request.set_body(poem::Body::from_bytes_stream(timed));
            }
            let endpoint = Arc::clone(&endpoint);
            async move {
                let response: hyper::Response<BoxBody<Bytes, io::Error>> =
                    endpoint.get_response(request).await.into();
                let response = response.map(|body| ResponseBody { body, _request: in_progress });
                Ok::<_, Infallible>(response)
            }
        });
        let mut http = http1::Builder::new();
        http.max_buf_size(BUFFER_BYTES).max_header_size(MAX_HEAD_BYTES);
        // The timers of the connection are earlier. With its own, hyper reads after each response,
        // and thereby starts them.
        http.timer(TokioTimer::new()).header_read_timeout(times.idle + times.head);
        let mut served = pin!(http.serve_connection(TokioIo::new(connection), service));
        // Results are errors of the connection, which concern nobody else.
        tokio::select! {
            _ = served.as_mut() => return,
            () = self.admission.closed() => return,
            () = self.closing.cancelled() => {}
        }
        served.as_mut().graceful_shutdown();
        tokio::select! {
            _ = served => {}
            () = silence(&activity, times.silence) => {}
            () = sleep(self.grace) => {}
        }
    }
}

/// Set the options of a connection, and return its local address.
fn prepare(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES)?;
    stream.local_addr()
}

/// Wait until the client has been awaited for some time.
async fn silence(activity: &Activity, limit: Duration) {
    loop {
        let silence = activity.awaited_since().map(|since| since.elapsed()).unwrap_or_default();
        match limit.checked_sub(silence) {
            Some(rest) if !rest.is_zero() => sleep(rest).await,
            _ => return,
        }
    }
}

/// Body of a response. The request is in progress until its end.
struct ResponseBody<B> {
    body: B,
    _request: RequestInProgress,
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
