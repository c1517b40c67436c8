//! What the stories of the service share: a service of their own, users, uploads and what is left
//! behind.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use app::serve::{Roles, Running};
use app::settings::Settings;
use broker::Queue;
use futures_util::StreamExt;
use jobs::Clock;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::{PATIENCE, fixtures, program};
use crate::letters::{Letter, distinct, letters, write_down};
use crate::parts::{Parts, Places, objects};

/// A password that keeps all rules.
pub const PASSWORD: &str = "Praia#2026";

/// A service in this process, on a data directory of its own.
pub struct Service {
    /// Its data directory.
    pub directory: tempfile::TempDir,
    /// Its own places on servers, if it stands on them.
    pub places: Option<Places>,
    /// Its clock.
    pub clock: Clock,
    /// It itself.
    pub running: Running,
    client: Client,
}

/// Who talks to a service over HTTP.
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Deref for Service {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Client {
    /// Talk to the service at `address:port`.
    pub fn of(address: &str) -> Self {
        Self { base: format!("http://{address}"), http: reqwest::Client::new() }
    }

    /// Where the service listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request without an access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url =
            if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) };
        self.http.request(method, url).timeout(PATIENCE)
    }

    /// Register somebody new and log in.
    pub async fn user(&self) -> User<'_> {
        self.user_of("en").await
    }

    /// Register somebody new who reads this language, and log in.
    pub async fn user_of(&self, language: &str) -> User<'_> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let email = format!("user{}@example.com", NUMBER.fetch_add(1, Ordering::Relaxed));
        let registration =
            json!({ "email": email, "password": PASSWORD, "name": "Ana", "language": language });
        let (status, account) =
            answer(self.request(Method::POST, "/auth/register").json(&registration)).await;
        assert_eq!(status, StatusCode::CREATED, "{account}");
        let credentials = json!({ "email": email, "password": PASSWORD });
        let (status, session) =
            answer(self.request(Method::POST, "/auth/login").json(&credentials)).await;
        assert_eq!(status, StatusCode::OK, "{session}");
        let token = |name: &str| session[name].as_str().expect("a token").to_owned();
        let (access, refresh) = (token("access_token"), token("refresh_token"));
        User {
            client: self,
            id: account["id"].as_str().expect("an id").to_owned(),
            email,
            access,
            refresh,
        }
    }
}

/// The settings of a service on a data directory and embedded parts.
pub fn settings(directory: &Path) -> Settings {
    settings_on(directory, None)
}

/// The settings of a service on a data directory and these places.
fn settings_on(directory: &Path, places: Option<&Places>) -> Settings {
    let told = |name: &str| places?.told_of(name);
    let mut settings = app::settings::load(None, told, app::settings::Overrides::default())
        .expect("they are right");
    directory.clone_into(&mut settings.data_dir);
    settings.server.listen = "127.0.0.1:0".parse().expect("it is an address");
    settings.worker.cell_program = Some(program());
    settings
}

