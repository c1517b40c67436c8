//! Retention: expiry of archives, removal of files, and deletion of expired rows. Several processes
//! may run each step at once.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{JobId, State, Time, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;
use uuid::Uuid;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::quotas;
use crate::rows::{accepted_job, idempotency_key, job, refresh_token, upload};

/// Time for which idempotency keys identify repeated requests, and expired refresh tokens identify
/// reuse.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// Maximum number of jobs in a page of [`Database::expire`].
const EXPIRE_LIMIT: u64 = 100;

/// End of a page of expired jobs, which are ordered by the end of their retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEnd {
    expires_at: Time,
    id: JobId,
}

/// Page of expired jobs.
#[derive(Debug)]
pub struct ExpiredPage {
    /// Jobs whose files have to be removed.
    pub jobs: Vec<Job>,
    /// End of the page, if there may be more.
    pub next: Option<PageEnd>,
}

impl Database {
    /// Expire archives at the end of their retention period, and return the jobs whose files have
    /// to be removed now, a page at a time: `after` is the end of the previous page.
    pub async fn expire(&self, after: Option<PageEnd>) -> Result<ExpiredPage, Error> {
        let is_final = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
        let mut query = job::Entity::find()
            .filter(job::Column::FilesRemoved.into_expr().not())
            .filter(job::Column::ExpiresAt.lte(self.now()))
            .filter(job::Column::Status.is_in(is_final))
            .filter(job::Column::Id.not_in_subquery(self.quarantined_ids()));
        if let Some(PageEnd { expires_at, id }) = after {
            let same = job::Column::ExpiresAt.eq(expires_at).and(job::Column::Id.gt(id.0));
            query = query.filter(job::Column::ExpiresAt.gt(expires_at).or(same));
        }
        let rows = query
            .order_by_asc(job::Column::ExpiresAt)
            .order_by_asc(job::Column::Id)
            .limit(EXPIRE_LIMIT)
            .all(&self.write)
            .await?;
        let is_full = rows.len() as u64 == EXPIRE_LIMIT;
        let end = |row: &job::Model| PageEnd { expires_at: row.expires_at, id: JobId(row.id) };
        let next = rows.last().map(end).filter(|_| is_full);
        let mut jobs = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(job) = self.readable(row).await? else { continue };
            match job.state {
                State::Done => jobs.push(self.expire_job(job).await?),
                // An operator may have queued it again meanwhile.
                _ => jobs.extend(self.begin_removal(&job).await?.then_some(job)),
            }
        }
        Ok(ExpiredPage { jobs, next })
    }

    /// Record that the files of a job are being removed, unless it was queued again. Return whether
    /// they may be removed.
    async fn begin_removal(&self, job: &Job) -> Result<bool, Error> {
        let marked = job::Entity::update_many()
            .col_expr(job::Column::Removing, Expr::value(true))
            .filter(job::Column::Id.eq(job.id.0))
            .filter(job::Column::Status.eq(job.state.name()))
            .filter(job::Column::ExpiresAt.lte(self.now()))
            .exec(&self.write)
            .await?;
        Ok(marked.rows_affected > 0)
    }

    /// Expire one job and return it, unchanged if another process was faster.
    async fn expire_job(&self, job: Job) -> Result<Job, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let change = Change::new(job.id, Transition::EXPIRE);
        let expired = change.apply(&transaction, |_| json!({}), now).await?;
        if let Some(job) = &expired {
            self.write_webhook_deliveries(&transaction, job, now).await?;
        }
        transaction.commit().await?;
        Ok(expired.unwrap_or(job))
    }

    /// Record that the files of a job are removed, and remove the secret part of the address of its
    /// video.
    pub async fn mark_files_removed(&self, id: JobId) -> Result<(), Error> {
        job::Entity::update_many()
            .col_expr(job::Column::FilesRemoved, Expr::value(true))
            .col_expr(job::Column::SourceQuery, Expr::cust("NULL"))
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
        // Only these columns: a row that cannot be read uses its files, too.
        let jobs: Vec<(Uuid, String, String, Option<String>)> = job::Entity::find()
            .select_only()
            .columns([job::Column::Id, job::Column::Status])
            .columns([job::Column::VideoPath, job::Column::ZipPath])
            .filter(job::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .into_tuple()
            .all(&self.write)
            .await?;
        let is_used = |id: &JobId, key: &str| {
            // A resumable upload has further files.
            let is_received = uploads.iter().any(|upload| upload.id == id.0 || upload.key == key);
            is_received
                || jobs.iter().any(|(job, status, video, archive)| {
                    let is_known = video == key || archive.as_deref() == Some(key);
                    *job == id.0
                        && match status.parse() {
                            Ok(State::Expired) => false,
                            // Its attempt may be writing an archive.
                            Ok(State::Processing) | Err(_) => true,
                            Ok(_) => is_known,
                        }
                })
        };
        Ok(keys.iter().filter(|(id, key)| !is_used(id, key)).map(|(_, key)| *key).collect())
    }

    /// Delete expired refresh tokens and idempotency keys, a day after their expiry or creation,
    /// expired resumable uploads that are jobs, expired links to jobs, expired links and old mails
    /// about accounts, old deliveries to webhooks and their previous secrets, and the times of jobs
    /// that were accepted before the last hour.
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
        accepted_job::Entity::delete_many()
            .filter(accepted_job::Column::AcceptedAt.lt(self.now() - quotas::HOUR))
            .exec(&self.write)
            .await?;
        self.purge_resumable_uploads().await?;
        self.purge_tokens().await?;
        self.purge_shares().await?;
        self.purge_webhook_deliveries().await?;
        self.erase_previous_secrets().await?;
        self.purge_account_mails().await
    }
}
