//! Queueing of jobs for the workers: when they are accepted, and again after a failed attempt, a
//! release, an operator's request, or the loss of a message.

use std::time::Duration;

use jobs::message::Created;
use jobs::{JobId, Message, Time};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde_json::Value;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::outbox::insert;
use crate::rows::{job, outbox};

/// Pause before a job is announced again that no worker of this version can process.
const LATER_VERSION_PAUSE: Duration = Duration::from_mins(1);

impl Database {
    /// Apply a change at the time `now`, after which the job waits for a worker, and announce the
    /// job to workers at `due`. Return the changed job; `None` if the change had no effect.
    pub(crate) async fn enqueue(
        &self,
        on: &impl ConnectionTrait,
        change: Change,
        metadata: Value,
        now: Time,
        due: Time,
    ) -> Result<Option<Job>, Error> {
        let change = change.clear(job::Column::LeaseUntil).set(job::Column::InvitedAt, due);
        let Some(job) = change.apply(on, |_| metadata, now).await? else {
            return Ok(None);
        };
        self.write_created_message(on, &job, due).await?;
        Ok(Some(job))
    }

    /// Write a message that announces a job to workers into the outbox, due at `due`. Repeated
    /// messages are harmless, because only one claim succeeds.
    pub(crate) async fn write_created_message(
        &self,
        on: &impl ConnectionTrait,
        job: &Job,
        due: Time,
    ) -> Result<(), Error> {
        self.write_to_outbox(on, job, job.created_event(), due).await
    }

    /// Announce a job to workers again after a pause, because it needs a worker of a later version.
    ///
    /// Each call follows the delivery of a message, which it replaces; so messages neither get lost
    /// nor circulate without a pause. If a message was delivered twice, the second call has no
    /// effect.
    pub(crate) async fn leave_to_later_version(&self, id: JobId) -> Result<(), Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let Some(row) = job::Entity::find_by_id(id.0).one(&transaction).await? else {
            return Ok(());
        };
        let job = Job::try_from(row)?;
        // Only messages of this function have a time in the future. The message that was delivered
        // may be one too, until the relay deletes it, but taking it has changed when it is due.
        let postponed = outbox::Entity::find()
            .filter(outbox::Column::JobId.eq(job.id.0))
            .filter(outbox::Column::EventType.eq(Created::EVENT_TYPE))
            .filter(outbox::Column::CreatedAt.gt(now))
            .filter(Expr::col(outbox::Column::RunAfter).eq(Expr::col(outbox::Column::CreatedAt)))
            .one(&transaction)
            .await?;
        if postponed.is_none() {
            // With this time, the message does not count as unpublished before it is due.
            let due = now + LATER_VERSION_PAUSE;
            let max_retries = self.rules.retries.max_retries();
            let message = Message::new(job.created_event(), due, job.retry_count(), max_retries);
            let traceparent = job.traceparent.as_deref();
            insert(&transaction, &message, traceparent, due).await?;
        }
        Ok(transaction.commit().await?)
    }
}
