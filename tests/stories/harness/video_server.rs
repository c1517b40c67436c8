//! A web server with one video on a loopback address. It keeps the requests, and misbehaves on
//! demand.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Way in which the video is served.
#[derive(Debug, Clone)]
pub enum Serving {
    /// By ranges, with this `ETag`.
    Ranges(&'static str),
    /// By ranges until this number of requests, and then with another `ETag`.
    ChangingAfter(usize),
    /// As a whole.
    Whole,
    /// As a whole that ends with the connection.
    WithoutLength,
    /// As a whole with a `Content-Length` that differs by this from the size.
    WrongLength(i64),
    /// Nothing but a status.
    Status(u16),
    /// A redirect.
    Redirect(String),
    /// Nothing, for ever.
    Hang,
    /// The beginning, and then a byte in each of these periods.
    Trickle(Duration),
    /// The video, and then bytes without end.
    Endless,
}

/// A request, and what was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Path with the query.
    pub target: String,
    /// Number of bytes of the body.
    pub bytes: usize,
}

struct State {
    video: Vec<u8>,
    serving: Serving,
    sent: Vec<Sent>,
}

/// A server. It runs in the runtime of the test that starts it.
pub struct VideoServer {
    address: String,
    state: Arc<Mutex<State>>,
    /// Ends with the server.
    _tasks: JoinSet<()>,
}

impl VideoServer {
    /// Start a server of a video.
    pub async fn start(video: Vec<u8>, serving: Serving) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let state = Arc::new(Mutex::new(State { video, serving, sent: Vec::new() }));
        let (mut tasks, shared) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                // A client may close its connection at any time.
                connections.spawn(async move { drop(serve(stream, &state).await) });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// URL of the video under a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Serve the video in another way from now on.
    pub fn serve(&self, serving: Serving) {
        self.state.lock().serving = serving;
    }

    /// Requests so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.lock().sent.clone()
    }

    /// Bytes of all bodies so far.
    pub fn sent_bytes(&self) -> usize {
        self.state.lock().sent.iter().map(|sent| sent.bytes).sum()
    }
}

/// Read one request, and respond to it.
async fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut line, mut range) = (String::new(), None);
    stream.read_line(&mut line).await?;
    let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
    while line.trim_end() != "" {
        line.clear();
        stream.read_line(&mut line).await?;
        if let Some((first, last)) =
            line.trim_end().strip_prefix("range: bytes=").and_then(|range| range.split_once('-'))
        {
            range = first.parse::<usize>().ok().zip(last.parse::<usize>().ok());
        }
    }
    let (head, body, serving) = {
        let mut state = state.lock();
        let (head, body) = response(&state, range);
        let (bytes, serving) = (body.len(), state.serving.clone());
        state.sent.push(Sent { target, bytes });
        (head, body, serving)
    };
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    match serving {
        Serving::Hang => std::future::pending().await,
        Serving::Trickle(period) => {
            let mut ticks = tokio::time::interval(period);
            loop {
                ticks.tick().await;
                stream.write_all(b"a").await?;
            }
        }
        Serving::Endless => loop {
            stream.write_all(&[0; 1 << 14]).await?;
        },
        _ => stream.shutdown().await,
    }
}

/// Head and body of the response to a request for a range.
fn response(state: &State, range: Option<(usize, usize)>) -> (String, Vec<u8>) {
    let video = &state.video;
    let whole = |length: usize| {
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"), video.clone())
    };
    let until_the_end = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned();
    let by_ranges = |tag: &str| match range {
        Some((first, last)) if first < video.len() => {
            let (last, size) = (last.min(video.len() - 1), video.len());
            let head = format!(
                "HTTP/1.1 206 Partial\r\nContent-Range: bytes {first}-{last}/{size}\r\n\
                 Content-Length: {}\r\nETag: {tag}\r\n\r\n",
                last + 1 - first
            );
            (head, video[first..=last].to_vec())
        }
        _ => whole(video.len()),
    };
    match &state.serving {
        Serving::Ranges(tag) => by_ranges(tag),
        Serving::ChangingAfter(count) => {
            by_ranges(if state.sent.len() < *count { "\"one\"" } else { "\"two\"" })
        }
        Serving::Whole => whole(video.len()),
        Serving::WrongLength(by) => whole(video.len().saturating_add_signed(*by as isize)),
        Serving::WithoutLength | Serving::Endless => (until_the_end, video.clone()),
        Serving::Trickle(_) => (until_the_end, video[..video.len() / 2].to_vec()),
        Serving::Status(status) => {
            (format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n"), Vec::new())
        }
        Serving::Redirect(to) => {
            let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
            (head, Vec::new())
        }
        Serving::Hang => (String::new(), Vec::new()),
    }
}
