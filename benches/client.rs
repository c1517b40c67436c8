//! Somebody who is logged in to a service that is measured.

use std::time::Duration;

use bytes::Bytes;
use jobs::UserId;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// What can go wrong with a measurement, which ends it.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Somebody who is logged in. Clones are the same.
#[derive(Clone)]
pub struct User {
    base: String,
    http: reqwest::Client,
    token: String,
    /// Who it is.
    pub id: UserId,
}

impl User {
    /// Register at the service with this base URL under a name of its own, and log in.
    pub async fn register(base: &str, name: &str) -> Result<Self> {
        let http = reqwest::Client::new();
        let account = json!({ "email": format!("{name}@example.com"), "password": "Praia#2026", "name": name });
        let registered: Value =
            http.post(format!("{base}/auth/register")).json(&account).send().await?.json().await?;
        let session: Value =
            http.post(format!("{base}/auth/login")).json(&account).send().await?.json().await?;
        let token = session["access_token"].as_str().ok_or("a token")?.to_owned();
        let id = registered["id"].as_str().ok_or("an id")?.parse()?;
        Ok(Self { base: base.to_owned(), http, token, id })
    }

    /// Upload a clip so many times in one request. It is sent from memory, so that what it takes is
    /// the service's time.
    pub async fn upload(&self, clip: &Bytes, times: usize) -> Result<Value> {
        let part =
            || Part::stream_with_length(clip.clone(), clip.len() as u64).file_name("clip.mp4");
        self.send((0..times).fold(Form::new(), |form, _| form.part("file", part()))).await
    }

    async fn send(&self, form: Form) -> Result<Value> {
        let answer = self
            .http
            .post(format!("{}/videos/upload", self.base))
            .bearer_auth(&self.token)
            .multipart(form)
            .send()
            .await?;
        let (status, body) = (answer.status(), answer.text().await?);
        if status != 202 {
            return Err(format!("the upload was answered with {status}: {body}").into());
        }
        Ok(serde_json::from_str(&body)?)
    }

    /// Get something as JSON.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let answer =
            self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Wait until so many jobs are done; asking is cheap beside what is waited for.
    pub async fn all_done(&self, many: usize) -> Result<()> {
        loop {
            let (_, waiting) = self.get("/videos?status=QUEUED&limit=1").await?;
            let (_, running) = self.get("/videos?status=PROCESSING&limit=1").await?;
            if [waiting, running].iter().all(|jobs| jobs.as_array().is_some_and(Vec::is_empty)) {
                let done = self.ids("DONE").await?.len();
                return if done == many {
                    Ok(())
                } else {
                    Err(format!("{done} of {many} jobs are done").into())
                };
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn ids(&self, status: &str) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let cursor = ids.last().map(|last| format!("&cursor={last}")).unwrap_or_default();
            let (_, page) = self.get(&format!("/videos?status={status}&limit=100{cursor}")).await?;
            let page = page.as_array().ok_or("a page")?;
            if page.is_empty() {
                return Ok(ids);
            }
            ids.extend(page.iter().filter_map(|job| Some(job["id"].as_str()?.to_owned())));
        }
    }

    /// Delete all jobs that are done, with their files.
    pub async fn remove_all(&self) -> Result<()> {
        for id in self.ids("DONE").await? {
            self.http
                .delete(format!("{}/videos/{id}", self.base))
                .bearer_auth(&self.token)
                .send()
                .await?
                .error_for_status()?;
        }
        Ok(())
    }
}
