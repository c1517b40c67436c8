//! Acceptance of videos: everything that the response 202 guarantees is written in one transaction.

use fail::fail_point;
use jobs::{JobId, Recipe, State, Transition, UserId, VideoFormat};
use sea_orm::{ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::bounded::Transaction;
use crate::change::{Change, record};
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{idempotency_key, job};

/// Video that is completely stored.
#[derive(Debug, Clone)]
pub struct Video {
    /// Id of the job to create.
    pub id: JobId,
    /// Safe file name.
    pub filename: String,
    /// Format, by the suffix of the name.
    pub format: VideoFormat,
    /// Storage key.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Frames to extract, and their form.
    pub recipe: Recipe,
}

/// Result of accepting an upload.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// Jobs were created, in the order of the videos.
    New(Vec<Job>),
    /// A request with the same idempotency key was accepted earlier. These are its jobs; no job
    /// uses the new videos.
    Repeated(Vec<Job>),
    /// The upload of a video took longer than [`UPLOAD_LIFETIME`](crate::uploads::UPLOAD_LIFETIME),
    /// so its file may be deleted. No job was created.
    Abandoned,
}

impl Database {
    /// Create and queue a job for each video, all or none. Each video must have been
    /// [begun](Self::begin_upload).
    pub async fn accept(
        &self,
        user: UserId,
        videos: &[Video],
        idempotency_key: Option<&str>,
        traceparent: Option<&str>,
    ) -> Result<Accepted, Error> {
        let transaction = self.begin().await?;
        let ids: Vec<JobId> = videos.iter().map(|video| video.id).collect();
        if let Some(key) = idempotency_key {
            let row = idempotency_key::ActiveModel {
                user_id: ActiveValue::Set(user.0),
                key: ActiveValue::Set(key.to_owned()),
                job_ids: ActiveValue::Set(json!(ids).to_string()),
                created_at: ActiveValue::Set(self.now()),
            };
            match row.insert(&transaction).await.map_err(Error::from) {
                Ok(_) => {}
                Err(Error::AlreadyExists) => {
                    // PostgreSQL rejects all further statements of a failed transaction.
                    transaction.rollback().await?;
                    let jobs = self.find_accepted(user, key).await?.unwrap_or_default();
                    return Ok(Accepted::Repeated(jobs));
                }
                Err(error) => return Err(error),
            }
        }
        if !self.consume_uploads(&transaction, &ids).await? {
            transaction.rollback().await?;
            return Ok(Accepted::Abandoned);
        }
        let mut jobs = Vec::with_capacity(videos.len());
        for video in videos {
            jobs.push(self.create_job(&transaction, user, video, traceparent).await?);
        }
        fail_point!("accept.before-commit");
        transaction.commit().await?;
        fail_point!("accept.after-commit");
        self.wake_relay();
        Ok(Accepted::New(jobs))
    }

    /// Jobs that a request with this idempotency key created, without those deleted since; `None`
    /// if no such request was accepted.
    pub async fn find_accepted(&self, user: UserId, key: &str) -> Result<Option<Vec<Job>>, Error> {
        let found =
            idempotency_key::Entity::find_by_id((user.0, key.to_owned())).one(&self.write).await?;
        let Some(found) = found else { return Ok(None) };
        let ids: Vec<JobId> = serde_json::from_str(&found.job_ids)
            .map_err(|_| Error::Corrupt(format!("jobs of an idempotency key of user {user}")))?;
        let rows = job::Entity::find()
            .filter(job::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .all(&self.write)
            .await?;
        let mut jobs = rows.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
        jobs.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
        Ok(Some(jobs))
    }

    async fn create_job(
        &self,
        transaction: &Transaction,
        user: UserId,
        video: &Video,
        traceparent: Option<&str>,
    ) -> Result<Job, Error> {
        let now = self.now();
        let row = job::ActiveModel {
            id: ActiveValue::Set(video.id.0),
            user_id: ActiveValue::Set(user.0),
            status: ActiveValue::Set(State::Uploaded.name().to_owned()),
            filename: ActiveValue::Set(video.filename.clone()),
            video_format: ActiveValue::Set(video.format.suffix().to_owned()),
            video_path: ActiveValue::Set(video.path.clone()),
            video_size_bytes: ActiveValue::Set(video.size_bytes as i64),
            recipe: ActiveValue::Set(Some(json!(video.recipe).to_string())),
            traceparent: ActiveValue::Set(traceparent.map(str::to_owned)),
            created_at: ActiveValue::Set(now),
            expires_at: ActiveValue::Set(now + self.rules.retention),
            ..Default::default()
        };
        row.insert(transaction).await?;
        let size = json!({ "size_bytes": video.size_bytes });
        record(transaction, video.id, None, State::Uploaded, &size, now).await?;

        let change = Change::new(video.id, Transition::ENQUEUE);
        let queued = self.enqueue(transaction, change, json!({}), now, now).await?;
        queued.ok_or_else(|| Error::Corrupt(format!("state of new job {}", video.id)))
    }
}
