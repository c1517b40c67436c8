//! A user of the service, over its public HTTP interface.

use std::fs::File;
use std::io::{Seek, Write};
use std::net::IpAddr;
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

/// A password that satisfies all rules.
const PASSWORD: &str = "Praia#2026";
/// Pause before a request is repeated if the service does not state one.
const PAUSE: Duration = Duration::from_millis(500);

/// Reason why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The service rejected the request.
    #[error("status {status}, code {code}")]
    Rejected {
        status: StatusCode,
        /// Code of the problem document.
        code: String,
        /// Pause that the service requests (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// No complete response was received.
    #[error("no response: {0}")]
    NoResponse(String),
}

impl From<reqwest::Error> for RequestError {
    /// Keep the innermost cause: the outer errors only repeat the URL.
    fn from(error: reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(next) = cause.source() {
            cause = next;
        }
        Self::NoResponse(cause.to_string())
    }
}

impl RequestError {
    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Rejected { status, .. } => {
                *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
            }
            Self::NoResponse(_) => true,
        }
    }

    /// Wait until the request may be repeated.
    pub async fn wait(&self) {
        let retry_after = match self {
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::NoResponse(_) => None,
        };
        sleep(retry_after.unwrap_or(PAUSE)).await;
    }

    fn is_rate_limit(&self) -> bool {
        matches!(self, Self::Rejected { status: StatusCode::TOO_MANY_REQUESTS, .. })
    }
}

/// Create the HTTP client of all users.
pub fn http_client() -> Result<Client> {
    Client::builder().pool_max_idle_per_host(64).build().context("cannot create an HTTP client")
}

/// Create an HTTP client with a local address, by which the service knows it.
pub fn http_client_from(address: IpAddr) -> Result<Client> {
    let client = Client::builder().local_address(address).pool_max_idle_per_host(16);
    client.build().context("cannot create an HTTP client")
}

/// A user registered for this run.
pub struct User {
    http: Client,
    base: Arc<str>,
    email: String,
    session: Mutex<Session>,
}

/// An access token.
struct Session {
    token: String,
    /// Time at which the token is replaced.
    renew_at: Instant,
}

/// A downloaded archive.
pub struct Download {
    /// Temporary file without a name, at its start.
    pub file: File,
    /// Size that the service stated with the link, in bytes.
    pub stated_bytes: u64,
    /// Number of bytes received.
    pub bytes: u64,
}

/// A job in a list of jobs.
pub struct ListedJob {
    pub id: String,
    pub filename: String,
}

impl User {
    /// Register a new user at the service with this base URL, and log in. Waits while the service
    /// limits the rate.
    pub async fn register(http: &Client, base: &Arc<str>, number: usize) -> Result<Self> {
        let email = format!("load-{:016x}-{number}@example.com", rand::random::<u64>());
        let account =
            json!({ "email": email, "password": PASSWORD, "name": "Load", "language": "en" });
        loop {
            match send(http.post(format!("{base}/auth/register")).json(&account)).await {
                Ok(_) => break,
                Err(error) if error.is_rate_limit() => {
                    eprintln!("the service limits registrations; retrying");
                    error.wait().await;
                }
                Err(error) => anyhow::bail!("cannot register at {base}: {error}"),
            }
        }
        let session = loop {
            match Session::open(http, base, &email).await {
                Ok(session) => break session,
                Err(error) if error.is_rate_limit() => error.wait().await,
                Err(error) => anyhow::bail!("cannot log in at {base}: {error}"),
            }
        };
        ensure!(!session.token.is_empty(), "{base} returned no access token");
        Ok(Self { http: http.clone(), base: Arc::clone(base), email, session: Mutex::new(session) })
    }

    /// Return a valid access token.
    pub async fn token(&self) -> Result<String, RequestError> {
        let mut session = self.session.lock().await;
        if session.renew_at <= Instant::now() {
            *session = Session::open(&self.http, &self.base, &self.email).await?;
        }
        Ok(session.token.clone())
    }

    /// Request without an access token.
    pub fn anonymous_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, RequestError> {
        let token = self.token().await?;
        Ok(self.anonymous_request(method, path).bearer_auth(token))
    }

