//! Recovery of what a lost process or broker left unfinished: expired leases, unpublished or lost
//! messages, and unsent mails.

use std::time::Duration;

use jobs::{AttemptOutcome, FailureCode, JobId, State, Time};
use sea_orm::sea_query::{
    Expr, ExprTrait, LockBehavior, LockType, Query, SelectStatement, SimpleExpr,
};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::notifications::PENDING;
use crate::rows::{equals_constant, job, notification, outbox, webhook_delivery};

/// Maximum number of jobs that one transaction announces again.
const ANNOUNCE_LIMIT: u64 = 1000;

/// Lease of a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Job of the attempt.
    pub job: JobId,
    /// Fence of the claim.
    pub fence: i64,
    /// Time until which the job belongs to its worker.
    pub until: Time,
}

impl Database {
    /// Leases of all running attempts.
    pub async fn leases(&self) -> Result<Vec<Lease>, Error> {
        // Only these columns, so that every row can be read.
        let rows: Vec<(Uuid, i64, Time)> = job::Entity::find()
            .select_only()
            .columns([job::Column::Id, job::Column::Fence, job::Column::LeaseUntil])
            .filter(equals_constant(job::Column::Status, State::Processing.name()))
            .filter(job::Column::WaitingSince.is_null())
            .filter(job::Column::LeaseUntil.is_not_null())
            .filter(job::Column::Id.not_in_subquery(self.quarantined_ids()))
            .into_tuple()
            .all(&self.read)
            .await?;
        let lease = |(id, fence, until)| Lease { job: JobId(id), fence, until };
        Ok(rows.into_iter().map(lease).collect())
    }

    /// Fail the attempts that hold these leases, because their workers are lost, unless a lease was
    /// renewed or has not expired. Return their outcomes: [`AttemptOutcome::Retrying`] or
    /// [`AttemptOutcome::Failed`].
    ///
    /// Each attempt has its own transaction, which skips rows that another process has locked, so
    /// neither a frozen worker nor an unreadable row stops the others.
    pub async fn reap(&self, leases: &[Lease]) -> Result<Vec<AttemptOutcome>, Error> {
        const MESSAGE: &str = "the worker stopped renewing its lease";
        let mut outcomes = Vec::with_capacity(leases.len());
        for lease in leases {
            let transaction = self.begin().await?;
            let row = job::Entity::find_by_id(lease.job.0)
                .filter(job::Column::Status.eq(State::Processing.name()))
                .filter(job::Column::Fence.eq(lease.fence))
                .filter(job::Column::LeaseUntil.eq(lease.until))
                .filter(job::Column::LeaseUntil.lt(self.now()))
                .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
                .one(&transaction)
                .await?;
            let Some(row) = row else { continue };
            let Ok(job) = Job::try_from(row.clone()) else {
                transaction.rollback().await?;
                self.readable(row).await?;
                continue;
            };
            let code = FailureCode::WorkerLost;
            let outcome = self.fail_attempt(&transaction, &job, code, MESSAGE).await?;
            transaction.commit().await?;
            if outcome != AttemptOutcome::Lost {
                outcomes.push(outcome);
            }
        }
        if !outcomes.is_empty() {
            self.wake_relay();
        }
        Ok(outcomes)
    }

    /// Recover everything that other processes held: fail all attempts, make all messages and mails
    /// due, and forget turns at chores. Only for a process that has the database for itself and has
    /// just started.
    pub async fn recover_after_restart(&self) -> Result<(), Error> {
        self.expire_leases().await?;
        self.reap(&self.leases().await?).await?;
        self.forget_turns().await?;
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
        // Not those that pause after a failure: their receivers need the time.
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::NextAttemptAt, Expr::value(now))
            .filter(webhook_delivery::Column::NextAttemptAt.gt(now))
            .filter(equals_constant(webhook_delivery::Column::Status, PENDING))
            .filter(
                Expr::col(webhook_delivery::Column::Tries)
                    .gt(Expr::col(webhook_delivery::Column::RecordedTries)),
            )
            .exec(&self.write)
            .await?;
        Ok(())
    }

    /// Announce jobs again whose messages the broker has lost. Return their number.
    ///
    /// A message of any job lets the next one be claimed, so jobs lack messages only if the queue
    /// is empty. Then those are announced that were last announced at least `margin` ago.
    pub async fn announce_lost(
        &self,
        margin: Duration,
        queue_is_empty: bool,
    ) -> Result<u64, Error> {
        if !queue_is_empty {
            return Ok(0);
        }
        let before = self.now() - margin;
        let (mut total, mut after) = (0, None);
        loop {
            let page = self.announce_page(before, after).await?;
            total += page.announced;
            let Some(next) = page.next else { return Ok(total) };
            after = Some(next);
        }
    }

    /// Announce a page of the jobs again that were announced before a time and have no message in
    /// the outbox. `after` is the end of the previous page.
    async fn announce_page(
        &self,
        before: Time,
        after: Option<(Time, Uuid)>,
    ) -> Result<AnnouncedPage, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let mut query = job::Entity::find()
            .filter(job::Column::WaitingSince.lte(before))
            .filter(announced_at().lte(before))
            .filter(job::Column::Id.not_in_subquery(self.quarantined_ids()))
            .filter(Expr::not_exists(message_of_job()));
        if let Some((since, id)) = after {
            let same = announced_at().eq(since).and(job::Column::Id.gt(id));
            query = query.filter(announced_at().gt(since).or(same));
        }
        let rows = query
            // Not by the time since which they wait: many that wait for long may have been
            // announced again.
            .order_by_asc(announced_at())
            .order_by_asc(job::Column::Id)
            .limit(ANNOUNCE_LIMIT)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(&transaction)
            .await?;
        let is_full = rows.len() as u64 == ANNOUNCE_LIMIT;
        let end = rows.last().map(|row| (row.invited_at.unwrap_or(row.created_at), row.id));
        let (mut announced, mut unreadable) = (0, Vec::new());
        for row in rows {
            let Ok(job) = Job::try_from(row.clone()) else {
                unreadable.push(row);
                continue;
            };
            self.write_created_message(&transaction, &job, now).await?;
            job::Entity::update_many()
                .col_expr(job::Column::InvitedAt, Expr::value(now))
                .filter(job::Column::Id.eq(job.id.0))
                .exec(&transaction)
                .await?;
            announced += 1;
        }
        transaction.commit().await?;
        self.wake_relay();
        for row in unreadable {
            self.readable(row).await?;
        }
        Ok(AnnouncedPage { announced, next: end.filter(|_| is_full) })
    }
}

/// Page of jobs that were announced again.
struct AnnouncedPage {
    announced: u64,
    /// End of the page, if there may be more.
    next: Option<(Time, Uuid)>,
}

/// Time at which a job was announced to workers last.
fn announced_at() -> SimpleExpr {
    Expr::col(job::Column::InvitedAt).if_null(Expr::col(job::Column::CreatedAt))
}

/// Query for a message about the job of the outer query.
fn message_of_job() -> SelectStatement {
    let job = (job::Entity, job::Column::Id);
    Query::select()
        .expr(Expr::value(1))
        .from(outbox::Entity)
        .and_where(Expr::col((outbox::Entity, outbox::Column::JobId)).equals(job))
        .to_owned()
}
