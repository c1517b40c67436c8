//! Functions for operators: list failed jobs and queue them again.

use jobs::message::Failed;
use jobs::{FailureCode, JobId, State, Transition, UserId};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::{equals_constant, job, notification, outbox};

/// Result of queueing a failed job again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requeue {
    /// The job waits for a worker again.
    Queued,
    /// The job is in this state and not in FAILED. Nothing was changed.
    NotFailed(State),
    /// The retention period of the video has ended. Nothing was changed.
    Expired,
    /// No such job exists.
    NotFound,
}

impl Database {
    /// Jobs in state FAILED, optionally only those with a certain code; the latest failure first.
    pub async fn failed_jobs(
        &self,
        code: Option<FailureCode>,
        limit: u64,
    ) -> Result<Vec<Job>, Error> {
        let is_failed = equals_constant(job::Column::Status, State::Failed.name());
        let mut query = job::Entity::find().filter(is_failed);
        if let Some(code) = code {
            query = query.filter(job::Column::ErrorCode.eq(code.name()));
        }
        let rows = query
            .order_by_desc(job::Column::CompletedAt)
            .order_by_desc(job::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(Job::try_from).collect()
    }

    /// Jobs that failed with this code and whose videos are kept.
    pub async fn requeueable_jobs(&self, code: FailureCode) -> Result<Vec<JobId>, Error> {
        let rows = job::Entity::find()
            .filter(equals_constant(job::Column::Status, State::Failed.name()))
            .filter(job::Column::ErrorCode.eq(code.name()))
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::ExpiresAt.gt(self.now()))
            .order_by_asc(job::Column::Id)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|row| JobId(row.id)).collect())
    }

    /// Queue a failed job again as if it had never been tried: with all attempts, due at once, and
    /// with a new retention period. Its failure is not announced anymore if that has not happened
    /// yet; its next outcome is.
    pub async fn requeue(&self, id: JobId) -> Result<Requeue, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let Some(row) = job::Entity::find_by_id(id.0).one(&transaction).await? else {
            return Ok(Requeue::NotFound);
        };
        let round = self.next_round(&transaction, UserId(row.user_id)).await?;
        let change = Change::new(id, Transition::REQUEUE)
            .set(job::Column::Round, round)
            .set(job::Column::Attempt, 0)
            .set(job::Column::Charged, 0)
            // Invalidates the claims of all earlier workers.
            .increment(job::Column::Fence)
            .clear(job::Column::Worker)
            .set(job::Column::NextAttemptAt, now)
            .set(job::Column::ProgressDone, 0)
            .clear(job::Column::ErrorCode)
            .clear(job::Column::ErrorMessage)
            .clear(job::Column::CompletedAt)
            .set(job::Column::ExpiresAt, now + self.rules.retention)
            .only_if(job::Column::FilesRemoved.eq(false))
            .only_if(job::Column::Removing.eq(false))
            .only_if(job::Column::ExpiresAt.gt(now));
        let metadata = json!({ "by": "operator" });
        if self.enqueue(&transaction, change, metadata, now, now).await?.is_none() {
            let row = job::Entity::find_by_id(id.0).one(&transaction).await?;
            return Ok(match row.map(Job::try_from).transpose()?.map(|job| job.state) {
                None => Requeue::NotFound,
                Some(State::Failed) => Requeue::Expired,
                Some(state) => Requeue::NotFailed(state),
            });
        }
        // Each outcome is announced once; traces of this failure would suppress the next one.
        outbox::Entity::delete_many()
            .filter(outbox::Column::JobId.eq(id.0))
            .filter(outbox::Column::EventType.eq(Failed::EVENT_TYPE))
            .exec(&transaction)
            .await?;
        notification::Entity::delete_many()
            .filter(notification::Column::JobId.eq(id.0))
            .filter(notification::Column::EventType.eq(Failed::EVENT_TYPE))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        self.wake_relay();
        Ok(Requeue::Queued)
    }
}
