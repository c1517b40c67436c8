//! Deletion of a user with everything that belongs to the user.

use jobs::{JobId, UserId};
use sea_orm::sea_query::{Expr, LockType, Query};
use sea_orm::{ActiveValue, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use crate::bounded::Transaction;
use crate::connection::Database;
use crate::error::Error;
use crate::rows::{counter_change, job, outbox, past_job, quarantine, upload, user, user_usage};
use crate::uploads::ABANDONED;
use crate::users::User;
use crate::webhooks::remove_webhooks;

/// User that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedUser {
    /// The user, as it was.
    pub user: User,
    /// Number of jobs that were deleted, without those of the history.
    pub jobs: u64,
}

/// Number of jobs that one statement deletes, with their events and notifications. All statements
/// belong to one transaction; each has a time limit.
const BATCH: u64 = 500;

/// Id of a job, and the storage keys of its video and its archive.
type JobFiles = (Uuid, String, Option<String>);

impl Database {
    /// Delete a user with all jobs, in any state, and everything else that belongs to the user.
    /// The files of the jobs become abandoned uploads in the same transaction, so that maintenance
    /// deletes them even if the caller, who should do so at once, ends. Return `None` if the user
    /// does not exist.
    ///
    /// A worker that holds one of the jobs finds no row for its fence, so it loses the job.
    pub async fn delete_user(&self, id: UserId) -> Result<Option<DeletedUser>, Error> {
        self.delete_user_if(id, |_| true).await
    }

    /// Like [`delete_user`](Self::delete_user), for a user whose password and second factor were
    /// verified. Return `None` if one of these has changed since.
    pub async fn delete_verified_user(
        &self,
        verified: &User,
    ) -> Result<Option<DeletedUser>, Error> {
        self.delete_user_if(verified.id, |current| verified.has_access_of(current)).await
    }

    async fn delete_user_if(
        &self,
        id: UserId,
        condition: impl FnOnce(&User) -> bool + Send,
    ) -> Result<Option<DeletedUser>, Error> {
        let transaction = self.begin().await?;
        // First, like the transactions of uploads and of reservations. No job of the user can be
        // inserted until the end of the transaction.
        let user = user::Entity::find_by_id(id.0).lock(LockType::Update).one(&transaction).await?;
        let Some(user) = user.map(User::try_from).transpose()?.filter(condition) else {
            return Ok(None);
        };
        self.abandon_uploads_of(&transaction, id).await?;
        let mut jobs = 0;
        loop {
            let deleted = self.delete_jobs_of(&transaction, id).await?;
            jobs += deleted;
            if deleted < BATCH {
                break;
            }
        }
        let past_jobs = Query::select()
            .column(past_job::Column::Id)
            .from(past_job::Entity)
            .and_where(past_job::Column::UserId.eq(id.0))
            .to_owned();
        outbox::Entity::delete_many()
            .filter(outbox::Column::JobId.in_subquery(past_jobs))
            .exec(&transaction)
            .await?;
        past_job::Entity::delete_many()
            .filter(past_job::Column::UserId.eq(id.0))
            .exec(&transaction)
            .await?;
        forget_usage(&transaction, id).await?;
        // After the jobs: a transaction that decides the outcome of one locks webhooks after it.
        remove_webhooks(&transaction, id).await?;
        // With all rows that refer to the user.
        user::Entity::delete_by_id(id.0).exec(&transaction).await?;
        transaction.commit().await?;
        Ok(Some(DeletedUser { user, jobs }))
    }

    /// Delete some jobs of a user, and record that their files have to be deleted. Return their
    /// number.
    async fn delete_jobs_of(&self, on: &Transaction, user: UserId) -> Result<u64, Error> {
        // Only these columns: a row that cannot be read is deleted, too.
        let jobs: Vec<JobFiles> = job::Entity::find()
            .select_only()
            .columns([job::Column::Id, job::Column::VideoPath, job::Column::ZipPath])
            .filter(job::Column::UserId.eq(user.0))
            .limit(BATCH)
            .into_tuple()
            .all(on)
            .await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let ids: Vec<Uuid> = jobs.iter().map(|(id, ..)| *id).collect();
        outbox::Entity::delete_many()
            .filter(outbox::Column::JobId.is_in(ids.iter().copied()))
            .exec(on)
            .await?;
        quarantine::Entity::delete_many()
            .filter(quarantine::Column::JobId.is_in(ids.iter().copied()))
            .exec(on)
            .await?;
        // With their events and notifications. The triggers subtract the jobs from the counters.
        job::Entity::delete_many().filter(job::Column::Id.is_in(ids)).exec(on).await?;
        let now = self.now();
        let keys =
            jobs.iter().flat_map(|(_, video, archive)| std::iter::once(video).chain(archive));
        let files = keys.map(|key| upload::ActiveModel {
            id: ActiveValue::Set(JobId::generate().0),
            user_id: ActiveValue::Set(Uuid::nil()),
            key: ActiveValue::Set(key.clone()),
            state: ActiveValue::Set(ABANDONED.to_owned()),
            expires_at: ActiveValue::Set(now),
            reserved_bytes: ActiveValue::Set(0),
            ..Default::default()
        });
        upload::Entity::insert_many(files).exec_without_returning(on).await?;
        Ok(jobs.len() as u64)
    }
}

/// Forget the resources that a user has used. The changes that are still to be added up also count
/// jobs by their states, which stays correct.
async fn forget_usage(on: &Transaction, user: UserId) -> Result<(), Error> {
    counter_change::Entity::update_many()
        .col_expr(counter_change::Column::UserId, Expr::value(Uuid::nil()))
        .col_expr(counter_change::Column::UnfinishedJobs, Expr::value(0_i64))
        .col_expr(counter_change::Column::StoredBytes, Expr::value(0_i64))
        .filter(counter_change::Column::UserId.eq(user.0))
        .exec(on)
        .await?;
    // If the chore that adds changes up was at work, the update has waited for it.
    user_usage::Entity::delete_many()
        .filter(user_usage::Column::UserId.eq(user.0))
        .exec(on)
        .await?;
    Ok(())
}
