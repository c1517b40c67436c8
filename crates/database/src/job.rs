//! A job as its row says, in the words of the vocabulary.

use jobs::{FailureCode, JobId, State, Time, Transition, UserId};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    UpdateMany,
};
use serde_json::Value;

use crate::Error;
use crate::rows::{job, job_event};

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it stands.
    pub state: State,
    /// The video's name, as its owner knows it.
    pub filename: String,
    /// The video's suffix.
    pub video_format: String,
    /// Key of the video in storage.
    pub video_path: String,
    /// Bytes of the video.
    pub video_size_bytes: u64,
    /// Key of the archive in storage.
    pub zip_path: Option<String>,
    /// Bytes of the archive.
    pub zip_size_bytes: Option<u64>,
    /// Pictures in the archive.
    pub frame_count: Option<u64>,
    /// Whether nothing is missing in the archive and nothing damaged.
    pub complete: Option<bool>,
    /// What a careful user should know of the archive.
    pub warnings: Vec<String>,
    /// Seconds that the successful attempt took.
    pub processing_time_seconds: Option<f64>,
    /// Pictures done in the current attempt.
    pub progress_done: u64,
    /// Pictures that the video promises.
    pub progress_expected: Option<u64>,
    /// Why the last attempt failed.
    pub error_code: Option<FailureCode>,
    /// The same in the words of whoever met the error.
    pub error_message: Option<String>,
    /// Attempts so far.
    pub attempt: u32,
    /// Rises with every claim and cancellation; what carries an older one has lost the job.
    pub fence: i64,
    /// When the next attempt may begin, if one failed.
    pub next_attempt_at: Option<Time>,
    /// The W3C trace context of the upload.
    pub traceparent: Option<String>,
    /// When the video was accepted.
    pub created_at: Time,
    /// When the first attempt began.
    pub started_at: Option<Time>,
    /// When the job reached a final state.
    pub completed_at: Option<Time>,
    /// Until when files are kept.
    pub expires_at: Time,
}

impl Job {
    /// Attempts after the first.
    #[must_use]
    pub fn retry_count(&self) -> u32 {
        self.attempt.saturating_sub(1)
    }

    /// The id of the trace that the upload belongs to.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        jobs::trace::id_of(self.traceparent.as_deref()?)
    }
}

impl TryFrom<job::Model> for Job {
    type Error = Error;

    fn try_from(row: job::Model) -> Result<Self, Error> {
        let corrupt = |what: &str| Error::Corrupt(format!("{what} of job {}", row.id));
        Ok(Self {
            id: JobId(row.id),
            user_id: UserId(row.user_id),
            state: row.status.parse().map_err(|_| corrupt("the state"))?,
            warnings: serde_json::from_str(&row.warnings).map_err(|_| corrupt("the warnings"))?,
            error_code: row
                .error_code
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|_| corrupt("the failure code"))?,
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
            next_attempt_at: row.next_attempt_at,
            traceparent: row.traceparent,
            created_at: row.created_at,
            started_at: row.started_at,
            completed_at: row.completed_at,
            expires_at: row.expires_at,
        })
    }
}

/// The beginning of an update that takes a job through a transition, and touches it only if it is
/// in the state before.
pub(crate) fn change(id: JobId, transition: Transition) -> UpdateMany<job::Entity> {
    job::Entity::update_many()
        .col_expr(job::Column::Status, Expr::value(transition.to().name()))
        .filter(job::Column::Id.eq(id.0))
        .filter(job::Column::Status.eq(transition.from().name()))
}

/// Run an update of at most one job and give the job as it is now.
pub(crate) async fn updated(
    update: UpdateMany<job::Entity>,
    on: &impl ConnectionTrait,
) -> Result<Option<Job>, Error> {
    update.exec_with_returning(on).await?.pop().map(Job::try_from).transpose()
}

/// Write a line into a job's history.
pub(crate) async fn record(
    on: &impl ConnectionTrait,
    id: JobId,
    old: Option<State>,
    new: State,
    metadata: &Value,
    at: Time,
) -> Result<(), Error> {
    let row = job_event::ActiveModel {
        id: ActiveValue::NotSet,
        job_id: ActiveValue::Set(id.0),
        old_state: ActiveValue::Set(old.map(|state| state.name().to_owned())),
        new_state: ActiveValue::Set(new.name().to_owned()),
        metadata: ActiveValue::Set(metadata.to_string()),
        created_at: ActiveValue::Set(at),
    };
    row.insert(on).await?;
    Ok(())
}
