//! Acceptance of videos: everything that the response 202 guarantees is written in one transaction.

use fail::fail_point;
use jobs::{JobId, Recipe, SourceUrl, State, Transition, UserId, VideoFormat};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DbErr, EntityTrait, QueryFilter, SqlErr,
};
use serde_json::json;

use crate::bounded::Transaction;
use crate::change::{Change, record};
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{idempotency_key, job};

/// Video that is completely stored, or that workers read at its address.
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
    /// Size in bytes; 0 if it is not stored.
    pub size_bytes: u64,
    /// Address of the video, if it was not uploaded.
    pub source: Option<SourceUrl>,
    /// Frames to extract, and their form.
    pub recipe: Recipe,
}

/// Key that a client has chosen for a request, so that it can repeat the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key.
    pub key: String,
    /// Fingerprint of the request. Only an equal request repeats it.
    pub fingerprint: String,
}

/// Accepted request with an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierRequest {
    /// Its jobs, without those deleted since.
    pub jobs: Vec<Job>,
    fingerprint: Option<String>,
}

impl EarlierRequest {
    /// Whether a request with this fingerprint repeats it. Requests that earlier versions accepted
    /// have no fingerprint, so they are repeated by any.
    #[must_use]
    pub fn is_repeated_by(&self, fingerprint: &str) -> bool {
        self.fingerprint.as_ref().is_none_or(|earlier| earlier == fingerprint)
    }
}

/// Result of accepting an upload.
#[derive(Debug, Clone)]
pub enum Accepted {
    /// Jobs were created, in the order of the videos.
    New(Vec<Job>),
    /// An equal request with the same idempotency key was accepted earlier. These are its jobs; no
    /// job uses the new videos.
    Repeated(Vec<Job>),
    /// Another request with the same idempotency key was accepted earlier. No job was created.
    Reused,
    /// The upload of a video took longer than [`UPLOAD_LIFETIME`](crate::uploads::UPLOAD_LIFETIME),
    /// or its user was deleted, so its file may be deleted. No job was created.
    Abandoned,
}

impl Database {
    /// Create and queue a job for each video, all or none. Each video must have been
    /// [begun](Self::begin_upload).
    pub async fn accept(
        &self,
        user: UserId,
        videos: &[Video],
        idempotency_key: Option<&IdempotencyKey>,
        traceparent: Option<&str>,
    ) -> Result<Accepted, Error> {
        let transaction = self.begin().await?;
        // Simultaneous requests of a user get different rounds.
        self.lock_user(&transaction, user).await?;
        let ids: Vec<JobId> = videos.iter().map(|video| video.id).collect();
        if let Some(IdempotencyKey { key, fingerprint }) = idempotency_key {
            let row = idempotency_key::ActiveModel {
                user_id: ActiveValue::Set(user.0),
                key: ActiveValue::Set(key.to_owned()),
                job_ids: ActiveValue::Set(json!(ids).to_string()),
                fingerprint: ActiveValue::Set(Some(fingerprint.clone())),
                created_at: ActiveValue::Set(self.now()),
            };
            match row.insert(&transaction).await.map_err(Error::from) {
                Ok(_) => {}
                Err(Error::AlreadyExists) => {
                    // PostgreSQL rejects all further statements of a failed transaction.
                    transaction.rollback().await?;
                    return Ok(match self.find_accepted(user, key).await? {
                        Some(earlier) if earlier.is_repeated_by(fingerprint) => {
                            Accepted::Repeated(earlier.jobs)
                        }
                        Some(_) => Accepted::Reused,
                        // It expires now.
                        None => Accepted::Repeated(Vec::new()),
                    });
                }
                // The user was deleted meanwhile.
                Err(Error::Database(error)) if is_missing_reference(&error) => {
                    transaction.rollback().await?;
                    return Ok(Accepted::Abandoned);
                }
                Err(error) => return Err(error),
            }
        }
        if !self.consume_uploads(&transaction, &ids).await? {
            transaction.rollback().await?;
            return Ok(Accepted::Abandoned);
        }
        let mut jobs = Vec::with_capacity(videos.len());
        let first_round = self.next_round(&transaction, user).await?;
        for (video, round) in videos.iter().zip(first_round..) {
            match self.create_job(&transaction, user, video, round, traceparent).await {
                Ok(job) => jobs.push(job),
                // The user was deleted meanwhile.
                Err(Error::Database(error)) if is_missing_reference(&error) => {
                    transaction.rollback().await?;
                    return Ok(Accepted::Abandoned);
                }
                Err(error) => return Err(error),
            }
        }
        fail_point!("accept.before-commit");
        transaction.commit().await?;
        fail_point!("accept.after-commit");
        self.wake_relay();
        Ok(Accepted::New(jobs))
    }

    /// Request of a user with this idempotency key; `None` if none was accepted.
    pub async fn find_accepted(
        &self,
        user: UserId,
        key: &str,
    ) -> Result<Option<EarlierRequest>, Error> {
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
        Ok(Some(EarlierRequest { jobs, fingerprint: found.fingerprint }))
    }

    async fn create_job(
        &self,
        transaction: &Transaction,
        user: UserId,
        video: &Video,
        round: i64,
        traceparent: Option<&str>,
    ) -> Result<Job, Error> {
        let (now, source) = (self.now(), video.source.as_ref());
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
            round: ActiveValue::Set(round),
            source_url: ActiveValue::Set(source.map(|source| source.shown().to_owned())),
            source_query: ActiveValue::Set(source.and_then(SourceUrl::query).map(str::to_owned)),
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

/// Whether a row refers to one that does not exist.
fn is_missing_reference(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::ForeignKeyConstraintViolation(_)))
}
