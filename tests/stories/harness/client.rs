//! HTTP clients of a service, and its users.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::StreamExt;
use reqwest::header::CONTENT_TYPE;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::checks::TIMEOUT;
use super::clips::{clip_bytes, with_decoder_command};

/// A password that satisfies all rules.
pub const PASSWORD: &str = "Praia#2026";

/// HTTP client of one process.
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// Client of the process at `address:port`.
    pub fn of(address: &str) -> Self {
        Self { base: format!("http://{address}"), http: reqwest::Client::new() }
    }

    /// Base URL of the process.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request without an access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url).timeout(TIMEOUT)
    }

    /// Register a new user and log in.
    pub async fn user(&self) -> User<'_> {
        self.user_of("en").await
    }

    /// Register a new user with a language, and log in.
    pub async fn user_of(&self, language: &str) -> User<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let email = format!("user{}@example.com", NUMBER.fetch_add(1, Ordering::Relaxed));
        let registration =
            json!({ "email": email, "password": PASSWORD, "name": "Ana", "language": language });
        let (status, account) =
            fetch_json(self.request(Method::POST, "/auth/register").json(&registration)).await;
        assert_eq!(status, StatusCode::CREATED, "{account}");
        let id = account["id"].as_str().expect("an id").to_owned();
        let Tokens { access, refresh } = log_in(self, &email).await;
        User { client: self, id, email, access, refresh }
    }
}

/// Tokens of a session.
struct Tokens {
    access: String,
    refresh: String,
}

/// Log in with [`PASSWORD`].
async fn log_in(client: &Client, email: &str) -> Tokens {
    let credentials = json!({ "email": email, "password": PASSWORD });
    let (status, session) =
        fetch_json(client.request(Method::POST, "/auth/login").json(&credentials)).await;
    assert_eq!(status, StatusCode::OK, "{session}");
    let token = |name: &str| session[name].as_str().expect("a token").to_owned();
    Tokens { access: token("access_token"), refresh: token("refresh_token") }
}

/// A user who is logged in at a process.
pub struct User<'a> {
    /// Client of the process.
    pub client: &'a Client,
    /// Id of the user.
    pub id: String,
    /// Mail address.
    pub email: String,
    /// Access token.
    pub access: String,
    /// Refresh token.
    pub refresh: String,
}

