//! Claims of workers to jobs. Messages only wake workers: a worker that receives one claims the job
//! that is next in the order of [`rounds`](crate::rounds), whichever the message names.
//!
//! There are at least as many messages as waiting jobs, since each claim uses up one message, and
//! each job that waits again has another one. So while messages are left, each waiting job is
//! claimed in its turn. If the broker loses messages, its queue becomes empty before all jobs are
//! claimed, and the others are [announced again](Database::announce_lost).

use std::time::Duration;

use fail::fail_point;
use jobs::{JobId, Recipe, State, StoredRecipe, Time, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use tracing::warn;

use crate::bounded::Transaction;
use crate::change::Change;
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rounds::Place;
use crate::rows::{job, outbox};

/// Minimum pause before a job is announced again whose message came too early.
const EARLY_PAUSE: Duration = Duration::from_secs(1);

/// Number of jobs that are looked at together behind one that this version cannot process.
const BATCH: u64 = 100;

/// Claim of a worker to a job. It holds as long as the worker renews its lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Job at the time of the claim.
    pub job: Job,
    /// Recipe of the job.
    pub recipe: Recipe,
}

/// Job that a worker is to process next.
#[derive(Debug, Clone)]
pub enum NextJob {
    /// The worker has claimed this job.
    Claimed(Box<Claim>),
    /// No job is due that this version can process.
    Nothing,
    /// Other transactions have locked the jobs that are due. They may be claimed, or may be left
    /// without a message, so this message has to return to its queue.
    Locked,
}

/// First job in the order of claims, or what to do without one.
enum Found {
    Job(Box<Job>, Recipe),
    /// None; the first of those that need a later version, or the one that the message names.
    Nothing(Option<JobId>),
    Locked,
    /// A row could not be read, and is left alone from now on.
    Unreadable(Box<job::Model>),
}

impl Database {
    /// Claim the job that is next in the order of rounds, after a message about the job `named`. If
    /// that one is not due, it is announced again when it is.
    ///
    /// Jobs whose recipes are those of a later version are left to its workers. If there are no
    /// others, one of them is announced again after a pause.
    pub async fn claim(&self, named: JobId, worker: &str) -> Result<NextJob, Error> {
        loop {
            let (transaction, now) = (self.begin().await?, self.now());
            let (job, recipe) = match self.find_next(&transaction, named, now).await? {
                Found::Job(job, recipe) => (job, recipe),
                Found::Locked => return Ok(NextJob::Locked),
                Found::Unreadable(row) => {
                    transaction.rollback().await?;
                    self.readable(*row).await?;
                    continue;
                }
                Found::Nothing(later) => {
                    self.announce_when_due(&transaction, named, now).await?;
                    transaction.commit().await?;
                    if let Some(id) = later {
                        warn!(
                            job_id = %id,
                            "a later version wrote the recipe of the job; left to its workers"
                        );
                        self.leave_to_later_version(id).await?;
                    }
                    return Ok(NextJob::Nothing);
                }
            };
            let transition = match job.state {
                State::Queued => Transition::START,
                _ => Transition::RETRY,
            };
            let started = self.start_attempt(&transaction, job.id, transition, worker, now).await?;
            // The row is locked, so it has not changed.
            let Some(job) = started else { continue };
            if job.id != named {
                self.announce_when_due(&transaction, named, now).await?;
            }
            fail_point!("claim.before-commit");
            transaction.commit().await?;
            fail_point!("claim.after-commit");
            return Ok(NextJob::Claimed(Box::new(Claim { job, recipe })));
        }
    }

    /// Find and lock the next job that this version can process.
    async fn find_next(
        &self,
        transaction: &Transaction,
        named: JobId,
        now: Time,
    ) -> Result<Found, Error> {
        let (mut later, mut limit, mut after): (Option<JobId>, _, Option<Place>) = (None, 1, None);
        loop {
            let rows = self.lock_next_waiting(transaction, now, after, limit).await?;
            let count = rows.len() as u64;
            for row in rows {
                after = Some((row.round, row.id));
                let Ok(job) = Job::try_from(row.clone()) else {
                    return Ok(Found::Unreadable(Box::new(row)));
                };
                match job.recipe.clone() {
                    StoredRecipe::Known(recipe) => return Ok(Found::Job(Box::new(job), recipe)),
                    StoredRecipe::Unknown(_) if later.is_none() || job.id == named => {
                        later = Some(job.id);
                    }
                    StoredRecipe::Unknown(_) => {}
                }
            }
            if count < limit {
                let is_locked = self.is_any_waiting(transaction, now, after).await?;
                return Ok(if is_locked { Found::Locked } else { Found::Nothing(later) });
            }
            limit = BATCH;
        }
    }

    /// Begin an attempt at a job that waits and is due. Return the changed job; `None` if it is not
    /// in the state before the transition, or not due.
    pub(crate) async fn start_attempt(
        &self,
        transaction: &Transaction,
        id: JobId,
        transition: Transition,
        worker: &str,
        now: Time,
    ) -> Result<Option<Job>, Error> {
        let due = job::Column::NextAttemptAt.is_null().or(job::Column::NextAttemptAt.lte(now));
        Change::new(id, transition)
            .increment(job::Column::Attempt)
            .increment(job::Column::Fence)
            .set(job::Column::Worker, worker)
            .set(job::Column::LeaseUntil, now + self.rules.lease)
            .set(job::Column::StartedAt, Expr::col(job::Column::StartedAt).if_null(now))
            .clear(job::Column::NextAttemptAt)
            .set(job::Column::ProgressDone, 0)
            .set(job::Column::ReservedBytes, 0)
            .only_if(job::Column::LeaseUntil.is_null())
            .only_if(due)
            .apply(transaction, |job| json!({ "attempt": job.attempt, "worker": worker }), now)
            .await
    }

    /// Write the message of a job that is not due yet into the outbox again, because the one that
    /// was delivered is going to be acknowledged.
    pub(crate) async fn announce_when_due(
        &self,
        transaction: &Transaction,
        id: JobId,
        now: Time,
    ) -> Result<(), Error> {
        let row = job::Entity::find_by_id(id.0)
            .filter(job::Column::WaitingSince.gt(now))
            .one(transaction)
            .await?;
        let Some(row) = row else { return Ok(()) };
        // The clocks of two processes differ a little. Without a pause, the message would circulate
        // between them until both agree.
        let due = std::cmp::max(row.waiting_since.unwrap_or(now), now + EARLY_PAUSE);
        // A message that no relay has taken yet. The one that was delivered may still be in the
        // outbox, but taking it has changed its `run_after`.
        let announced = outbox::Entity::find()
            .filter(outbox::Column::JobId.eq(id.0))
            .filter(outbox::Column::DueAt.gt(now))
            .filter(Expr::col(outbox::Column::RunAfter).eq(Expr::col(outbox::Column::DueAt)))
            .one(transaction)
            .await?;
        // A row that cannot be read is quarantined when it is due.
        if announced.is_none()
            && let Ok(job) = Job::try_from(row)
        {
            self.write_created_message(transaction, &job, due).await?;
        }
        Ok(())
    }
}
