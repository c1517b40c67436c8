//! A server of one file, which misbehaves on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

/// What a server does after its response.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Then {
    Close,
    Hang,
    /// Send a byte in each of these periods.
    Trickle(Duration),
    /// Send bytes without end.
    Flood,
}

type Respond = dyn Fn(&str) -> (Vec<u8>, Then) + Send + Sync;

/// Server whose responses a function makes from the heads of the requests.
pub(super) struct FileServer {
    pub(super) address: SocketAddr,
    pub(super) requests: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl FileServer {
    pub(super) async fn start(
        respond: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Self {
        Self::with(None, respond).await
    }

    pub(super) async fn with(
        tls: Option<TlsAcceptor>,
        respond: impl Fn(&str) -> (Vec<u8>, Then) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (received, respond): (_, Arc<Respond>) = (Arc::clone(&requests), Arc::new(respond));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (respond, received) = (Arc::clone(&respond), Arc::clone(&received));
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, respond, received))),
                    Some(tls) => drop(tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, respond, received).await;
                        }
                    })),
                }
            }
        });
        Self { address, requests, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/a.mp4?key=value", self.address)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    respond: Arc<Respond>,
    received: Arc<Mutex<Vec<String>>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8(request).expect("text");
    let (response, then) = respond(&request);
    received.lock().push(request);
    let _ = stream.write_all(&response).await;
    match then {
        Then::Close => drop(stream.shutdown().await),
        Then::Hang => std::future::pending().await,
        Then::Trickle(period) => {
            let mut ticks = tokio::time::interval(period);
            while stream.write_all(b"a").await.is_ok() {
                ticks.tick().await;
            }
        }
        Then::Flood => while stream.write_all(&[b'a'; 1 << 14]).await.is_ok() {},
    }
}

/// Range that a request asks for.
pub(super) fn requested(request: &str) -> Option<(usize, usize)> {
    let line = request.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
    let (first, last) = line.split_once('-').expect("a range");
    Some((first.parse().expect("a number"), last.parse().expect("a number")))
}

/// Response of a server with ranges.
pub(super) fn ranged(request: &str, content: &[u8], headers: &str) -> Vec<u8> {
    let Some((first, last)) = requested(request) else { return whole(content, headers) };
    let last = last.min(content.len() - 1);
    let bytes = &content[first..=last];
    let head = format!(
        "HTTP/1.1 206 Part\r\nContent-Range: bytes {first}-{last}/{}\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        content.len(),
        bytes.len()
    );
    [head.as_bytes(), bytes].concat()
}

/// Response of a server without ranges.
pub(super) fn whole(content: &[u8], headers: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}\r\n", content.len());
    [head.as_bytes(), content].concat()
}

pub(super) fn status(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

pub(super) fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").into_bytes()
}
