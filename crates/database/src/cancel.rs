//! Cancellation and deletion of jobs by their users.

use jobs::{JobId, State, Transition};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::job;

impl Database {
    /// Cancel a job whose last known state is `seen`. Return `None` if it is in another state
    /// now, or in one that cannot be cancelled.
    ///
    /// A worker that holds the job detects the cancellation when it renews its lease, and cannot
    /// record a result anymore.
    pub async fn cancel(&self, id: JobId, seen: State) -> Result<Option<Job>, Error> {
        let Some(transition) = Transition::cancel(seen) else { return Ok(None) };
        let (transaction, now) = (self.begin().await?, self.now());
        let Some(place) = self.place_before_cancellation(&transaction, id).await? else {
            return Ok(None);
        };
        let change = Change::new(id, transition)
            .increment(job::Column::Fence)
            .end(now, self.rules.retention);
        let Some(job) = change.apply(&transaction, |_| json!({}), now).await? else {
            return Ok(None);
        };
        self.move_up_behind(&transaction, &place).await?;
        self.write_webhook_deliveries(&transaction, &job, now).await?;
        self.write_to_outbox(&transaction, &job, job.outcome_event()?, now).await?;
        transaction.commit().await?;
        self.wake_relay();
        Ok(Some(job))
    }

    /// Delete a job in a final state, with its history. Its files are orphans from then on. Return
    /// whether the job was deleted: `false` if it is in no final state or does not exist.
    pub async fn delete(&self, id: JobId) -> Result<bool, Error> {
        let is_final = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
        let deleted = job::Entity::delete_many()
            .filter(job::Column::Id.eq(id.0))
            .filter(job::Column::Status.is_in(is_final))
            .exec(&self.write)
            .await?;
        Ok(deleted.rows_affected > 0)
    }
}
