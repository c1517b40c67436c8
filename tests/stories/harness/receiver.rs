//! A receiver of webhooks on a loopback address. It keeps the requests, and misbehaves on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::checks::eventually;

/// Reaction to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Respond with this status, headers that end with a line break, and a body.
    Respond(u16, &'static str, String),
    /// Never respond.
    Hang,
    /// Close the connection.
    Close,
}

impl Reply {
    /// Respond with this status and nothing else.
    pub fn status(status: u16) -> Self {
        Self::Respond(status, "", String::new())
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Headers by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: String,
}

impl Received {
    /// Id of the delivery.
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// Body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}

/// State that the connections share.
#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// Reactions to the next requests. Without any, requests get the last reply.
    replies: VecDeque<Reply>,
    last: Option<Reply>,
    open: usize,
    most_open: usize,
}

/// A receiver with the requests that have arrived. It runs in the runtime of the test that starts
/// it.
pub struct Receiver {
    address: String,
    state: Arc<Mutex<State>>,
    /// Ends with the receiver.
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Start a receiver that gives these replies in turn, and then the last one.
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it has an address").to_string();
        let replies: VecDeque<Reply> = replies.into_iter().collect();
        let state = State { last: replies.back().cloned(), replies, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let (mut tasks, kept) = (JoinSet::new(), Arc::clone(&state));
        tasks.spawn(async move {
            // Connections end with this task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&kept);
                connections.spawn(async move {
                    // A sender that is killed closes its connection.
                    let _ = serve(stream, &state).await;
                    state.lock().open -= 1;
                });
            }
        });
        Self { address, state, _tasks: tasks }
    }

    /// Start a receiver that accepts everything.
    pub async fn accepting() -> Self {
        Self::start([Reply::status(204)]).await
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Its URL with another name of this machine.
    pub fn url_at(&self, host: &str) -> String {
        self.url().replace("127.0.0.1", host)
    }

    /// The requests that have arrived.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().received.clone()
    }

    /// Largest number of connections that were open at a time.
    pub fn most_open(&self) -> usize {
        self.state.lock().most_open
    }

    /// Wait for this number of requests, and return them.
    pub async fn expect(&self, count: usize) -> Vec<Received> {
        eventually("the events arrive", || async {
            let received = self.received();
            (received.len() >= count).then_some(received)
        })
        .await
    }
}

/// Read one request, and react to it.
async fn serve(stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    {
        let mut state = state.lock();
        state.open += 1;
        state.most_open = state.most_open.max(state.open);
    }
    let mut stream = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), BTreeMap::new());
    stream.read_line(&mut line).await?;
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            // A sender that is killed sends no more than a part of a request.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body).map_err(io::Error::other)?;
    let reply = {
        let mut state = state.lock();
        state.received.push(Received { headers, body });
        state.replies.pop_front().or_else(|| state.last.clone())
    };
    match reply {
        None | Some(Reply::Close) => Ok(()),
        Some(Reply::Hang) => {
            // Until the sender closes the connection.
            stream.read_to_end(&mut Vec::new()).await?;
            Ok(())
        }
        Some(Reply::Respond(status, headers, body)) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} Status\r\n{headers}Content-Length: {length}\r\n");
            stream.write_all(format!("{head}\r\n{body}").as_bytes()).await
        }
    }
}
