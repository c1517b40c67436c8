//! A small mail server. It speaks SMTP on a socket of this machine, keeps what it is given, and
//! misbehaves on demand.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::port;

/// How the server behaves towards one client. Each misbehaviour is at a verb; `CONNECT` is the
/// greeting and `.` the end of a mail.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
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
pub struct Received {
    /// The argument of AUTH.
    pub login: Option<String>,
    /// The argument of MAIL.
    pub from: String,
    /// The argument of RCPT.
    pub to: String,
    /// Headers and body.
    pub data: String,
}

/// A mail server with the mails that it was given. It runs in the run-time of the test that starts
/// it.
#[derive(Debug)]
pub struct Mailbox {
    port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    connected: Arc<Notify>,
    /// All that serves; none while it is stopped.
    tasks: JoinSet<()>,
}

impl Mailbox {
    /// A server that meets its first clients so, one after the other, and is kind to all that
    /// follow.
    pub async fn start(manners: impl IntoIterator<Item = Manner>) -> Self {
        let mut server = Self {
            port: port::free(),
            received: Arc::default(),
            connected: Arc::default(),
            tasks: JoinSet::new(),
        };
        server.listen(manners.into_iter().collect()).await;
        server
    }

    /// The address that it listens on.
    #[must_use]
    pub fn host(&self) -> String {
        Ipv4Addr::LOCALHOST.to_string()
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Wait for a client.
    pub async fn connected(&self) {
        self.connected.notified().await;
    }

    /// What has arrived so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stop it, in the middle of whatever it does.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Start it after a [stop](Self::stop), with its mails and on the same port.
    pub async fn start_again(&mut self) {
        self.listen(VecDeque::new()).await;
    }

    async fn listen(&mut self, mut manners: VecDeque<Manner>) {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.expect("the port is free");
        let (received, connected) = (Arc::clone(&self.received), Arc::clone(&self.connected));
        self.tasks.spawn(async move {
            // Ends with this task.
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connected.notify_one();
                clients.spawn(serve(
                    stream,
                    manners.pop_front().unwrap_or(Manner::Kind),
                    Arc::clone(&received),
                ));
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    manner: Manner,
    received: Arc<Mutex<Vec<Received>>>,
) -> io::Result<()> {
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
                    // All but the end is kept, and dots that were doubled on the way are single
                    // again (RFC 5321, 4.5.2).
                    let data = argument.to_owned();
                    let mail =
                        Received { login: login.clone(), from: from.clone(), to: to.clone(), data };
                    received.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
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