impl Service {
    /// Start one on embedded parts with the default settings.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Start one on embedded parts with other settings.
    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::on(Parts::Embedded, change).await
    }

    /// Start one on these parts with other settings.
    pub async fn on(parts: Parts, change: impl FnOnce(&mut Settings)) -> Self {
        Self::at(crate::harness::scratch(), parts.places().await, Clock::default(), change).await
    }

    /// Start one where another may have been.
    pub async fn at(
        directory: tempfile::TempDir,
        places: Option<Places>,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = settings_on(directory.path(), places.as_ref());
        change(&mut settings);
        let running =
            Running::start(settings, Roles::ALL, clock.clone()).await.expect("the service starts");
        let client = Client::of(&running.address().expect("it serves").to_string());
        Self { directory, places, clock, running, client }
    }

    /// Its store.
    pub fn storage(&self) -> &dyn storage::Storage {
        &*self.running.upkeep().storage
    }

    /// All files that it stores, by their path from the store's root, with their size. What is
    /// being written lies in `unfinished/`; an S3 store does not tell its name and size.
    pub async fn files(&self) -> BTreeMap<String, u64> {
        let Some(places) = &self.places else { return stored(self.directory.path()) };
        let mut files = objects(self.storage()).await;
        files.extend(
            (0..places.unfinished().await).map(|number| (format!("unfinished/{number}"), 0)),
        );
        files
    }

    /// Its rows.
    pub fn database(&self) -> &database::Database {
        &self.running.upkeep().database
    }

    /// The mails that it has sent, as they were written.
    pub fn mails(&self) -> Vec<String> {
        if let Some(places) = &self.places {
            return places.mailbox.received().into_iter().map(|mail| mail.data).collect();
        }
        let directory = self.directory.path().join("mails");
        let Ok(entries) = directory.read_dir() else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        // What is being written has another suffix, and may have its own by the time it is read.
        let written = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "eml"));
        written.map(|path| std::fs::read_to_string(path).expect("a mail is text")).collect()
    }

    /// Stop it once it has sent so many mails and has nothing more to do; gives all mails, which
    /// have to be so many, and each sent once.
    pub async fn letters(self, count: usize) -> Vec<Letter> {
        let (letters, repeated) = self.told(count).await;
        assert_eq!(repeated, 0, "mails were sent twice: {letters:?}");
        letters
    }

    /// The same for a service that was killed, perhaps when a mail had been sent and that had not
    /// been noted: it goes out again then, under the same name, which mail programs show once. Says
    /// how often that happened.
    pub async fn told(self, count: usize) -> (Vec<Letter>, usize) {
        eventually("the mails", || async { (distinct(self.mails()).len() >= count).then_some(()) })
            .await;
        self.quiet().await;
        self.running.stopper().cancel();
        let rows = self.database().clone();
        let (directory, places) = (self.directory, self.places);
        self.running.ended().await.expect("it stops well");
        let due = rows.take_notifications(100, Duration::ZERO).await.expect("it answers");
        assert!(due.is_empty(), "more is to be told: {due:?}");
        let mut repeated = 0;
        if let Some(places) = places {
            let sent: Vec<String> =
                places.mailbox.received().into_iter().map(|mail| mail.data).collect();
            repeated = sent.len();
            let sent = distinct(sent);
            repeated -= sent.len();
            write_down(&sent, directory.path());
        }
        let letters = letters(directory.path());
        assert_eq!(letters.len(), count, "{letters:?}");
        (letters, repeated)
    }

    /// Wait until no message waits for anybody.
    pub async fn quiet(&self) {
        eventually("no message waits", || async {
            let outbox = self.database().next_outgoing().await.expect("the database answers");
            let mut waiting = u64::from(outbox.is_some());
            for queue in Queue::ALL {
                waiting += self
                    .running
                    .upkeep()
                    .broker
                    .message_count(queue)
                    .await
                    .expect("the broker answers");
            }
            (waiting == 0).then_some(())
        })
        .await;
    }

    /// Let time pass at once.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Stop it gracefully.
    pub async fn stop(self) -> tempfile::TempDir {
        self.running.stopper().cancel();
        self.running.ended().await.expect("it stops well");
        self.directory
    }
}

/// All files under a data directory's store, by their path from its root, with their size.
pub fn stored(data_directory: &Path) -> BTreeMap<String, u64> {
    let root = data_directory.join("files");
    let (mut found, mut left) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(directory) = left.pop() {
        // Directories come and go under a running service.
        let Ok(entries) = directory.read_dir() else { continue };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                Ok(file) => {
                    let path = entry
                        .path()
                        .strip_prefix(&root)
                        .expect("it lies there")
                        .to_string_lossy()
                        .into_owned();
                    found.insert(path, file.len());
                }
                Err(_) => {}
            }
        }
    }
    found
}

/// Somebody who is logged in.
pub struct User<'a> {
    /// Where.
    pub client: &'a Client,
    /// Who.
    pub id: String,
    /// By which address.
    pub email: String,
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