    /// Delete a job.
    pub async fn delete(&self, path: &str) -> Result<(), RequestError> {
        send(self.request(Method::DELETE, path).await?).await.map(drop)
    }

    /// Read the response of a GET request and return its size, in bytes.
    pub async fn fetch(&self, path: &str) -> Result<usize, RequestError> {
        Ok(send(self.request(Method::GET, path).await?).await?.bytes().await?.len())
    }

    /// Return the JSON response of a GET request.
    pub async fn get(&self, path: &str) -> Result<Value, RequestError> {
        Ok(send(self.request(Method::GET, path).await?).await?.json().await?)
    }

    /// Upload a video and return the id of its job. The video is sent from memory, so the time is
    /// the service's.
    pub async fn upload(&self, filename: String, video: &Bytes) -> Result<String, RequestError> {
        let length = video.len() as u64;
        let part = Part::stream_with_length(video.clone(), length).file_name(filename);
        let request = self
            .request(Method::POST, "/videos/upload")
            .await?
            .multipart(Form::new().part("file", part));
        let accepted: Value = send(request).await?.json().await?;
        let id = accepted["job_id"].as_str();
        id.map(str::to_owned).ok_or_else(|| {
            RequestError::NoResponse(format!("the response has no job id: {accepted}"))
        })
    }

    /// Call `on_state` with each state in the job's event stream, until the stream ends (HTML,
    /// 9.2.6).
    pub async fn watch(
        &self,
        job: &str,
        mut on_state: impl FnMut(&str),
    ) -> Result<(), RequestError> {
        let request = self.request(Method::GET, &format!("/jobs/{job}/events")).await?;
        let mut events = send(request).await?.bytes_stream();
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
                    on_state(status);
                }
                line.clear();
            }
        }
        Ok(())
    }

    /// Download the archive of a job.
    pub async fn download(&self, job: &str) -> Result<Download, RequestError> {
        let link = self.get(&format!("/jobs/{job}/download")).await?;
        let url = link["download_url"].as_str().unwrap_or_default();
        let stated_bytes = link["size_bytes"].as_u64().unwrap_or_default();
        // The link works without an access token.
        let mut archive = send(self.http.get(url)).await?.bytes_stream();
        let file_error = |error: std::io::Error| {
            RequestError::NoResponse(format!("cannot store the archive: {error}"))
        };
        let (mut file, mut size) = (tempfile::tempfile().map_err(file_error)?, 0);
        while let Some(bytes) = archive.next().await {
            let bytes = bytes?;
            file.write_all(&bytes).map_err(file_error)?;
            size += bytes.len() as u64;
        }
        file.rewind().map_err(file_error)?;
        Ok(Download { file, stated_bytes, bytes: size })
    }

    /// Return all jobs of the user.
    pub async fn jobs(&self) -> Result<Vec<ListedJob>, RequestError> {
        let mut jobs: Vec<ListedJob> = Vec::new();
        loop {
            let cursor = jobs.last().map(|last| format!("&cursor={}", last.id)).unwrap_or_default();
            let page = self.get(&format!("/videos?limit=100{cursor}")).await?;
            let page: Vec<_> = page.as_array().into_iter().flatten().collect();
            if page.is_empty() {
                return Ok(jobs);
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            jobs.extend(
                page.iter().map(|job| ListedJob {
                    id: text(&job["id"]),
                    filename: text(&job["filename"]),
                }),
            );
        }
    }
}

impl Session {
    async fn open(http: &Client, base: &str, email: &str) -> Result<Self, RequestError> {
        let credentials = json!({ "email": email, "password": PASSWORD });
        let session: Value =
            send(http.post(format!("{base}/auth/login")).json(&credentials)).await?.json().await?;
        let token = session["access_token"].as_str().unwrap_or_default().to_owned();
        let lifetime = Duration::from_secs(session["expires_in"].as_u64().unwrap_or_default());
        Ok(Self { token, renew_at: Instant::now() + lifetime / 2 })
    }
}

/// Send a request and return its response if the status is 2xx.
async fn send(request: RequestBuilder) -> Result<Response, RequestError> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response
        .headers()
        .get("retry-after")
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let problem: Value = response.json().await.unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or("none").to_owned();
    Err(RequestError::Rejected { status, code, retry_after })
}
