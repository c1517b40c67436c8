//! Users who try to make the service unavailable to others.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use clap::ValueEnum;
use futures_util::future::join_all;
use rand::RngExt;
use reqwest::Method;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::outcomes::Outcomes;
use super::raw;
use crate::client::{RequestError, User};

/// Kinds of attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Ten uploads at a time, slightly faster than the minimum rate.
    SlowUploads,
    /// 150 event streams at a time.
    EventStreams,
    /// 50 thumbnails a second, from ten connections.
    Thumbnails,
    /// 50 log-ins a second, whose connections are reset after 4 milliseconds.
    LogIns,
    /// Forms whose preamble or header never ends, four at a time.
    EndlessForms,
    /// Tiny videos whose jobs fail, four at a time.
    FailingVideos,
    /// 200 connections that send nothing, half a head, or half a body, or read nothing.
    SilentConnections,
}

impl Attack {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::SlowUploads,
        Self::EventStreams,
        Self::Thumbnails,
        Self::LogIns,
        Self::EndlessForms,
        Self::FailingVideos,
        Self::SilentConnections,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SlowUploads => "slow-uploads",
            Self::EventStreams => "event-streams",
            Self::Thumbnails => "thumbnails",
            Self::LogIns => "log-ins",
            Self::EndlessForms => "endless-forms",
            Self::FailingVideos => "failing-videos",
            Self::SilentConnections => "silent-connections",
        }
    }

    /// Number of attacks at a time.
    fn at_once(self) -> usize {
        match self {
            Self::SlowUploads | Self::Thumbnails | Self::LogIns => 10,
            Self::EventStreams => 150,
            Self::EndlessForms | Self::FailingVideos => 4,
            Self::SilentConnections => 200,
        }
    }

    /// Pause after each of the simultaneous attacks. The attackers share the processors with the
    /// service, and must not use them up by themselves.
    fn pause(self) -> Duration {
        match self {
            Self::EventStreams => Duration::from_secs(3),
            _ => Duration::from_millis(200),
        }
    }
}

impl Display for Attack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Pause of an attacker who reads nothing between two requests.
const PAUSE: Duration = Duration::from_millis(50);

/// A hostile user.
pub struct Attacker {
    pub user: Arc<User>,
    pub address: IpAddr,
    pub target: SocketAddr,
    pub clip: Bytes,
    pub outcomes: Arc<Outcomes>,
}

impl Attacker {
    /// Prepare an attack, and attack until the future is dropped.
    pub async fn prepare_and_run(self, attack: Attack) -> Result<()> {
        let job = match attack {
            Attack::Thumbnails | Attack::EventStreams | Attack::SilentConnections => {
                self.upload(attack).await
            }
            _ => String::new(),
        };
        join_all((0..attack.at_once()).map(|number| self.repeat(attack, number, &job))).await;
        Ok(())
    }

    /// Upload the clip, until the service accepts it.
    async fn upload(&self, attack: Attack) -> String {
        loop {
            match self.user.upload("hostile.mp4".to_owned(), &self.clip).await {
                Ok(job) => return job,
                Err(error) => {
                    self.outcomes.count(attack.name(), outcome_of(&error));
                    error.wait().await;
                }
            }
        }
    }

    /// Repeat one of the simultaneous attacks.
    async fn repeat(&self, attack: Attack, number: usize, job: &str) {
        loop {
            let outcome = match attack {
                Attack::SlowUploads => self.upload_slowly().await,
                Attack::EventStreams => result(self.user.watch(job, |_| {}).await),
                Attack::Thumbnails => self.fetch_thumbnail(job).await,
                Attack::LogIns => self.log_in().await,
                Attack::EndlessForms => self.send_endless_form(number).await,
                Attack::FailingVideos => {
                    let broken = self.clip.slice(..self.clip.len().min(4096));
                    result(self.user.upload("broken.mp4".to_owned(), &broken).await)
                }
                Attack::SilentConnections => self.stay_silent(number, job).await,
            };
            self.outcomes.count(attack.name(), outcome);
            sleep(attack.pause()).await;
        }
    }

