//! Uploads that clients resume, in any process. The record of an upload states how much of it is
//! stored durably, and what the store has of it; both change together.
//!
//! A request that writes holds the upload: it has the upload's *fence*, without which it records
//! nothing, and for [`UPLOAD_HOLD`] after each of its records no other request can hold the upload.
//! A request that stops recording, because its process has ended or its client is gone, loses the
//! upload to the next one.
//!
//! The upload becomes the job with its id. Then it has no [record](crate::uploads) anymore, and
//! what describes it remains until it expires, so that a client that has not seen the response
//! finds the job.

use std::time::Duration;

use fail::fail_point;
use jobs::{JobId, Recipe, StoredRecipe, Time, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect,
};
use serde_json::json;
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::quotas::Reservation;
use crate::rows::{resumable_upload, upload};
use crate::uploads::{ABANDONED, AbandonedUpload, RECEIVING};

/// Time from the creation of a resumable upload until it expires.
pub const RESUMABLE_LIFETIME: Duration = Duration::from_hours(48);

/// Time for which a request holds an upload after each of its records. Clients repeat a request
/// that meets a held upload for some ten seconds.
pub const UPLOAD_HOLD: Duration = Duration::from_secs(6);

/// Upload to begin.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// Id of the job that it becomes.
    pub id: JobId,
    /// Owner.
    pub user: UserId,
    /// Storage key of the video.
    pub key: String,
    /// Safe file name.
    pub filename: String,
    /// Frames to extract, and their form.
    pub recipe: Recipe,
    /// Metadata as the client has sent it.
    pub metadata: String,
    /// Size of the video in bytes.
    pub size_bytes: u64,
}

/// Resumable upload.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumableUpload {
    /// Id, also of its job.
    pub id: JobId,
    /// Owner.
    pub user: UserId,
    /// Safe file name.
    pub filename: String,
    /// Frames to extract, and their form.
    pub recipe: Recipe,
    /// Metadata as the client has sent it.
    pub metadata: String,
    /// Size of the video in bytes.
    pub size_bytes: u64,
    /// Time at which it expires.
    pub expires_at: Time,
    /// State of the upload.
    pub state: UploadState,
}

/// State of a resumable upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes are missing, or it is not a job yet.
    Receiving(Progress),
    /// It has expired or was terminated.
    Ended,
    /// It is a job, with the same id.
    Accepted,
}

/// Progress of a resumable upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Storage key of the video.
    pub key: String,
    /// Number of bytes that are stored durably.
    pub received_bytes: u64,
    /// What the store has of it.
    pub parts: String,
    /// Fence of the request that held it last.
    pub fence: i64,
    /// Whether a request holds it.
    pub is_held: bool,
}

/// What a request has stored.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    /// Number of bytes of the upload that are stored durably.
    pub received_bytes: u64,
    /// What the store has of it.
    pub parts: &'a str,
}

impl Database {
    /// Record a resumable upload as one more unfinished job, and reserve all of its bytes. It can
    /// be written after its first [progress](Self::record_progress) with the fence 0.
    pub async fn begin_resumable_upload(&self, new: &NewUpload) -> Result<Reservation, Error> {
        let (transaction, until) = (self.begin().await?, self.now() + RESUMABLE_LIFETIME);
        let (user, bytes) = (new.user, new.size_bytes..=new.size_bytes);
        let reservation =
            self.record_upload(&transaction, user, new.id, &new.key, bytes, until).await?;
        if matches!(reservation, Reservation::Granted(_)) {
            let row = resumable_upload::ActiveModel {
                id: ActiveValue::Set(new.id.0),
                user_id: ActiveValue::Set(user.0),
                filename: ActiveValue::Set(new.filename.clone()),
                recipe: ActiveValue::Set(json!(new.recipe).to_string()),
                metadata: ActiveValue::Set(new.metadata.clone()),
                size_bytes: ActiveValue::Set(i64::try_from(new.size_bytes).unwrap_or(i64::MAX)),
                expires_at: ActiveValue::Set(until),
            };
            row.insert(&transaction).await?;
            transaction.commit().await?;
        }
        Ok(reservation)
    }

    /// Resumable upload with this id.
    pub async fn resumable_upload(&self, id: JobId) -> Result<Option<ResumableUpload>, Error> {
        let found = resumable_upload::Entity::find_by_id(id.0)
            .find_also_related(upload::Entity)
            .one(&self.read)
            .await?;
        let Some((row, record)) = found else { return Ok(None) };
        let corrupt = || Error::Corrupt(format!("recipe of upload {id}"));
        let recipe: StoredRecipe = serde_json::from_str(&row.recipe).map_err(|_| corrupt())?;
        let now = self.now();
        Ok(Some(ResumableUpload {
            id,
            user: UserId(row.user_id),
            filename: row.filename,
            recipe: recipe.known().ok_or_else(corrupt)?.clone(),
            metadata: row.metadata,
            size_bytes: row.size_bytes as u64,
            expires_at: row.expires_at,
            state: record.map_or(UploadState::Accepted, |record| state_of(record, now)),
        }))
    }

