//! Retention: expiry of archives, removal of files, and deletion of expired rows. Several processes
//! may run each step at once.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{JobId, State, Transition};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::json;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{idempotency_key, job, refresh_token, upload};

/// Time for which idempotency keys identify repeated requests, and expired refresh tokens identify
/// reuse.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Maximum number of jobs that one call of [`Database::expire`] returns.
const EXPIRE_LIMIT: u64 = 100;

impl Database {
    /// Expire archives at the end of their retention period, and return all jobs whose files have
    /// to be removed now.
    pub async fn expire(&self) -> Result<Vec<Job>, Error> {
        let now = self.now();
        let is_final = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
        let expired = job::Entity::find()
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::ExpiresAt.lte(now))
            .filter(job::Column::Status.is_in(is_final))
            .limit(EXPIRE_LIMIT)
            .all(&self.write)
            .await?;
        let mut jobs = Vec::with_capacity(expired.len());
        for row in expired {
            let job = Job::try_from(row)?;
            jobs.push(match job.state {
                State::Done => self.expire_job(job).await?,
                _ => job,
            });
        }
        Ok(jobs)
    }

    /// Expire one job and return it, unchanged if another process was faster.
    async fn expire_job(&self, job: Job) -> Result<Job, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let change = Change::new(job.id, Transition::EXPIRE);
        let expired = change.apply(&transaction, |_| json!({}), now).await?;
        transaction.commit().await?;
        Ok(expired.unwrap_or(job))
    }

    /// Record that the files of a job are removed.
    pub async fn mark_files_removed(&self, id: JobId) -> Result<(), Error> {
        job::Entity::update_many()
            .col_expr(job::Column::FilesRemoved, Expr::value(true))
            .filter(job::Column::Id.eq(id.0))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Return the storage keys among `keys` that no job and no upload uses. A job in processing
    /// uses all of its keys, because its attempt may be writing an archive.
    pub async fn orphans<'a>(&self, keys: &[(JobId, &'a str)]) -> Result<Vec<&'a str>, Error> {
        let ids: HashSet<JobId> = keys.iter().map(|(id, _)| *id).collect();
        let ids: Vec<JobId> = ids.into_iter().collect();
        // Uploads first: one that becomes a job meanwhile is found as a job.
        let uploads = upload::Entity::find()
            .filter(upload::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .all(&self.write)
            .await?;
        let jobs = self.jobs_by_id(&ids).await?;
        let is_used = |id: &JobId, key: &str| {
            let is_received = uploads.iter().any(|upload| upload.key == key);
            is_received
                || jobs.iter().any(|job| {
                    let is_known = job.video_path == key || job.zip_path.as_deref() == Some(key);
                    job.id == *id
                        && (is_known && job.state != State::Expired
                            || job.state == State::Processing)
                })
        };
        Ok(keys.iter().filter(|(id, key)| !is_used(id, key)).map(|(_, key)| *key).collect())
    }

    /// Delete expired refresh tokens and idempotency keys, a day after their expiry or creation.
    pub async fn purge_expired(&self) -> Result<(), Error> {
        let before = self.now() - KEPT_FOR;
        refresh_token::Entity::delete_many()
            .filter(refresh_token::Column::ExpiresAt.lt(before))
            .exec(&self.write)
            .await?;
        idempotency_key::Entity::delete_many()
            .filter(idempotency_key::Column::CreatedAt.lt(before))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