    /// Send bytes on a new connection until the service responds or closes it.
    async fn send(&self, head: &[u8], piece: &[u8], pause: Duration) -> String {
        match raw::connect(self.address, self.target).await {
            Ok(stream) => raw::send_endlessly(stream, head, piece, pause).await,
            Err(error) => error.kind().to_string(),
        }
    }

    /// Head of a request with a large body, as this user.
    async fn head(&self, line: &str) -> Vec<u8> {
        let token = self.user.token().await.unwrap_or_default();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: multipart/form-data; boundary=line\r\nContent-Length: 400000000\r\n\r\n",
            self.target
        );
        head.into_bytes()
    }

    async fn upload_slowly(&self) -> String {
        let mut head = self.head("POST /videos/upload").await;
        head.extend(b"--line\r\nContent-Disposition: form-data; name=\"file\"; ");
        head.extend(b"filename=\"slow.mp4\"\r\n\r\n");
        head.extend(self.clip.iter().take(4096));
        self.send(&head, &[0; 5_000], Duration::from_millis(250)).await
    }

    async fn fetch_thumbnail(&self, job: &str) -> String {
        let (number, width) = {
            let mut random = rand::rng();
            (random.random_range(1..=5), 16 * random.random_range(1..=40))
        };
        let path = format!("/jobs/{job}/frames/{number}?width={width}");
        result(self.user.fetch(&path).await)
    }

    async fn log_in(&self) -> String {
        let email = format!("victim{:x}@example.com", rand::random::<u32>());
        let credentials = json!({ "email": email, "password": "Praia#2027" });
        let request = self.user.anonymous_request(Method::POST, "/auth/login").json(&credentials);
        match timeout(Duration::from_millis(4), request.send()).await {
            Ok(Ok(response)) => response.status().as_u16().to_string(),
            Ok(Err(_)) => "closed".to_owned(),
            Err(_) => "reset".to_owned(),
        }
    }

    async fn send_endless_form(&self, number: usize) -> String {
        let mut head = self.head("POST /videos/upload").await;
        if number.is_multiple_of(2) {
            head.extend(b"--line\r\nX-Endless: ");
        }
        self.send(&head, &[b'a'; 1024], Duration::from_millis(1)).await
    }

    async fn stay_silent(&self, number: usize, job: &str) -> String {
        let head = match number % 4 {
            0 => Vec::new(),
            1 => b"GET /videos HTTP/1.1\r\nHost: a\r\nX-Half: ".to_vec(),
            2 => b"POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                   Content-Length: 100\r\n\r\n{\"email\":"
                .to_vec(),
            _ => {
                let token = self.user.token().await.unwrap_or_default();
                let request = format!(
                    "GET /jobs/{job}/frames/1 HTTP/1.1\r\nHost: a\r\n\
                     Authorization: Bearer {token}\r\n\r\n"
                );
                return self.read_nothing(request.as_bytes()).await;
            }
        };
        self.send(&head, b"", Duration::from_hours(1)).await
    }

    /// Request frames again and again, and never read the responses.
    async fn read_nothing(&self, request: &[u8]) -> String {
        use tokio::io::AsyncWriteExt;
        let Ok(mut stream) = raw::connect(self.address, self.target).await else {
            return "refused".to_owned();
        };
        while stream.write_all(request).await.is_ok() {
            sleep(PAUSE).await;
        }
        "closed".to_owned()
    }
}

fn outcome_of(error: &RequestError) -> String {
    match error {
        RequestError::Rejected { status, .. } => status.as_u16().to_string(),
        RequestError::NoResponse(_) => "closed".to_owned(),
    }
}

fn result<T>(result: Result<T, RequestError>) -> String {
    result.map_or_else(|error| outcome_of(&error), |_| "2xx".to_owned())
}
