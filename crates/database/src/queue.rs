//! Queueing of jobs for the workers: when they are accepted, and again after a failed attempt, a
//! release, an operator's request, or the loss of a message.

use jobs::Time;
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::job;

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
        let change = change.clear(job::Column::LeaseUntil);
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
}
