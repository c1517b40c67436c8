//! A user of the service, over its public HTTP interface.

use std::io::{Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// A password that keeps all rules.
const PASSWORD: &str = "Praia#2026";
/// Pause before something is tried again that was refused without a word of when.
const PAUSE: Duration = Duration::from_millis(500);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The service says no, with a status, the problem's code, and perhaps when it is worth trying
    /// again.
    Refused(StatusCode, String, Option<Duration>),
    /// No answer came, or not whole.
    Unanswered(String),
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        let mut said = error.to_string();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            said = next.to_string();
            cause = next;
        }
        Self::Unanswered(said)
    }
}

impl Trouble {
    /// Whether it may be gone in a moment.
    pub fn passes(&self) -> bool {
        match self {
            Self::Refused(status, ..) => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::Unanswered(_) => true,
        }
    }

    /// Wait until it is worth trying again.
    pub async fn pass(&self) {
        let told = if let Self::Refused(_, _, told) = self { *told } else { None };
        sleep(told.unwrap_or(PAUSE)).await;
    }
}

/// Who sends the requests of all users.
pub fn http() -> Result<Client> {
    Client::builder().pool_max_idle_per_host(64).build().context("cannot make connections")
}

/// Somebody who is registered for this run.
pub struct User {
    http: Client,
    base: Arc<str>,
    email: String,
    session: Mutex<Session>,
}

/// An access token, and when another is due.
struct Session {
    token: String,
    renew: Instant,
}

impl User {
    /// Register somebody new at the service with this base URL, and log in; more slowly if the
    /// service asks for it.
    pub async fn register(http: &Client, base: &Arc<str>, number: usize) -> Result<Self> {
        let email = format!("load-{:016x}-{number}@example.com", rand::random::<u64>());
        let account =
            json!({ "email": email, "password": PASSWORD, "name": "Load", "language": "en" });
        loop {
            match answered(http.post(format!("{base}/auth/register")).json(&account)).await {
                Ok(_) => break,
                Err(trouble @ Trouble::Refused(StatusCode::TOO_MANY_REQUESTS, ..)) => {
                    eprintln!("the service takes no more users at the moment; trying again");
                    trouble.pass().await;
                }
                Err(trouble) => anyhow::bail!("cannot register at {base}: {trouble:?}"),
            }
        }
        let session = loop {
            match Session::open(http, base, &email).await {
                Err(trouble @ Trouble::Refused(StatusCode::TOO_MANY_REQUESTS, ..)) => {
                    trouble.pass().await;
                }
                session => break session,
            }
        };
        let session =
            session.map_err(|trouble| anyhow::anyhow!("cannot log in at {base}: {trouble:?}"))?;
        ensure!(!session.token.is_empty(), "{base} gives no access token");
        Ok(Self { http: http.clone(), base: Arc::clone(base), email, session: Mutex::new(session) })
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Trouble> {
        let mut session = self.session.lock().await;
        if session.renew <= Instant::now() {
            *session = Session::open(&self.http, &self.base, &self.email).await?;
        }
        Ok(self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&session.token))
    }

    /// Get something as JSON.
    pub async fn get(&self, path: &str) -> Result<Value, Trouble> {
        Ok(answered(self.request(Method::GET, path).await?).await?.json().await?)
    }

    /// Upload a video under a name, and give its job's id. It is sent from memory, so that what it
    /// takes is the service's time.
    pub async fn upload(&self, name: String, video: &Bytes) -> Result<String, Trouble> {
        let part = Part::stream_with_length(video.clone(), video.len() as u64).file_name(name);
        let request = self
            .request(Method::POST, "/videos/upload")
            .await?
            .multipart(Form::new().part("file", part));
        let accepted: Value = answered(request).await?.json().await?;
        let id = accepted["job_id"].as_str();
        id.map(str::to_owned).ok_or_else(|| {
            Trouble::Unanswered(format!("an upload was accepted without an id: {accepted}"))
        })
    }

    /// Tell each state of a job that the service tells, until the stream ends (HTML, 9.2.6).
    pub async fn watch(&self, job: &str, mut told: impl FnMut(&str)) -> Result<(), Trouble> {
        let mut events = answered(self.request(Method::GET, &format!("/jobs/{job}/events")).await?)
            .await?
            .bytes_stream();
        let mut line = Vec::new();
        while let Some(bytes) = events.next().await {
            for byte in bytes? {
                if byte != b'\n' {
                    line.push(byte);
                    continue;
                }
                let event = line
                    .strip_prefix(b"data:")
                    .and_then(|data| serde_json::from_slice::<Value>(data).ok());
                if let Some(status) = event.as_ref().and_then(|event| event["status"].as_str()) {
                    told(status);
                }
                line.clear();
            }
        }
        Ok(())
    }

    /// Follow the link to an archive into a file without a name; gives it with the size that the
    /// link promised and the one that came.
    pub async fn fetch(&self, job: &str) -> Result<(std::fs::File, u64, u64), Trouble> {
        let link = self.get(&format!("/jobs/{job}/download")).await?;
        let url = link["download_url"].as_str().unwrap_or_default();
        let promised = link["size_bytes"].as_u64().unwrap_or_default();
        // Whoever has the link needs no token.
        let mut archive = answered(self.http.get(url)).await?.bytes_stream();
        let no_room = |error: std::io::Error| {
            Trouble::Unanswered(format!("the archive cannot be kept: {error}"))
        };
        let (mut file, mut size) = (tempfile::tempfile().map_err(no_room)?, 0);
        while let Some(bytes) = archive.next().await {
            let bytes = bytes?;
            file.write_all(&bytes).map_err(no_room)?;
            size += bytes.len() as u64;
        }
        file.rewind().map_err(no_room)?;
        Ok((file, promised, size))
    }

    /// Ids and names of all jobs that the service knows.
    pub async fn jobs(&self) -> Result<Vec<(String, String)>, Trouble> {
        let mut jobs: Vec<(String, String)> = Vec::new();
        loop {
            let cursor = jobs.last().map(|(id, _)| format!("&cursor={id}")).unwrap_or_default();
            let page = self.get(&format!("/videos?limit=100{cursor}")).await?;
            let page: Vec<_> = page.as_array().into_iter().flatten().collect();
            if page.is_empty() {
                return Ok(jobs);
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            jobs.extend(page.iter().map(|job| (text(&job["id"]), text(&job["filename"]))));
        }
    }
}

impl Session {
    async fn open(http: &Client, base: &str, email: &str) -> Result<Self, Trouble> {
        let credentials = json!({ "email": email, "password": PASSWORD });
        let session: Value = answered(http.post(format!("{base}/auth/login")).json(&credentials))
            .await?
            .json()
            .await?;
        let token = session["access_token"].as_str().unwrap_or_default().to_owned();
        let valid = Duration::from_secs(session["expires_in"].as_u64().unwrap_or_default());
        Ok(Self { token, renew: Instant::now() + valid / 2 })
    }
}

/// The answer to a request that was done.
async fn answered(request: RequestBuilder) -> Result<Response, Trouble> {
    let answer = request.send().await?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let told = answer
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let problem: Value = answer.json().await.unwrap_or_default();
    Err(Trouble::Refused(
        status,
        problem["code"].as_str().unwrap_or("without a code").to_owned(),
        told,
    ))
}
