//! Jobs, and the events that messages announce about them.

use jobs::message::{Cancelled, Completed, Created, Event, Failed};
use jobs::{FailureCode, JobId, Language, SourceUrl, State, StoredRecipe, Time, UserId, Warning};

use crate::error::Error;
use crate::rows::job;

/// Video at an address that a user has entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSource {
    /// Address of the video.
    pub url: SourceUrl,
    /// Size in bytes, once it is known.
    pub size_bytes: Option<u64>,
    /// `ETag` or `Last-Modified` of the version that was read last, if its server states one.
    pub validator: Option<String>,
}

/// Job, as its row describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Id of the job.
    pub id: JobId,
    /// Id of the owner.
    pub user_id: UserId,
    /// State of the job.
    pub state: State,
    /// Number of attempts so far.
    pub attempt: u32,
    /// Fence: raised by every claim, cancellation and requeue. A claim with an older fence has lost
    /// the job.
    pub fence: i64,
    /// Number of failed attempts of which the video may be the cause.
    pub charged: u32,
    /// Earliest start of the next attempt after a failure.
    pub next_attempt_at: Option<Time>,
    /// Reason why the last attempt failed.
    pub error_code: Option<FailureCode>,
    /// Technical message of that failure.
    pub error_message: Option<String>,
    /// Time of acceptance.
    pub created_at: Time,
    /// Start of the first attempt.
    pub started_at: Option<Time>,
    /// Time at which the job reached a final state.
    pub completed_at: Option<Time>,
    /// End of the retention period of the files.
    pub expires_at: Time,
    /// Number of frames done in the current attempt.
    pub progress_done: u64,
    /// Expected number of frames.
    pub progress_expected: Option<u64>,
    /// File name of the video.
    pub filename: String,
    /// Suffix of the video's file name.
    pub video_format: String,
    /// Storage key of the video.
    pub video_path: String,
    /// Size of the stored video in bytes; 0 if it is not stored but read at its address.
    pub video_size_bytes: u64,
    /// Address of the video, if it was not uploaded.
    pub source: Option<VideoSource>,
    /// Frames to extract, and their form.
    pub recipe: StoredRecipe,
    /// W3C trace context of the upload.
    pub traceparent: Option<String>,
    /// Storage key of the archive.
    pub zip_path: Option<String>,
    /// Size of the archive in bytes.
    pub zip_size_bytes: Option<u64>,
    /// Number of frames in the archive.
    pub frame_count: Option<u64>,
    /// Whether the archive contains every expected frame, decoded without error.
    pub complete: Option<bool>,
    /// Warnings about the archive.
    pub warnings: Vec<Warning>,
    /// Duration of the successful attempt, in seconds.
    pub processing_time_seconds: Option<f64>,
}

impl Job {
    /// Number of attempts after the first.
    #[must_use]
    pub fn retry_count(&self) -> u32 {
        self.attempt.saturating_sub(1)
    }

    /// Size of the video in bytes, wherever it is; 0 if it is not known yet.
    #[must_use]
    pub fn known_size_bytes(&self) -> u64 {
        let at_source = self.source.as_ref().and_then(|source| source.size_bytes);
        at_source.unwrap_or(self.video_size_bytes)
    }

    /// Address at which the video is read, because it is not stored.
    #[must_use]
    pub fn remote_source(&self) -> Option<&VideoSource> {
        self.source.as_ref().filter(|_| self.video_size_bytes == 0)
    }

    /// Id of the trace that the upload belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        jobs::trace::trace_id(self.traceparent.as_deref()?)
    }

    /// Event that announces the job to workers.
    pub(crate) fn created_event(&self) -> Event {
        Event::Created(Created {
            job_id: self.id,
            user_id: self.user_id,
            video_path: self.video_path.clone(),
            filename: self.filename.clone(),
            video_size_bytes: self.video_size_bytes,
            recipe: self.recipe.clone(),
        })
    }

    /// Event that announces the final state of the job.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the job is in no such state, or lacks a value that belongs to it.
    pub(crate) fn outcome_event(&self) -> Result<Event, Error> {
        let (job_id, user_id, filename) = (self.id, self.user_id, self.filename.clone());
        let event = match self.state {
            State::Done => self.completed().map(Event::Completed),
            State::Failed => self.error_code.map(|error_code| {
                let error_message = error_code.user_message(Language::En).to_owned();
                Event::Failed(Failed { job_id, user_id, filename, error_code, error_message })
            }),
            State::Cancelled => Some(Event::Cancelled(Cancelled { job_id, user_id, filename })),
            _ => None,
        };
        event.ok_or_else(|| Error::Corrupt(format!("outcome of job {job_id}")))
    }

    fn completed(&self) -> Option<Completed> {
        Some(Completed {
            job_id: self.id,
            user_id: self.user_id,
            filename: self.filename.clone(),
            zip_path: self.zip_path.clone()?,
            zip_size_bytes: self.zip_size_bytes?,
            frame_count: self.frame_count?,
            complete: self.complete?,
            processing_time_seconds: self.processing_time_seconds?,
        })
    }
}

impl TryFrom<job::Model> for Job {
    type Error = Error;

    fn try_from(row: job::Model) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("{what} of job {}", row.id));
        Ok(Self {
            id: JobId(row.id),
            user_id: UserId(row.user_id),
            state: row.status.parse().map_err(|_| corrupt("state"))?,
            warnings: warnings(&row).ok_or_else(|| corrupt("warnings"))?,
            error_code: row
                .error_code
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|_| corrupt("failure code"))?,
            recipe: match &row.recipe {
                Some(recipe) => serde_json::from_str(recipe).map_err(|_| corrupt("recipe"))?,
                None => StoredRecipe::default(),
            },
            source: row.source_url.map(|shown| VideoSource {
                url: SourceUrl::from_parts(shown, row.source_query),
                size_bytes: row.source_size_bytes.map(|size| size as u64),
                validator: row.source_validator,
            }),
            filename: row.filename,
            video_format: row.video_format,
            video_path: row.video_path,
            video_size_bytes: row.video_size_bytes as u64,
            zip_path: row.zip_path,
            zip_size_bytes: row.zip_size_bytes.map(|size| size as u64),
            frame_count: row.frame_count.map(|count| count as u64),
            complete: row.complete,
            processing_time_seconds: row.processing_time_seconds,
            progress_done: row.progress_done as u64,
            progress_expected: row.progress_expected.map(|count| count as u64),
            error_message: row.error_message,
            attempt: row.attempt as u32,
            fence: row.fence,
            charged: row.charged as u32,
            next_attempt_at: row.next_attempt_at,
            traceparent: row.traceparent,
            created_at: row.created_at,
            started_at: row.started_at,
            completed_at: row.completed_at,
            expires_at: row.expires_at,
        })
    }
}

/// Warnings of a row; `None` if they are no JSON. Programs of an earlier version write their
/// English texts only.
fn warnings(row: &job::Model) -> Option<Vec<Warning>> {
    let texts = serde_json::from_str(&row.warnings).ok()?;
    let details = row.warning_details.as_deref().map(serde_json::from_str).transpose().ok()?;
    Some(Warning::known(details.unwrap_or_default(), texts))
}
