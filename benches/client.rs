//! A logged-in user of a service under measurement.

use std::time::Duration;

use bytes::Bytes;
use jobs::UserId;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// Result of a step of a measurement. An error ends the measurement.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A logged-in user. Clones share the session.
#[derive(Clone)]
pub struct User {
    base: String,
    http: reqwest::Client,
    token: String,
    /// Id of the user.
    pub id: UserId,
}

impl User {
    /// Register a user with this name at the service with this base URL, and log in.
    pub async fn register(base: &str, name: &str) -> Result<Self> {
        let http = reqwest::Client::new();
        let email = format!("{name}@example.com");
        let account = json!({ "email": email, "password": "Praia#2026", "name": name });
        let registered: Value =
            http.post(format!("{base}/auth/register")).json(&account).send().await?.json().await?;
        let session: Value =
            http.post(format!("{base}/auth/login")).json(&account).send().await?.json().await?;
        let token = session["access_token"].as_str().ok_or("no access token")?.to_owned();
        let id = registered["id"].as_str().ok_or("no user id")?.parse()?;
        Ok(Self { base: base.to_owned(), http, token, id })
    }

    /// Upload a clip `times` times in one request and return the response. The clip is sent from
    /// memory, so the time is the service's.
    pub async fn upload(&self, clip: &Bytes, times: usize) -> Result<Value> {
        let part =
            || Part::stream_with_length(clip.clone(), clip.len() as u64).file_name("clip.mp4");
        self.send((0..times).fold(Form::new(), |form, _| form.part("file", part()))).await
    }

    async fn send(&self, form: Form) -> Result<Value> {
        let response = self
            .http
            .post(format!("{}/videos/upload", self.base))
            .bearer_auth(&self.token)
            .multipart(form)
            .send()
            .await?;
        let (status, body) = (response.status(), response.text().await?);
        if status != 202 {
            return Err(format!("the upload failed with status {status}: {body}").into());
        }
        Ok(serde_json::from_str(&body)?)
    }

    /// Upload a clip by the protocol of resumable uploads (tus 1.0.0), in one piece.
    pub async fn upload_resumable(&self, clip: &Bytes) -> Result<()> {
        const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
        let created = self
            .http
            .post(format!("{}/uploads", self.base))
            .bearer_auth(&self.token)
            .header(TUS.0, TUS.1)
            .header("Upload-Length", clip.len())
            // `clip.mp4` in Base64.
            .header("Upload-Metadata", "filename Y2xpcC5tcDQ=")
            .send()
            .await?
            .error_for_status()?;
        let path = created.headers().get("location").ok_or("no path")?.to_str()?;
        let received = self
            .http
            .patch(format!("{}{path}", self.base))
            .bearer_auth(&self.token)
            .header(TUS.0, TUS.1)
            .header("Upload-Offset", 0)
            .header("Content-Type", "application/offset+octet-stream")
            .body(clip.clone())
            .send()
            .await?
            .error_for_status()?;
        received.headers().get("x-job-id").ok_or("no job")?;
        Ok(())
    }

    /// Return the JSON response of a GET request.
    ///
    /// # Errors
    /// No response, or a status other than 2xx.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.base)).bearer_auth(&self.token);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Wait until no job is left in the queue, and check that `count` jobs are done. Asking takes
    /// processor time from the jobs, so it must not be frequent.
    pub async fn wait_until_done(&self, count: usize) -> Result<()> {
        loop {
            let waiting = self.get("/videos?status=QUEUED&limit=1").await?;
            let running = self.get("/videos?status=PROCESSING&limit=1").await?;
            if [waiting, running].iter().all(|jobs| jobs.as_array().is_some_and(Vec::is_empty)) {
                let done = self.ids("DONE").await?.len();
                return if done == count {
                    Ok(())
                } else {
                    Err(format!("{done} of {count} jobs are done").into())
                };
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    async fn ids(&self, status: &str) -> Result<Vec<String>> {
        let mut ids: Vec<String> = Vec::new();
        loop {
            let cursor = ids.last().map(|last| format!("&cursor={last}")).unwrap_or_default();
            let page = self.get(&format!("/videos?status={status}&limit=100{cursor}")).await?;
            let page = page.as_array().ok_or("the list of jobs is not an array")?;
            if page.is_empty() {
                return Ok(ids);
            }
            ids.extend(page.iter().filter_map(|job| Some(job["id"].as_str()?.to_owned())));
        }
    }

    /// Delete all jobs that are done, with their files.
    pub async fn delete_all(&self) -> Result<()> {
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
