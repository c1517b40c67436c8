//! Recovery: what a process that is gone, or a broker that forgot, left undone.

use std::time::Duration;

use jobs::State;
use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::attempt::outcome;
use crate::notifications::PENDING;
use crate::outbox::put;
use crate::rows::{job, notification, outbox};
use crate::{Database, Error, Job};

impl Database {
    /// Tell again of jobs that have been over for at least `waited` although nobody has noted that
    /// their users are to be told, and no message about them is in the outbox. To be called when
    /// the broker has none either: it may have lost them. Once the files of a job are gone there is
    /// nothing to tell any more.
    pub async fn tell_again(&self, waited: Duration) -> Result<u64, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let pending = Query::select().column(outbox::Column::JobId).from(outbox::Entity).to_owned();
        let noted = Query::select()
            .column(notification::Column::JobId)
            .from(notification::Entity)
            .to_owned();
        let rows = job::Entity::find()
            .filter(job::Column::Status.is_in([State::Done.name(), State::Failed.name()]))
            .filter(job::Column::CompletedAt.lte(now - waited))
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::Id.not_in_subquery(pending))
            .filter(job::Column::Id.not_in_subquery(noted))
            .order_by_asc(job::Column::Id)
            .limit(1000)
            .all(&transaction)
            .await?;
        let count = rows.len() as u64;
        for row in rows {
            let job = Job::try_from(row)?;
            let event = outcome(&job)
                .ok_or_else(|| Error::Corrupt(format!("the outcome of job {}", job.id)))?;
            put(&transaction, self.message(&job, event), job.traceparent.as_deref(), now).await?;
        }
        transaction.commit().await?;
        if count > 0 {
            self.wake_relay();
        }
        Ok(count)
    }

    /// Let go of what was taken and neither published nor sent: messages and mails are due again.
    /// Only for a process that knows that all others are gone, as for [`Database::end_leases`].
    pub async fn end_holds(&self) -> Result<(), Error> {
        let now = self.now();
        // A message about an attempt that is still to wait has not been taken.
        let later = Query::select()
            .column(job::Column::Id)
            .from(job::Entity)
            .cond_where(job::Column::NextAttemptAt.gt(now))
            .to_owned();
        outbox::Entity::update_many()
            .col_expr(outbox::Column::RunAfter, Expr::value(now))
            .filter(outbox::Column::RunAfter.gt(now))
            .filter(outbox::Column::JobId.not_in_subquery(later))
            .exec(&self.write)
            .await?;
        notification::Entity::update_many()
            .col_expr(notification::Column::NextAttemptAt, Expr::value(now))
            .filter(notification::Column::NextAttemptAt.gt(now))
            .filter(notification::Column::Status.eq(PENDING))
            .exec(&self.write)
            .await?;
        Ok(())
    }
}
