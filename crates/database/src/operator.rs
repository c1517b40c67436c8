//! What operators do: look at jobs that failed, and put them back once the cause is mended.

use jobs::{FailureCode, JobId, State, Time, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::json;

use crate::job::{change, record, updated};
use crate::outbox::put;
use crate::rows::{job, notification, outbox};
use crate::{Database, Error, Job};

/// The outcome that is undone.
pub(crate) const OUTCOME: &str = "job.failed";

/// What came of the wish to put a job back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutBack {
    /// It waits for a worker again.
    Queued,
    /// It is in another state than FAILED. Nothing was changed.
    Is(State),
    /// Its time is over: its video is removed, or about to be. Nothing was changed.
    Over,
    /// There is no such job.
    Unknown,
}

impl Database {
    /// Jobs that failed for good, by this code if there is one; those that failed last come first.
    pub async fn failed_jobs(
        &self,
        code: Option<FailureCode>,
        limit: u64,
    ) -> Result<Vec<Job>, Error> {
        let mut query = job::Entity::find().filter(job::Column::Status.eq(State::Failed.name()));
        if let Some(code) = code {
            query = query.filter(job::Column::ErrorCode.eq(code.name()));
        }
        let last_first =
            query.order_by_desc(job::Column::CompletedAt).order_by_desc(job::Column::Id);
        last_first.limit(limit).all(&self.read).await?.into_iter().map(Job::try_from).collect()
    }

    /// The jobs that failed by this code and whose time is not over.
    pub async fn retryable(&self, code: FailureCode) -> Result<Vec<JobId>, Error> {
        let rows = job::Entity::find()
            .filter(job::Column::Status.eq(State::Failed.name()))
            .filter(job::Column::ErrorCode.eq(code.name()))
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::ExpiresAt.gt(self.now()))
            .order_by_asc(job::Column::Id)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|row| JobId(row.id)).collect())
    }

    /// Put a job that failed before the workers again, as if nobody had tried it: with all
    /// attempts, at once, its files kept as long as those of a new one. Its user is told of the new
    /// outcome, and of the old one no more if that has not happened yet.
    pub async fn put_back(&self, id: JobId) -> Result<PutBack, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let update = change(id, Transition::PUT_BACK)
            .col_expr(job::Column::Attempt, Expr::value(0))
            // What still comes from a worker that lost the job stays stale.
            .col_expr(job::Column::Fence, Expr::col(job::Column::Fence).add(1))
            .col_expr(job::Column::Worker, Expr::value(None::<String>))
            .col_expr(job::Column::NextAttemptAt, Expr::value(now))
            .col_expr(job::Column::ProgressDone, Expr::value(0))
            .col_expr(job::Column::ErrorCode, Expr::value(None::<String>))
            .col_expr(job::Column::ErrorMessage, Expr::value(None::<String>))
            .col_expr(job::Column::CompletedAt, Expr::value(None::<Time>))
            .col_expr(job::Column::ExpiresAt, Expr::value(now + self.rules.retention))
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::ExpiresAt.gt(now));
        let Some(job) = updated(update, &transaction).await? else {
            let found = job::Entity::find_by_id(id.0)
                .one(&transaction)
                .await?
                .map(Job::try_from)
                .transpose()?;
            return Ok(match found.map(|job| job.state) {
                None => PutBack::Unknown,
                Some(State::Failed) => PutBack::Over,
                Some(state) => PutBack::Is(state),
            });
        };
        // An outcome is told once. What is noted of this one would keep the next failure from being
        // told.
        outbox::Entity::delete_many()
            .filter(outbox::Column::JobId.eq(id.0))
            .filter(outbox::Column::EventType.eq(OUTCOME))
            .exec(&transaction)
            .await?;
        notification::Entity::delete_many()
            .filter(notification::Column::JobId.eq(id.0))
            .filter(notification::Column::EventType.eq(OUTCOME))
            .exec(&transaction)
            .await?;
        record(
            &transaction,
            id,
            Some(State::Failed),
            State::Queued,
            &json!({ "by": "operator" }),
            now,
        )
        .await?;
        put(&transaction, self.created(&job), job.traceparent.as_deref(), now).await?;
        transaction.commit().await?;
        self.wake_relay();
        Ok(PutBack::Queued)
    }
}