impl User<'_> {
    /// The user, wherever.
    pub fn account(&self) -> Account {
        let [id, email, access, refresh] =
            [&self.id, &self.email, &self.access, &self.refresh].map(Clone::clone);
        Account { id, email, access, refresh }
    }

    /// A request with the user's access token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).bearer_auth(&self.access)
    }

    /// Log in again, after so much time that the access token has expired.
    pub async fn log_in_again(&mut self) {
        let credentials = json!({ "email": self.email, "password": PASSWORD });
        let (status, session) =
            answer(self.client.request(Method::POST, "/auth/login").json(&credentials)).await;
        assert_eq!(status, StatusCode::OK, "{session}");
        let token = |name: &str| session[name].as_str().expect("a token").to_owned();
        (self.access, self.refresh) = (token("access_token"), token("refresh_token"));
    }

    /// Get something as JSON.
    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    /// Delete something.
    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::DELETE, path)).await
    }

    /// Upload files under their names.
    pub async fn upload(&self, files: &[(&str, Vec<u8>)]) -> (StatusCode, Value) {
        answer(self.request(Method::POST, "/videos/upload").multipart(form(files))).await
    }

    /// Upload a clip of the fixtures and give its job's id.
    pub async fn send(&self, clip: &str) -> String {
        let (status, accepted) = self.upload(&[(clip, bytes_of(clip))]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{accepted}");
        accepted["job_id"].as_str().expect("an id").to_owned()
    }

    /// A job's history in short: a line such as `QUEUED>PROCESSING 1` for each change, with the
    /// attempt and the failure if there is one.
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

    /// Wait until a job is in one of these states, and give it as it is then.
    pub async fn until(&self, job: &str, states: &[&str]) -> Value {
        let events = self
            .request(Method::GET, &format!("/jobs/{job}/events"))
            .send()
            .await
            .expect("events are streamed");
        assert_eq!(events.status(), StatusCode::OK);
        let mut stream = events.bytes_stream();
        let seen = tokio::time::timeout(PATIENCE, async {
            let mut text = String::new();
            while let Some(Ok(bytes)) = stream.next().await {
                text += &String::from_utf8_lossy(&bytes);
                if statuses(&text).last().is_some_and(|last| states.contains(&last.as_str())) {
                    break;
                }
            }
            text
        });
        let seen = seen.await.unwrap_or_else(|_| panic!("job {job} does not get to {states:?}"));
        let (status, view) = self.get(&format!("/videos/{job}")).await;
        assert_eq!(status, StatusCode::OK);
        let now = view["status"].as_str().unwrap_or_default();
        assert!(
            states.contains(&now),
            "job {job} went to {now} instead of {states:?}: {seen} {view}"
        );
        view
    }

    /// Wait until a job is done, and give it.
    pub async fn done(&self, job: &str) -> Value {
        self.until(job, &["DONE"]).await
    }

    /// Download a job's archive.
    pub async fn archive(&self, job: &str) -> Vec<u8> {
        let (status, link) = self.get(&format!("/jobs/{job}/download")).await;
        assert_eq!(status, StatusCode::OK, "{link}");
        let url = link["download_url"].as_str().expect("a link");
        let answer = self.client.request(Method::GET, url).send().await.expect("the link works");
        assert_eq!(answer.status(), StatusCode::OK);
        answer.bytes().await.expect("the archive comes whole").to_vec()
    }
}

/// Somebody who outlives processes.
pub struct Account {
    id: String,
    email: String,
    access: String,
    refresh: String,
}

impl Account {
    /// The user, at another process on the same data.
    pub fn at<'a>(&self, client: &'a Client) -> User<'a> {
        let [id, email, access, refresh] =
            [&self.id, &self.email, &self.access, &self.refresh].map(Clone::clone);
        User { client, id, email, access, refresh }
    }
}

/// The states that a stream of events names, in their order.
pub fn statuses(events: &str) -> Vec<String> {
    events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok())
        .filter_map(|event| Some(event["status"].as_str()?.to_owned()))
        .collect()
}

/// A form of files under their names.
pub fn form(files: &[(&str, Vec<u8>)]) -> Form {
    files.iter().fold(Form::new(), |form, (name, bytes)| {
        form.part("file", Part::bytes(bytes.clone()).file_name((*name).to_owned()))
    })
}

/// Look again and again until there is something; fail if there never is.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Status and JSON of an answer; null where it has no body.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response: Response = request.send().await.expect("the service answers");
    let status = response.status();
    let body = response.bytes().await.expect("the answer comes whole");
    let value = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).expect("answers are JSON")
    };
    (status, value)
}

/// Path of a clip.
pub fn clip(name: &str) -> PathBuf {
    fixtures().join(name)
}

/// Content of a clip.
pub fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(clip(name)).expect("the clip is there")
}
