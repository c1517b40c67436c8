//! A small mail server for tests. It speaks SMTP on a socket of this machine, keeps what it is given, and misbehaves on demand.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::smtp::Server;

/// How the server behaves towards one client. Each misbehaviour is at a verb; `CONNECT` is the greeting and `.` the end of a mail.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Manner {
    /// It takes mails.
    Kind,
    /// It says this and nothing more to the verb.
    Answers(&'static str, &'static str),
    /// It says nothing at all any more.
    Hangs(&'static str),
    /// It closes the connection.
    HangsUp(&'static str),
}

/// A mail as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    /// The argument of AUTH.
    pub(crate) login: Option<String>,
    /// The argument of MAIL.
    pub(crate) from: String,
    /// The argument of RCPT.
    pub(crate) to: String,
    /// Headers and body.
    pub(crate) data: String,
}

/// A running server.
pub(crate) struct Sink {
    address: SocketAddr,
    received: UnboundedReceiver<Received>,
    connected: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Sink {
    /// A server that meets its first clients so, one after the other, and is kind to all that follow.
    pub(crate) async fn start(manners: impl IntoIterator<Item = Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (sender, received) = unbounded_channel();
        let mut manners: VecDeque<Manner> = manners.into_iter().collect();
        let connected = Arc::new(Notify::new());
        let connection = connected.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connection.notify_one();
                tokio::spawn(serve(stream, manners.pop_front().unwrap_or(Manner::Kind), sender.clone()));
            }
        });
        Self { address, received, connected, task }
    }

    /// How the server is reached, without a password.
    pub(crate) fn server(&self) -> Server {
        Server { host: self.address.ip().to_string(), port: self.address.port(), login: None }
    }

    /// Wait for a client.
    pub(crate) async fn connected(&self) {
        self.connected.notified().await;
    }

    /// What has arrived since the last call.
    pub(crate) fn received(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, manner: Manner, received: UnboundedSender<Received>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let (mut login, mut from, mut to) = (None, String::new(), String::new());
    let mut line = "CONNECT".to_owned();
    loop {
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let mut answer = match verb {
            "CONNECT" => "220 sink ready",
            "EHLO" => "250-sink\r\n250 AUTH PLAIN",
            "AUTH" => "235 welcome",
            "MAIL" | "RCPT" => "250 noted",
            "DATA" => "354 go on",
            "." => "250 taken",
            "QUIT" => "221 goodbye",
            _ => "502 unknown",
        };
        match manner {
            Manner::Hangs(at) if at == verb => return std::future::pending().await,
            Manner::HangsUp(at) if at == verb => return Ok(()),
            Manner::Answers(at, other) if at == verb => answer = other,
            _ => match verb {
                "AUTH" => login = Some(argument.to_owned()),
                "MAIL" => argument.clone_into(&mut from),
                "RCPT" => argument.clone_into(&mut to),
                "." => {
                    // All but the end is kept, and dots that were doubled on the way are single again (RFC 5321, 4.5.2).
                    let data = argument.to_owned();
                    let _ = received.send(Received { login: login.clone(), from: from.clone(), to: to.clone(), data });
                }
                _ => {}
            },
        }
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
        line = if answer.starts_with("354") {
            let mut data = String::new();
            loop {
                let Some(text) = lines.next_line().await? else { return Ok(()) };
                if text == "." {
                    break;
                }
                data += text.strip_prefix('.').unwrap_or(&text);
                data += "\r\n";
            }
            format!(". {data}")
        } else {
            let Some(next) = lines.next_line().await? else { return Ok(()) };
            next
        };
    }
}
