//! A small mail server, which records the mails it receives and misbehaves on demand.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::port;

/// Behavior of the server towards one client. A misbehavior happens at an SMTP command; `CONNECT`
/// is the greeting and `.` the end of a mail.
#[derive(Debug, Clone, Copy)]
pub enum Behavior {
    /// Accept all mails.
    Accept,
    /// Reply to the command (first) with the line (second).
    Reply(&'static str, &'static str),
    /// Stop responding at the command.
    Hang(&'static str),
    /// Close the connection at the command.
    Disconnect(&'static str),
}

/// A received mail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceivedMail {
    /// Argument of AUTH.
    pub login: Option<String>,
    /// Argument of MAIL.
    pub from: String,
    /// Argument of RCPT.
    pub to: String,
    /// Headers and body.
    pub data: String,
}

/// A mail server and its received mails. It runs in the runtime of the test that starts it.
#[derive(Debug)]
pub struct Mailbox {
    port: u16,
    received: Arc<Mutex<Vec<ReceivedMail>>>,
    connected: Arc<Notify>,
    /// Tasks of the server; empty while it is stopped.
    tasks: JoinSet<()>,
}

impl Mailbox {
    /// Start a server with these behaviors towards its first clients, in their order. It accepts
    /// the mails of all later clients.
    pub async fn start(behaviors: impl IntoIterator<Item = Behavior>) -> Self {
        let mut server = Self {
            port: port::free(),
            received: Arc::default(),
            connected: Arc::default(),
            tasks: JoinSet::new(),
        };
        server.listen(behaviors.into_iter().collect()).await;
        server
    }

    /// Host name of the server.
    #[must_use]
    pub fn host(&self) -> String {
        Ipv4Addr::LOCALHOST.to_string()
    }

    /// Port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Wait until a client connects.
    pub async fn connected(&self) {
        self.connected.notified().await;
    }

    /// The mails received so far.
    #[must_use]
    pub fn received(&self) -> Vec<ReceivedMail> {
        self.received.lock().clone()
    }

    /// Stop the server immediately.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Start it after a [stop](Self::stop), with the same mails and port.
    pub async fn start_again(&mut self) {
        self.listen(VecDeque::new()).await;
    }

    async fn listen(&mut self, mut behaviors: VecDeque<Behavior>) {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.expect("the port is free");
        let (received, connected) = (Arc::clone(&self.received), Arc::clone(&self.connected));
        self.tasks.spawn(async move {
            // Ends with this task.
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connected.notify_one();
                let behavior = behaviors.pop_front().unwrap_or(Behavior::Accept);
                clients.spawn(serve(stream, behavior, Arc::clone(&received)));
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    behavior: Behavior,
    received: Arc<Mutex<Vec<ReceivedMail>>>,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut mail = ReceivedMail::default();
    let mut line = "CONNECT".to_owned();
    loop {
        let (command, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let mut reply = default_reply(command);
        match behavior {
            Behavior::Hang(at) if at == command => return std::future::pending().await,
            Behavior::Disconnect(at) if at == command => return Ok(()),
            Behavior::Reply(at, other) if at == command => reply = other,
            _ => match command {
                "AUTH" => mail.login = Some(argument.to_owned()),
                "MAIL" => argument.clone_into(&mut mail.from),
                "RCPT" => argument.clone_into(&mut mail.to),
                "." => {
                    argument.clone_into(&mut mail.data);
                    received.lock().push(mail.clone());
                }
                _ => {}
            },
        }
        write.write_all(format!("{reply}\r\n").as_bytes()).await?;
        let next = if reply.starts_with("354") {
            read_data(&mut lines).await?.map(|data| format!(". {data}"))
        } else {
            lines.next_line().await?
        };
        let Some(next) = next else { return Ok(()) };
        line = next;
    }
}

fn default_reply(command: &str) -> &'static str {
    match command {
        "CONNECT" => "220 sink ready",
        "EHLO" => "250-sink\r\n250 AUTH PLAIN",
        "AUTH" => "235 accepted",
        "MAIL" | "RCPT" | "." => "250 accepted",
        "DATA" => "354 continue",
        "QUIT" => "221 closing",
        _ => "502 unknown command",
    }
}

/// Read the content of a mail up to its end, with dots at the start of a line unescaped (RFC 5321,
/// 4.5.2). `None` if the connection ends before.
async fn read_data(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<Option<String>> {
    let mut data = String::new();
    while let Some(line) = lines.next_line().await? {
        if line == "." {
            return Ok(Some(data));
        }
        data += line.strip_prefix('.').unwrap_or(&line);
        data += "\r\n";
    }
    Ok(None)
}
