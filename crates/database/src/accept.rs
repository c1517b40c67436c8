//! Accepting videos: what a 202 promises is what this transaction writes.

use fail::fail_point;
use jobs::message::{Created, Event};
use jobs::{JobId, Message, State, Transition, UserId, VideoFormat};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter,
};
use serde_json::json;

use crate::job::{change, record, updated};
use crate::outbox;
use crate::rows::{idempotency_key, job};
use crate::{Database, Error, Job};

/// A video that lies in storage, complete.
#[derive(Debug, Clone)]
pub struct Video {
    /// The job that it will be.
    pub id: JobId,
    /// Its name, made safe.
    pub filename: String,
    /// Its format, by its suffix.
    pub format: VideoFormat,
    /// Its key in storage.
    pub path: String,
    /// Its bytes.
    pub size_bytes: u64,
}

/// What became of an upload.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// There are jobs now, in the order of the videos.
    New(Vec<Job>),
    /// Another request with the same idempotency key was accepted before; these are its jobs, and
    /// the new videos are nobody's.
    Before(Vec<Job>),
}

impl Database {
    /// Make jobs of videos, all or none, and put them before the workers.
    pub async fn accept(
        &self,
        user: UserId,
        videos: &[Video],
        idempotency_key: Option<&str>,
        traceparent: Option<&str>,
    ) -> Result<Accepted, Error> {
        let transaction = self.begin().await?;
        if let Some(key) = idempotency_key {
            let ids: Vec<JobId> = videos.iter().map(|video| video.id).collect();
            let row = idempotency_key::ActiveModel {
                user_id: ActiveValue::Set(user.0),
                key: ActiveValue::Set(key.to_owned()),
                job_ids: ActiveValue::Set(json!(ids).to_string()),
                created_at: ActiveValue::Set(self.now()),
            };
            match row.insert(&transaction).await.map_err(Error::from) {
                Ok(_) => {}
                Err(Error::Taken) => {
                    // PostgreSQL does nothing more in a transaction that met an error.
                    transaction.rollback().await?;
                    return Ok(Accepted::Before(
                        self.accepted_before(user, key).await?.unwrap_or_default(),
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        let mut jobs = Vec::with_capacity(videos.len());
        for video in videos {
            jobs.push(self.enqueue(&transaction, user, video, traceparent).await?);
        }
        fail_point!("accept.before-commit");
        transaction.commit().await?;
        fail_point!("accept.after-commit");
        self.wake_relay();
        Ok(Accepted::New(jobs))
    }

    /// The jobs that a request with this key made, if there was one. Those that were deleted since
    /// are not among them.
    pub async fn accepted_before(
        &self,
        user: UserId,
        key: &str,
    ) -> Result<Option<Vec<Job>>, Error> {
        let found =
            idempotency_key::Entity::find_by_id((user.0, key.to_owned())).one(&self.write).await?;
        let Some(found) = found else { return Ok(None) };
        let ids: Vec<JobId> = serde_json::from_str(&found.job_ids).map_err(|_| {
            Error::Corrupt(format!("the jobs of an idempotency key of user {user}"))
        })?;
        let rows = job::Entity::find()
            .filter(job::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .all(&self.write)
            .await?;
        let mut jobs = rows.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
        jobs.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
        Ok(Some(jobs))
    }

    async fn enqueue(
        &self,
        transaction: &DatabaseTransaction,
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
            traceparent: ActiveValue::Set(traceparent.map(str::to_owned)),
            created_at: ActiveValue::Set(now),
            expires_at: ActiveValue::Set(now + self.rules.retention),
            ..Default::default()
        };
        row.insert(transaction).await?;
        record(
            transaction,
            video.id,
            None,
            State::Uploaded,
            &json!({ "size_bytes": video.size_bytes }),
            now,
        )
        .await?;

        let queued = updated(change(video.id, Transition::ENQUEUE), transaction).await?;
        let job =
            queued.ok_or_else(|| Error::Corrupt(format!("the state of new job {}", video.id)))?;
        record(transaction, video.id, Some(State::Uploaded), State::Queued, &json!({}), now)
            .await?;
        outbox::put(transaction, self.created(&job), job.traceparent.as_deref(), now).await?;
        Ok(job)
    }

    /// The message that invites workers to a job.
    pub(crate) fn created(&self, job: &Job) -> Message {
        let event = Event::Created(Created {
            job_id: job.id,
            user_id: job.user_id,
            video_path: job.video_path.clone(),
            filename: job.filename.clone(),
            video_size_bytes: job.video_size_bytes,
        });
        self.message(job, event)
    }

    /// A message about a job.
    pub(crate) fn message(&self, job: &Job, event: Event) -> Message {
        Message::new(event, self.now(), job.retry_count(), self.rules.retries.max_retries())
    }
}