    /// Let a request hold an upload of which this number of bytes is stored. Return its progress
    /// with the fence of the request; `None` if another request holds it, or it has another offset
    /// or has ended.
    pub async fn hold_upload(&self, id: JobId, offset: u64) -> Result<Option<Progress>, Error> {
        let now = self.now();
        let is_free = Condition::any()
            .add(upload::Column::HeldUntil.is_null())
            .add(upload::Column::HeldUntil.lte(now));
        let held = upload::Entity::update_many()
            .col_expr(upload::Column::Fence, Expr::col(upload::Column::Fence).add(1))
            .col_expr(upload::Column::HeldUntil, Expr::value(now + UPLOAD_HOLD))
            .filter(is_receiving(id, now))
            .filter(upload::Column::Parts.is_not_null())
            .filter(upload::Column::ReceivedBytes.eq(offset as i64))
            .filter(is_free)
            .exec_with_returning(&self.write)
            .await?;
        let progress = held.into_iter().next().map(|record| state_of(record, now));
        Ok(progress.and_then(|state| match state {
            UploadState::Receiving(progress) => Some(progress),
            _ => None,
        }))
    }

    /// Record what the request with a fence has stored, if it has stored more, and whether it goes
    /// on holding the upload. Return whether it still held the upload; if not, nothing is recorded.
    pub async fn record_progress(
        &self,
        id: JobId,
        fence: i64,
        stored: Option<Stored<'_>>,
        goes_on: bool,
    ) -> Result<bool, Error> {
        let now = self.now();
        let held_until = goes_on.then(|| now + UPLOAD_HOLD);
        let mut update = upload::Entity::update_many()
            .col_expr(upload::Column::HeldUntil, Expr::value(held_until))
            .filter(is_receiving(id, now))
            .filter(upload::Column::Fence.eq(fence));
        if let Some(Stored { received_bytes, parts }) = stored {
            update = update
                .col_expr(upload::Column::ReceivedBytes, Expr::value(received_bytes as i64))
                .col_expr(upload::Column::Parts, Expr::value(parts));
        }
        fail_point!("resumable.before-record");
        let updated = update.exec(&self.write).await?;
        fail_point!("resumable.after-record");
        Ok(updated.rows_affected > 0)
    }

    /// Abandon an upload that is not a job, and return what has to be deleted within `hold`, before
    /// the upload is [ended](Self::end_upload); `None` if it has ended or is a job.
    pub async fn terminate_upload(
        &self,
        id: JobId,
        hold: Duration,
    ) -> Result<Option<AbandonedUpload>, Error> {
        let now = self.now();
        let terminated = upload::Entity::update_many()
            .col_expr(upload::Column::State, Expr::value(ABANDONED))
            .col_expr(upload::Column::ExpiresAt, Expr::value(now + hold))
            .filter(is_receiving(id, now))
            .exec_with_returning(&self.write)
            .await?;
        Ok(terminated.into_iter().next().map(AbandonedUpload::from))
    }

    /// Ids of the resumable uploads of which the store may have parts.
    pub async fn resumable_upload_ids(&self) -> Result<Vec<JobId>, Error> {
        let ids: Vec<Uuid> = upload::Entity::find()
            .select_only()
            .column(upload::Column::Id)
            .filter(upload::Column::Parts.is_not_null())
            .into_tuple()
            .all(&self.write)
            .await?;
        Ok(ids.into_iter().map(JobId).collect())
    }
}

/// Condition that the upload has neither expired nor was terminated.
fn is_receiving(id: JobId, now: Time) -> Condition {
    Condition::all()
        .add(upload::Column::Id.eq(id.0))
        .add(upload::Column::State.eq(RECEIVING))
        .add(upload::Column::ExpiresAt.gt(now))
}

/// State of an upload that has a record.
fn state_of(record: upload::Model, now: Time) -> UploadState {
    let parts = record.parts.filter(|_| record.state == RECEIVING && record.expires_at > now);
    let Some(parts) = parts else { return UploadState::Ended };
    UploadState::Receiving(Progress {
        key: record.key,
        received_bytes: record.received_bytes as u64,
        parts,
        fence: record.fence,
        is_held: record.held_until.is_some_and(|until| until > now),
    })
}
