//! Recovery of what a lost process or broker left unfinished: expired leases, unpublished or lost
//! messages, and unsent mails.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, State};
use sea_orm::sea_query::{Expr, ExprTrait, LockType, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
};

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::notifications::PENDING;
use crate::rows::{job, notification, outbox};

/// Maximum number of attempts that one call of [`Database::reap`] fails.
const REAP_LIMIT: u64 = 100;

/// Maximum number of jobs for which one call publishes messages again.
const REPUBLISH_LIMIT: u64 = 1000;

impl Database {
    /// Fail attempts whose lease has expired because their worker is lost. Return their outcomes:
    /// [`AttemptOutcome::Retrying`] or [`AttemptOutcome::Failed`].
    pub async fn reap(&self) -> Result<Vec<AttemptOutcome>, Error> {
        const MESSAGE: &str = "the worker stopped renewing its lease";
        let transaction = self.begin().await?;
        let expired = job::Entity::find()
            .filter(job::Column::Status.eq(State::Processing.name()))
            .filter(job::Column::LeaseUntil.lt(self.now()))
            .limit(REAP_LIMIT)
            .lock(LockType::Update)
            .all(&transaction)
            .await?;
        let mut outcomes = Vec::with_capacity(expired.len());
        for row in expired {
            let (job, code) = (Job::try_from(row)?, FailureCode::WorkerLost);
            let outcome = self.fail_attempt(&transaction, &job, code, MESSAGE).await?;
            if outcome != AttemptOutcome::Lost {
                outcomes.push(outcome);
            }
        }
        transaction.commit().await?;
        if !outcomes.is_empty() {
            self.wake_relay();
        }
        Ok(outcomes)
    }

    /// Recover everything that other processes held: fail all attempts, and make all messages and
    /// mails due. Only for a process that has the database for itself and has just started.
    pub async fn recover_after_restart(&self) -> Result<(), Error> {
        self.expire_leases().await?;
        while !self.reap().await?.is_empty() {}
        self.release_holds().await
    }

    /// Expire all leases.
    pub(crate) async fn expire_leases(&self) -> Result<(), Error> {
        job::Entity::update_many()
            .col_expr(job::Column::LeaseUntil, Expr::value(self.now() - Duration::from_secs(1)))
            .filter(job::Column::LeaseUntil.is_not_null())
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Make messages and mails due that were taken, but neither published nor sent.
    pub(crate) async fn release_holds(&self) -> Result<(), Error> {
        let now = self.now();
        // A message about an attempt whose pause has not ended was not taken.
        let pausing = Query::select()
            .column(job::Column::Id)
            .from(job::Entity)
            .cond_where(job::Column::NextAttemptAt.gt(now))
            .to_owned();
        outbox::Entity::update_many()
            .col_expr(outbox::Column::RunAfter, Expr::value(now))
            .filter(outbox::Column::RunAfter.gt(now))
            .filter(outbox::Column::JobId.not_in_subquery(pausing))
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

    /// Publish `job.created` messages again for jobs that have been waiting for at least `waited`
    /// without a message in the outbox. To be called when the queue of the broker is empty, because
    /// the broker may have lost their messages. Return the number of jobs.
    pub async fn republish_created(&self, waited: Duration) -> Result<u64, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let before = now - waited;
        let waiting = Condition::any()
            .add(job::Column::NextAttemptAt.lte(before))
            .add(job::Column::NextAttemptAt.is_null().and(job::Column::CreatedAt.lte(before)));
        let query = job::Entity::find()
            .filter(job::Column::LeaseUntil.is_null())
            .filter(job::Column::Status.is_in([State::Queued.name(), State::Processing.name()]))
            .filter(waiting);
        let jobs = without_message(query, &transaction).await?;
        for job in &jobs {
            self.write_created_message(&transaction, job, now).await?;
        }
        self.commit_republished(transaction, jobs.len()).await
    }

    /// Publish outcomes again for jobs that ended at least `waited` ago, without a notification and
    /// without a message in the outbox. To be called when the queue of the broker is empty, because
    /// the broker may have lost their messages. Jobs whose files are removed are left out, because
    /// their outcomes are of no use anymore. Return the number of jobs.
    pub async fn republish_outcomes(&self, waited: Duration) -> Result<u64, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let notified = job_ids(notification::Entity, notification::Column::JobId);
        let query = job::Entity::find()
            .filter(job::Column::Status.is_in([State::Done.name(), State::Failed.name()]))
            .filter(job::Column::CompletedAt.lte(now - waited))
            .filter(job::Column::FilesRemoved.eq(false))
            .filter(job::Column::Id.not_in_subquery(notified));
        let jobs = without_message(query, &transaction).await?;
        for job in &jobs {
            self.write_to_outbox(&transaction, job, job.outcome_event()?, now).await?;
        }
        self.commit_republished(transaction, jobs.len()).await
    }

    async fn commit_republished(
        &self,
        transaction: DatabaseTransaction,
        jobs: usize,
    ) -> Result<u64, Error> {
        transaction.commit().await?;
        if jobs > 0 {
            self.wake_relay();
        }
        Ok(jobs as u64)
    }
}

/// Run a query for jobs, without those that have a message in the outbox.
async fn without_message(
    query: Select<job::Entity>,
    transaction: &DatabaseTransaction,
) -> Result<Vec<Job>, Error> {
    let rows = query
        .filter(job::Column::Id.not_in_subquery(job_ids(outbox::Entity, outbox::Column::JobId)))
        .order_by_asc(job::Column::Id)
        .limit(REPUBLISH_LIMIT)
        .all(transaction)
        .await?;
    rows.into_iter().map(Job::try_from).collect()
}

/// Query for the job ids of a table.
fn job_ids<E: EntityTrait>(table: E, column: E::Column) -> SelectStatement {
    Query::select().column(column).from(table).to_owned()
}
