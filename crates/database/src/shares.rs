//! Links by which people without an account see a finished job. A link ends when it expires or is
//! revoked, with the files of its job, and with the job and the user. That of a disabled user is
//! refused.

use jobs::{JobId, State, Time, UserId};
use sea_orm::sea_query::{LockType, Query, SimpleExpr};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{job, job_share, user};
use crate::users::lock_user;

/// Link to a job, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Id of the link, which is not secret.
    pub id: Uuid,
    /// Time of creation.
    pub created_at: Time,
    /// Time at which the link becomes invalid.
    pub expires_at: Time,
}

impl From<job_share::Model> for Share {
    fn from(row: job_share::Model) -> Self {
        Self { id: row.id, created_at: row.created_at, expires_at: row.expires_at }
    }
}

/// Result of the creation of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShareCreation {
    /// The link is valid.
    Created(Share),
    /// The job has as many links as allowed.
    TooMany,
    /// The job was deleted or has expired, or the user was deleted.
    Ended,
}

impl Database {
    /// Create a link to a finished job of a user with this hash of its token, unless the job has
    /// `max` links. The link ends at a time, and with the files of the job at the latest.
    pub async fn create_share(
        &self,
        job: &Job,
        token_hash: &str,
        expires_at: Time,
        max: u64,
    ) -> Result<ShareCreation, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        // One creation of a user at a time, so that the maximum holds. First, as in a deletion of
        // the user.
        if lock_user(&transaction, job.user_id).await?.is_none() {
            return Ok(ShareCreation::Ended);
        }
        let current =
            job::Entity::find_by_id(job.id.0).lock(LockType::KeyShare).one(&transaction).await?;
        let is_available =
            |row: &job::Model| row.status == State::Done.name() && row.expires_at > now;
        let Some(current) = current.filter(is_available) else { return Ok(ShareCreation::Ended) };
        let live = of_job(job.id).filter(job_share::Column::ExpiresAt.gt(now));
        if live.count(&transaction).await? >= max {
            return Ok(ShareCreation::TooMany);
        }
        let row = job_share::ActiveModel {
            id: ActiveValue::Set(Uuid::now_v7()),
            job_id: ActiveValue::Set(job.id.0),
            user_id: ActiveValue::Set(job.user_id.0),
            token_hash: ActiveValue::Set(token_hash.to_owned()),
            created_at: ActiveValue::Set(now),
            expires_at: ActiveValue::Set(expires_at.min(current.expires_at)),
        };
        let row = row.insert(&transaction).await?;
        transaction.commit().await?;
        Ok(ShareCreation::Created(row.into()))
    }

    /// Links to a job that have not expired, newest first.
    pub async fn shares(&self, job: JobId) -> Result<Vec<Share>, Error> {
        let rows = of_job(job)
            .filter(job_share::Column::ExpiresAt.gt(self.now()))
            .order_by_desc(job_share::Column::CreatedAt)
            .order_by_desc(job_share::Column::Id)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(Share::from).collect())
    }

    /// Delete a link to a job of a user. Return whether the job had it.
    pub async fn delete_share(&self, user: UserId, job: JobId, id: Uuid) -> Result<bool, Error> {
        let deleted = job_share::Entity::delete_many()
            .filter(job_share::Column::Id.eq(id))
            .filter(job_share::Column::JobId.eq(job.0))
            .filter(job_share::Column::UserId.eq(user.0))
            .exec(&self.write)
            .await?;
        Ok(deleted.rows_affected > 0)
    }

    /// Valid link whose token has this hash, and its job.
    pub async fn find_share(&self, token_hash: &str) -> Result<Option<(Share, Job)>, Error> {
        self.valid_share(job_share::Column::TokenHash.eq(token_hash)).await
    }

    /// Valid link with this id, and its job.
    pub async fn share_by_id(&self, id: Uuid) -> Result<Option<(Share, Job)>, Error> {
        self.valid_share(job_share::Column::Id.eq(id)).await
    }

    /// The link that meets a condition, and its job, if the link is valid.
    async fn valid_share(&self, condition: SimpleExpr) -> Result<Option<(Share, Job)>, Error> {
        let now = self.now();
        let active = Query::select()
            .column(user::Column::Id)
            .from(user::Entity)
            .and_where(user::Column::IsActive.eq(true))
            .to_owned();
        let found = job_share::Entity::find()
            .find_also_related(job::Entity)
            .filter(condition)
            .filter(job_share::Column::ExpiresAt.gt(now))
            .filter(job_share::Column::UserId.in_subquery(active))
            .filter(job::Column::Status.eq(State::Done.name()))
            .filter(job::Column::ExpiresAt.gt(now))
            .one(&self.read)
            .await?;
        let Some((share, Some(job))) = found else { return Ok(None) };
        Ok(Some((share.into(), job.try_into()?)))
    }

    /// Delete the links that have expired.
    pub(crate) async fn purge_shares(&self) -> Result<(), Error> {
        job_share::Entity::delete_many()
            .filter(job_share::Column::ExpiresAt.lte(self.now()))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}

/// Query for the links to a job.
fn of_job(job: JobId) -> Select<job_share::Entity> {
    job_share::Entity::find().filter(job_share::Column::JobId.eq(job.0))
}
