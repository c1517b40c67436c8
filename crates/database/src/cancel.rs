//! What users do to their jobs: cancel and delete.

use jobs::message::{Cancelled, Event};
use jobs::{JobId, State, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;

use crate::job::{change, record, updated};
use crate::outbox;
use crate::rows::job;
use crate::{Database, Error, Job};

impl Database {
    /// Cancel a job that was seen in the state `seen`. None if it is in another by now, or in one
    /// that cannot be cancelled.
    ///
    /// A worker that has the job learns of it when it renews its lease, and its result cannot be
    /// written any more.
    pub async fn cancel(&self, id: JobId, seen: State) -> Result<Option<Job>, Error> {
        let Some(transition) = Transition::cancel(seen) else { return Ok(None) };
        let (transaction, now) = (self.begin().await?, self.now());
        let update = change(id, transition)
            .col_expr(job::Column::Fence, Expr::col(job::Column::Fence).add(1));
        let Some(job) = updated(self.ended(update, now), &transaction).await? else {
            return Ok(None);
        };
        record(&transaction, id, Some(transition.from()), transition.to(), &json!({}), now).await?;
        let event = Event::Cancelled(Cancelled {
            job_id: job.id,
            user_id: job.user_id,
            filename: job.filename.clone(),
        });
        outbox::put(&transaction, self.message(&job, event), job.traceparent.as_deref(), now)
            .await?;
        transaction.commit().await?;
        self.wake_relay();
        Ok(Some(job))
    }

    /// Delete a job in a final state, with its history. False if it is in no final state, or gone.
    /// Its files are orphans from then on.
    pub async fn delete(&self, id: JobId) -> Result<bool, Error> {
        let ended = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
        let deleted = job::Entity::delete_many()
            .filter(job::Column::Id.eq(id.0))
            .filter(job::Column::Status.is_in(ended))
            .exec(&self.write)
            .await?;
        Ok(deleted.rows_affected > 0)
    }
}
