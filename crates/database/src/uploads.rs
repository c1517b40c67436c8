//! Uploads that are not jobs yet. Each is [recorded](Database::begin_upload) before its first byte
//! is stored, so that its file is known to the sweep, and can be deleted after a crash without
//! listing the whole store.
//!
//! The record of a [resumable](crate::resumable_uploads) upload also states what the store has of
//! it, and outlives the process that receives it.

use std::time::Duration;

use jobs::{InstallationId, JobId, Time, UserId};
use sea_orm::sea_query::{Expr, LockBehavior, LockType, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, Order, QueryFilter};

use crate::connection::Database;
use crate::error::Error;
use crate::rows::{installation, restrict_to, resumable_upload, upload};

/// Time from the start of an upload until it counts as abandoned.
pub const UPLOAD_LIFETIME: Duration = Duration::from_hours(24);

/// State of an upload whose video may still become a job.
pub(crate) const RECEIVING: &str = "RECEIVING";
/// State of an upload whose file is to be deleted.
pub(crate) const ABANDONED: &str = "ABANDONED";

/// Upload whose file has to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedUpload {
    /// Id that its job would have had.
    pub id: JobId,
    /// Storage key of its file, which may not exist.
    pub key: String,
    /// What the store has of it, if it is resumable.
    pub parts: Option<String>,
}

impl From<upload::Model> for AbandonedUpload {
    fn from(row: upload::Model) -> Self {
        Self { id: JobId(row.id), key: row.key, parts: row.parts }
    }
}

impl Database {
    /// Id of the installation that this database belongs to, written when it was created.
    pub async fn installation(&self) -> Result<InstallationId, Error> {
        let row = installation::Entity::find().one(&self.read).await?;
        let missing = || Error::Corrupt("the table `installation` is empty".to_owned());
        Ok(InstallationId(row.ok_or_else(missing)?.id))
    }

    /// Record that a video will not become a job, and that its file is deleted.
    pub async fn end_upload(&self, id: JobId) -> Result<(), Error> {
        let transaction = self.begin().await?;
        let deleted = upload::Entity::delete_by_id(id.0).exec(&transaction).await?;
        // One without a record is a job.
        if deleted.rows_affected > 0 {
            resumable_upload::Entity::delete_by_id(id.0).exec(&transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Reserve at most `limit` abandoned uploads, those that expired first, and return them. The
    /// caller has to delete their files and [end](Self::end_upload) them within `hold`; after that
    /// they are due again.
    pub async fn take_abandoned_uploads(
        &self,
        limit: u64,
        hold: Duration,
    ) -> Result<Vec<AbandonedUpload>, Error> {
        let now = self.now();
        let due = Query::select()
            .column(upload::Column::Id)
            .from(upload::Entity)
            .cond_where(upload::Column::ExpiresAt.lte(now))
            .order_by(upload::Column::ExpiresAt, Order::Asc)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .to_owned();
        let update = upload::Entity::update_many()
            .col_expr(upload::Column::State, Expr::value(ABANDONED))
            .col_expr(upload::Column::ExpiresAt, Expr::value(now + hold));
        let rows =
            restrict_to(update, upload::Column::Id, due).exec_with_returning(&self.write).await?;
        Ok(rows.into_iter().map(AbandonedUpload::from).collect())
    }

    /// Abandon all uploads but those that clients may resume, which no request holds anymore. Only
    /// for a process that has the database for itself and has just started.
    pub async fn abandon_uploads(&self) -> Result<(), Error> {
        upload::Entity::update_many()
            .col_expr(upload::Column::HeldUntil, Expr::value(None::<Time>))
            .filter(upload::Column::Parts.is_not_null())
            .exec(&self.write)
            .await?;
        upload::Entity::update_many()
            .col_expr(upload::Column::State, Expr::value(ABANDONED))
            .col_expr(upload::Column::ExpiresAt, Expr::value(self.now()))
            .filter(upload::Column::Parts.is_null())
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Abandon the uploads of a user who is deleted.
    pub(crate) async fn abandon_uploads_of(
        &self,
        on: &impl ConnectionTrait,
        user: UserId,
    ) -> Result<(), Error> {
        upload::Entity::update_many()
            .col_expr(upload::Column::State, Expr::value(ABANDONED))
            .col_expr(upload::Column::ExpiresAt, Expr::value(self.now()))
            .col_expr(upload::Column::UserId, Expr::value(uuid::Uuid::nil()))
            .filter(upload::Column::UserId.eq(user.0))
            .exec(on)
            .await?;
        Ok(())
    }

    /// Remove the records of uploads that become jobs in the same transaction. Return whether all
    /// of them were still being received: the file of an abandoned one may be deleted.
    pub(crate) async fn consume_uploads(
        &self,
        on: &impl ConnectionTrait,
        ids: &[JobId],
    ) -> Result<bool, Error> {
        let consumed = upload::Entity::delete_many()
            .filter(upload::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(upload::Column::State.eq(RECEIVING))
            .exec(on)
            .await?;
        Ok(consumed.rows_affected == ids.len() as u64)
    }

    /// Delete what describes resumable uploads that are jobs and have expired.
    pub(crate) async fn purge_resumable_uploads(&self) -> Result<(), Error> {
        let recorded = Query::select().column(upload::Column::Id).from(upload::Entity).to_owned();
        resumable_upload::Entity::delete_many()
            .filter(resumable_upload::Column::ExpiresAt.lte(self.now()))
            .filter(resumable_upload::Column::Id.not_in_subquery(recorded))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
