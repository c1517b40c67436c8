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
use sea_orm::sea_query::{
    Asterisk, CommonTableExpression, Expr, ExprTrait, IntoColumnRef, LockBehavior, LockType, Query,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter,
    QuerySelect, QueryTrait, UpdateMany,
};
use serde_json::{Value, json};
use tracing::warn;

use crate::bounded::Transaction;
use crate::change::{Change, record};
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

/// Names in the statement of [`Database::claim_first`].
const FIRST: &str = "first";
const PREVIOUS: &str = "previous";
const NAMED_IS_EARLY: &str = "named_is_early";

impl Database {
    /// Claim the job that is next in the order of rounds, after a message about the job `named`. If
    /// that one is not due, it is announced again when it is.
    ///
    /// Jobs whose recipes are those of a later version are left to its workers. If there are no
    /// others, one of them is announced again after a pause.
    pub async fn claim(&self, named: JobId, worker: &str) -> Result<NextJob, Error> {
        if self.write.get_database_backend() == DbBackend::Postgres
            && let Some(claim) = self.claim_first(named, worker).await?
        {
            return Ok(NextJob::Claimed(Box::new(claim)));
        }
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

    /// Claim the first job in the order of claims as one statement finds, locks and changes it.
    /// Return `None` without any effect if there is none, or none that this version can process.
    /// Most claims succeed here; each further statement would cost another round trip to the
    /// server.
    async fn claim_first(&self, named: JobId, worker: &str) -> Result<Option<Claim>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let named_is_early = job::Entity::find_by_id(named.0)
            .select_only()
            .column(job::Column::Id)
            .filter(job::Column::WaitingSince.gt(now))
            .into_query();
        let first = self
            .waiting(now, None)
            .select_only()
            .column(job::Column::Id)
            .expr_as(Expr::col(job::Column::Status), PREVIOUS)
            .expr_as(Expr::exists(named_is_early), NAMED_IS_EARLY)
            .limit(1)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let first = CommonTableExpression::new().query(first).table_name(FIRST).to_owned();
        let mut update = self.new_attempt(worker, now).into_query();
        update
            .value(job::Column::Status, State::Processing.name())
            .from(FIRST)
            .and_where(Expr::col((job::Entity, job::Column::Id)).equals((FIRST, job::Column::Id)))
            .returning(Query::returning().columns([
                (job::Entity, Asterisk).into_column_ref(),
                (FIRST, PREVIOUS).into_column_ref(),
                (FIRST, NAMED_IS_EARLY).into_column_ref(),
            ]));
        let statement = update.with(Query::with().cte(first).to_owned());
        let Some(row) = transaction.query_one(&statement).await? else { return Ok(None) };
        let job = Job::try_from(job::Model::from_query_result(&row, "")?).ok();
        let known = job.and_then(|job| Some((job.recipe.known()?.clone(), job)));
        let Some((recipe, job)) = known else {
            // The row cannot be read, or a later version wrote the recipe. A transaction that is
            // only dropped would hold its lock for a moment longer.
            transaction.rollback().await?;
            return Ok(None);
        };
        let previous = row.try_get::<String>("", PREVIOUS)?.parse().ok();
        let metadata = attempt_metadata(&job, worker);
        record(&transaction, job.id, previous, job.state, &metadata, now).await?;
        if row.try_get("", NAMED_IS_EARLY)? {
            self.announce_when_due(&transaction, named, now).await?;
        }
        fail_point!("claim.before-commit");
        transaction.commit().await?;
        fail_point!("claim.after-commit");
        Ok(Some(Claim { job, recipe }))
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
        Change::with(id, transition, self.new_attempt(worker, now))
            .only_if(job::Column::LeaseUntil.is_null())
            .only_if(due)
            .apply(transaction, |job| attempt_metadata(job, worker), now)
            .await
    }

    /// Columns of a job that change when an attempt begins, except its state.
    fn new_attempt(&self, worker: &str, now: Time) -> UpdateMany<job::Entity> {
        // With the table: in a claim, columns of another one have the same names.
        let old = |column| Expr::col((job::Entity, column));
        let lease_until = now + self.rules.lease;
        job::Entity::update_many()
            .col_expr(job::Column::Attempt, old(job::Column::Attempt).add(1))
            .col_expr(job::Column::Fence, old(job::Column::Fence).add(1))
            .col_expr(job::Column::Worker, Expr::value(worker))
            .col_expr(job::Column::LeaseUntil, Expr::value(lease_until))
            .col_expr(job::Column::StartedAt, old(job::Column::StartedAt).if_null(now))
            .col_expr(job::Column::NextAttemptAt, Expr::cust("NULL"))
            .col_expr(job::Column::ProgressDone, Expr::value(0))
            .col_expr(job::Column::ReservedBytes, Expr::value(0))
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

/// Metadata of an attempt in the history of its job.
fn attempt_metadata(job: &Job, worker: &str) -> Value {
    json!({ "attempt": job.attempt, "worker": worker })
}
