//! Retention: what is over and whose files go. Every step may be run by several processes at once.

use std::collections::HashSet;
use std::time::Duration;

use jobs::{JobId, State, Transition};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect};
use serde_json::json;

use crate::job::{change, record, updated};
use crate::rows::{idempotency_key, job, refresh_token};
use crate::{Database, Error, Job};

/// How long a repeated request is recognised by its idempotency key.
const IDEMPOTENCY: Duration = Duration::from_hours(24);

impl Database {
    /// Expire archives whose time is over, and name all jobs whose files have to go now.
    pub async fn expire(&self) -> Result<Vec<Job>, Error> {
        let now = self.now();
        let over =
            job::Entity::find()
                .filter(job::Column::FilesRemoved.eq(false))
                .filter(job::Column::ExpiresAt.lte(now))
                .filter(job::Column::Status.is_in(
                    State::ALL.into_iter().filter(|state| state.is_final()).map(State::name),
                ))
                .limit(100)
                .all(&self.write)
                .await?;
        let mut jobs = Vec::with_capacity(over.len());
        for row in over {
            let mut job = Job::try_from(row)?;
            if job.state == State::Done {
                let transaction = self.begin().await?;
                if let Some(expired) =
                    updated(change(job.id, Transition::EXPIRE), &transaction).await?
                {
                    record(
                        &transaction,
                        job.id,
                        Some(State::Done),
                        State::Expired,
                        &json!({}),
                        now,
                    )
                    .await?;
                    job = expired;
                }
                transaction.commit().await?;
            }
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// The files of a job are gone.
    pub async fn files_removed(&self, id: JobId) -> Result<(), Error> {
        job::Entity::update_many()
            .col_expr(job::Column::FilesRemoved, Expr::value(true))
            .filter(job::Column::Id.eq(id.0))
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// The keys, of those given, that no job has a use for. A job that is being worked on has a use
    /// for its attempt's archive.
    pub async fn orphans<'a>(&self, keys: &[(JobId, &'a str)]) -> Result<Vec<&'a str>, Error> {
        let ids: HashSet<JobId> = keys.iter().map(|(id, _)| *id).collect();
        let ids: Vec<JobId> = ids.into_iter().collect();
        let jobs = self.some_jobs(&ids).await?;
        let used = |id: &JobId, key: &str| {
            jobs.iter().any(|job| {
                let kept = job.video_path == key || job.zip_path.as_deref() == Some(key);
                job.id == *id
                    && (kept && job.state != State::Expired || job.state == State::Processing)
            })
        };
        Ok(keys.iter().filter(|(id, key)| !used(id, key)).map(|(_, key)| *key).collect())
    }

    /// Forget what nobody can use any more: refresh tokens a day after their end, and idempotency
    /// keys.
    pub async fn forget(&self) -> Result<(), Error> {
        let day_ago = self.now() - IDEMPOTENCY;
        refresh_token::Entity::delete_many()
            .filter(refresh_token::Column::ExpiresAt.lt(day_ago))
            .exec(&self.write)
            .await?;
        idempotency_key::Entity::delete_many()
            .filter(idempotency_key::Column::CreatedAt.lt(day_ago))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