impl User<'_> {
    /// The user, independent of the process.
    pub fn account(&self) -> Account {
        let [id, email, access, refresh] =
            [&self.id, &self.email, &self.access, &self.refresh].map(Clone::clone);
        Account { id, email, access, refresh }
    }

    /// A request with the user's access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).bearer_auth(&self.access)
    }

    /// Log in again, after the access token has expired.
    pub async fn log_in_again(&mut self) {
        let Tokens { access, refresh } = log_in(self.client, &self.email).await;
        (self.access, self.refresh) = (access, refresh);
    }

    /// Create an API key with these scopes.
    pub async fn create_key(&self, scopes: &[&str]) -> ApiKey {
        let fields = json!({ "name": "Import", "scopes": scopes, "password": PASSWORD });
        let (status, created) = fetch_json(self.request(Method::POST, "/keys").json(&fields)).await;
        assert_eq!(status, StatusCode::CREATED, "{created}");
        let text = |name: &str| created[name].as_str().expect("a text").to_owned();
        ApiKey { id: text("id"), key: text("key") }
    }

    /// The user, as a program with a key in place of the access token.
    pub fn with_key(&self, key: &ApiKey) -> User<'_> {
        let mut account = self.account();
        account.access.clone_from(&key.key);
        account.at(self.client)
    }

    /// Get a resource as JSON.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        fetch_json(self.request(Method::GET, path)).await
    }

    /// Delete a resource.
    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        fetch_json(self.request(Method::DELETE, path)).await
    }

    /// Upload files under their names.
    pub async fn upload(&self, files: &[(&str, Vec<u8>)]) -> (StatusCode, Value) {
        fetch_json(self.request(Method::POST, "/videos/upload").multipart(form(files))).await
    }

    /// Upload a clip and return the id of its job.
    pub async fn upload_clip(&self, clip: &str) -> String {
        let (status, accepted) = self.upload(&[(clip, clip_bytes(clip))]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        job_id(&accepted)
    }

    /// Upload a clip whose processing does not end, and return the id of its job.
    pub async fn upload_endless(&self) -> String {
        let clip = with_decoder_command("waits");
        let (status, accepted) = self.upload(&[("waits.avi", clip)]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        job_id(&accepted)
    }

    /// A job's history in short: a line such as `QUEUED>PROCESSING 1` for each change, with the
    /// attempt and the failure code if there is one.
    pub async fn history(&self, job: &str) -> Vec<String> {
        let (status, report) = self.get(&format!("/jobs/{job}/status")).await;
        assert_eq!(status, StatusCode::OK, "{report}");
        let line = |line: &Value| {
            let states =
                ["old_state", "new_state"].map(|state| line[state].as_str().unwrap_or("-"));
            let attempt =
                line["attempt"].as_u64().map(|attempt| format!(" {attempt}")).unwrap_or_default();
            let failure =
                line["error_code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
            format!("{}>{}{attempt}{failure}", states[0], states[1])
        };
        report["history"].as_array().expect("a history").iter().map(line).collect()
    }

    /// Wait until a job is in one of these states, and return its description.
    pub async fn wait_for(&self, job: &str, states: &[&str]) -> Value {
        let events = self
            .request(Method::GET, &format!("/jobs/{job}/events"))
            .send()
            .await
            .expect("events are streamed");
        assert_eq!(events.status(), StatusCode::OK);
        let mut stream = events.bytes_stream();
        let seen = tokio::time::timeout(TIMEOUT, async {
            let mut text = String::new();
            while let Some(Ok(bytes)) = stream.next().await {
                text += &String::from_utf8_lossy(&bytes);
                if statuses(&text).last().is_some_and(|last| states.contains(&last.as_str())) {
                    break;
                }
            }
            text
        });
        let seen = seen.await.unwrap_or_else(|_| panic!("job {job} does not reach {states:?}"));
        let (status, view) = self.get(&format!("/videos/{job}")).await;
        assert_eq!(status, StatusCode::OK);
        let now = view["status"].as_str().unwrap_or_default();
        assert!(
            states.contains(&now),
            "job {job} reached {now} instead of {states:?}: {seen} {view}"
        );
        view
    }

    /// Wait until a job is done, and return its description.
    pub async fn wait_until_done(&self, job: &str) -> Value {
        self.wait_for(job, &["DONE"]).await
    }

    /// Wait until a worker has written the first frames of a job.
    pub async fn wait_for_first_frames(&self, job: &str) {
        super::checks::eventually("the first frames", || async {
            let view = self.get(&format!("/videos/{job}")).await.1;
            view["progress"]["done"].as_u64().filter(|done| *done > 0)
        })
        .await;
    }

    /// Download a job's archive.
    pub async fn archive(&self, job: &str) -> Vec<u8> {
        let (status, link) = self.get(&format!("/jobs/{job}/download")).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        let url = link["download_url"].as_str().expect("a link");
        let response = self.client.request(Method::GET, url).send().await.expect("the link works");
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.expect("the download completes").to_vec()
    }
}

/// API key of a user.
pub struct ApiKey {
    /// Id of the key.
    pub id: String,
    /// The key.
    pub key: String,
}

/// A user, independent of the process that serves them.
pub struct Account {
    id: String,
    email: String,
    access: String,
    refresh: String,
}

impl Account {
    /// The user, as a client of a process on the same data.
    pub fn at<'a>(&self, client: &'a Client) -> User<'a> {
        let [id, email, access, refresh] =
            [&self.id, &self.email, &self.access, &self.refresh].map(Clone::clone);
        User { client, id, email, access, refresh }
    }
}

/// Number of allowed downloads among `times` requests of a user, made at two processes by turns.
pub async fn allowed_downloads(users: [&User<'_>; 2], job: &str, times: usize) -> usize {
    let mut allowed = 0;
    for turn in 0..times {
        let (status, body) = users[turn % 2].get(&format!("/jobs/{job}/download")).await;
        assert!(
            matches!(status, StatusCode::OK | StatusCode::TOO_MANY_REQUESTS),
            "{status}: {body}"
        );
        allowed += usize::from(status == StatusCode::OK);
    }
    allowed
}

/// States in a stream of events, in their order.
fn statuses(events: &str) -> Vec<String> {
    events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok())
        .filter_map(|event| Some(event["status"].as_str()?.to_owned()))
        .collect()
}

/// Id of the first job that an upload created.
pub fn job_id(accepted: &Value) -> String {
    accepted["job_id"].as_str().unwrap_or_else(|| panic!("no job was created: {accepted}")).into()
}

/// A form of files under their names.
pub fn form(files: &[(&str, Vec<u8>)]) -> Form {
    files.iter().fold(Form::new(), |form, (name, bytes)| {
        form.part("file", Part::bytes(bytes.clone()).file_name((*name).to_owned()))
    })
}

/// Log-in of a client of OAuth 2.0 with these parameters.
pub fn oauth_log_in(client: &Client, parameters: &[(&str, &str)]) -> RequestBuilder {
    let body = Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request = client.request(Method::POST, "/auth/login").body(body);
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
}

/// Send a request and return the status and the JSON of the response; null if it has no body.
pub async fn fetch_json(request: RequestBuilder) -> (StatusCode, Value) {
    let response: Response = request.send().await.expect("the service responds");
    let status = response.status();
    let body = response.bytes().await.expect("the response completes");
    let value = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).expect("responses are JSON")
    };
    (status, value)
}
