//! Jobs of videos.

use hyper::{Method, StatusCode};
use jobs::{JobId, Recipe};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::client::{Client, empty, origin, parse};
use crate::error::Error;
use crate::retry::{Call, idempotency_key};

/// Maximum number of jobs on a page of the list.
const PAGE: usize = 100;

/// States in which a job stays.
const FINAL: [&str; 4] = ["DONE", "FAILED", "CANCELLED", "EXPIRED"];

/// Progress of an attempt.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Progress {
    /// Number of frames that are finished.
    pub done: u64,
    /// Number of frames that are expected, once it is known.
    pub expected: Option<u64>,
}

/// Video that was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AcceptedVideo {
    /// Id of the job.
    pub job_id: JobId,
    /// File name of the video.
    pub filename: String,
    /// State of the job.
    pub status: String,
}

/// Response to a request that creates jobs.
#[derive(Debug, Deserialize)]
pub(crate) struct Accepted {
    jobs: Vec<AcceptedVideo>,
}

impl Accepted {
    /// The only job.
    pub fn only(self, client: &Client) -> Result<AcceptedVideo, Error> {
        self.jobs.into_iter().next().ok_or_else(|| Error::Invalid {
            origin: client.server().to_string(),
            reason: "it names no job".to_owned(),
        })
    }
}

/// Job as the service describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Id of the job.
    pub id: JobId,
    /// File name of the video.
    pub filename: String,
    /// State. A later version of the service may have others.
    pub status: String,
    /// Progress of the current attempt.
    pub progress: Progress,
    /// Size of the video, in bytes.
    pub video_size_bytes: u64,
    /// Number of frames in the archive.
    pub frame_count: Option<u64>,
    /// Size of the archive, in bytes.
    pub zip_size_bytes: Option<u64>,
    /// Stable code of the failure.
    pub error_code: Option<String>,
    /// Explanation of the failure.
    pub error_message: Option<String>,
    /// Time at which the video was accepted.
    pub created_at: String,
    /// Everything else.
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Job {
    /// Return whether the state does not change any more by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        is_final(&self.status)
    }
}

/// Return whether a job stays in a state.
pub(crate) fn is_final(status: &str) -> bool {
    FINAL.contains(&status)
}

impl Client {
    /// Return a job.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn job(&self, id: JobId) -> Result<Job, Error> {
        Call::get(&format!("/videos/{id}")).send(self).await
    }

    /// Return the newest jobs, newest first, of one state if it is given.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn jobs(&self, status: Option<&str>, limit: usize) -> Result<Vec<Job>, Error> {
        let filter = status.map(|status| format!("&status={status}")).unwrap_or_default();
        let mut jobs: Vec<Job> = Vec::new();
        while jobs.len() < limit {
            let wanted = (limit - jobs.len()).min(PAGE);
            let cursor = jobs.last().map(|last| format!("&cursor={}", last.id)).unwrap_or_default();
            let path = format!("/videos?limit={wanted}{filter}{cursor}");
            let page: Vec<Job> = Call::get(&path).send(self).await?;
            let is_last = page.len() < wanted;
            jobs.extend(page);
            if is_last {
                break;
            }
        }
        jobs.truncate(limit);
        Ok(jobs)
    }

    /// Cancel a job that is not finished, and return it.
    ///
    /// # Errors
    /// `JOB_FINISHED`, among others.
    pub async fn cancel(&self, id: JobId) -> Result<Job, Error> {
        let request = self.request(Method::DELETE, &format!("/videos/{id}?action=cancel"));
        self.json(empty(request)?).await
    }

    /// Delete a finished job with its files.
    ///
    /// # Errors
    /// `JOB_NOT_FINISHED`, among others.
    pub async fn delete(&self, id: JobId) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &format!("/videos/{id}?action=delete"));
        let request = empty(request)?;
        let origin = origin(request.uri());
        let response = self.send(request).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        parse::<Value>(origin, response).await.map(drop)
    }

    /// Create another job of the video of a job, with a recipe, else with the one of the job.
    ///
    /// # Errors
    /// `VIDEO_EXPIRED`, among others.
    pub async fn process_again(
        &self,
        id: JobId,
        recipe: Option<&Recipe>,
    ) -> Result<AcceptedVideo, Error> {
        let recipe = match recipe {
            Some(recipe) => json!(recipe),
            None => self.job(id).await?.others.remove("recipe").unwrap_or_else(|| json!({})),
        };
        let (path, key) = (format!("/videos/{id}/jobs"), idempotency_key());
        let body = json!({ "recipe": recipe });
        let call = Call {
            method: Method::POST,
            path: &path,
            json: Some(&body),
            idempotency_key: Some(&key),
        };
        call.send::<Accepted>(self).await?.only(self)
    }
}
