//! Attempt of a worker at a job, from its claim to one of finish, fail and release. Every step
//! carries the fence of the claim; a worker whose fence is stale has lost the job and changes
//! nothing.

use std::time::Duration;

use fail::fail_point;
use jobs::{AttemptOutcome, FailureCode, JobId, Recipe, StoredRecipe, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait};
use serde_json::json;
use tracing::warn;

use crate::change::{Change, only_if_held};
use crate::connection::Database;
use crate::error::Error;
use crate::job::Job;
use crate::rows::job;

/// Claim of a worker to a job. It holds as long as the worker renews its lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Job at the time of the claim.
    pub job: Job,
    /// Recipe of the job.
    pub recipe: Recipe,
}

/// Archive that a successful attempt stored.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Storage key.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// Number of frames in the archive.
    pub frame_count: u64,
    /// Expected number of frames.
    pub expected: u64,
    /// Whether the archive contains every expected frame, decoded without error.
    pub complete: bool,
    /// Warnings about the archive, as English sentences.
    pub warnings: Vec<String>,
    /// Duration of the attempt.
    pub duration: Duration,
}

impl Database {
    /// Claim a job. Return `None` if it is claimed, final or deleted, or if its next attempt is not
    /// due.
    ///
    /// Also return `None` if the recipe of the job is one of a later version, whose workers can
    /// process it. Then the job does not change, and is announced again after a pause.
    pub async fn claim(&self, id: JobId, worker: &str) -> Result<Option<Claim>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let mut claimed = None;
        for transition in [Transition::START, Transition::RETRY] {
            let due = job::Column::NextAttemptAt.is_null().or(job::Column::NextAttemptAt.lte(now));
            let change = Change::new(id, transition)
                .increment(job::Column::Attempt)
                .increment(job::Column::Fence)
                .set(job::Column::Worker, worker)
                .set(job::Column::LeaseUntil, now + self.rules.lease)
                .set(job::Column::StartedAt, Expr::col(job::Column::StartedAt).if_null(now))
                .clear(job::Column::NextAttemptAt)
                .set(job::Column::ProgressDone, 0)
                .only_if(job::Column::LeaseUntil.is_null())
                .only_if(due);
            let metadata = |job: &Job| json!({ "attempt": job.attempt, "worker": worker });
            if let Some(job) = change.apply(&transaction, metadata, now).await? {
                match job.recipe.clone() {
                    StoredRecipe::Known(recipe) => claimed = Some(Claim { job, recipe }),
                    StoredRecipe::Unknown(_) => {
                        transaction.rollback().await?;
                        warn!(
                            job_id = %id,
                            "a later version wrote the recipe of the job; left to its workers"
                        );
                        self.leave_to_later_version(id).await?;
                        return Ok(None);
                    }
                }
                break;
            }
        }
        fail_point!("claim.before-commit");
        transaction.commit().await?;
        fail_point!("claim.after-commit");
        Ok(claimed)
    }

    /// Renew the lease of a claim and record the progress of the attempt. Return whether the claim
    /// still holds; if not, the worker has to stop.
    pub async fn renew(
        &self,
        claim: &Claim,
        done: u64,
        expected: Option<u64>,
    ) -> Result<bool, Error> {
        let expected = expected.map(|count| count as i64);
        let renewed = only_if_held(job::Entity::update_many(), &claim.job)
            .col_expr(job::Column::LeaseUntil, Expr::value(self.now() + self.rules.lease))
            .col_expr(job::Column::ProgressDone, Expr::value(done as i64))
            .col_expr(job::Column::ProgressExpected, Expr::value(expected))
            .exec(&self.write)
            .await?;
        Ok(renewed.rows_affected > 0)
    }

    /// Finish a job whose archive is stored. Return [`AttemptOutcome::Completed`], or
    /// [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn finish(&self, claim: &Claim, archive: &Archive) -> Result<AttemptOutcome, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let change = Change::new(claim.job.id, Transition::FINISH)
            .only_if_held(&claim.job)
            .set(job::Column::ZipPath, archive.path.clone())
            .set(job::Column::ZipSizeBytes, archive.size_bytes as i64)
            .set(job::Column::FrameCount, archive.frame_count as i64)
            .set(job::Column::ProgressDone, archive.frame_count as i64)
            .set(job::Column::ProgressExpected, archive.expected as i64)
            .set(job::Column::Complete, archive.complete)
            .set(job::Column::Warnings, json!(archive.warnings).to_string())
            .set(job::Column::ProcessingTimeSeconds, archive.duration.as_secs_f64())
            .clear(job::Column::ErrorCode)
            .clear(job::Column::ErrorMessage)
            .end(now, self.rules.retention);
        let metadata = |job: &Job| {
            json!({
                "attempt": job.attempt,
                "frame_count": archive.frame_count,
                "zip_size_bytes": archive.size_bytes,
            })
        };
        let Some(job) = change.apply(&transaction, metadata, now).await? else {
            return Ok(AttemptOutcome::Lost);
        };
        self.write_to_outbox(&transaction, &job, job.outcome_event()?, now).await?;
        fail_point!("finish.before-commit");
        transaction.commit().await?;
        fail_point!("finish.after-commit");
        self.wake_relay();
        Ok(AttemptOutcome::Completed)
    }

    /// Record a failed attempt. Return [`AttemptOutcome::Retrying`] if the retry rules allow
    /// another attempt, [`AttemptOutcome::Failed`] if the job has failed, or
    /// [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn fail(
        &self,
        claim: &Claim,
        code: FailureCode,
        message: &str,
    ) -> Result<AttemptOutcome, Error> {
        let transaction = self.begin().await?;
        let outcome = self.fail_attempt(&transaction, &claim.job, code, message).await?;
        fail_point!("fail.before-commit");
        transaction.commit().await?;
        fail_point!("fail.after-commit");
        self.wake_relay();
        Ok(outcome)
    }

    /// Return a job to the queue as if it had not been claimed, because the worker stops. Return
    /// [`AttemptOutcome::Released`], or [`AttemptOutcome::Lost`] if the claim does not hold.
    pub async fn release(&self, claim: &Claim) -> Result<AttemptOutcome, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let change = Change::new(claim.job.id, Transition::RETRY)
            .only_if_held(&claim.job)
            .set(job::Column::Attempt, Expr::col(job::Column::Attempt).sub(1))
            .set(job::Column::ProgressDone, 0);
        let metadata = json!({ "released": true });
        if self.enqueue(&transaction, change, metadata, now, now).await?.is_none() {
            return Ok(AttemptOutcome::Lost);
        }
        transaction.commit().await?;
        self.wake_relay();
        Ok(AttemptOutcome::Released)
    }

    /// Record a failed attempt in a transaction. `held` is the job as it was claimed.
    pub(crate) async fn fail_attempt(
        &self,
        transaction: &DatabaseTransaction,
        held: &Job,
        code: FailureCode,
        message: &str,
    ) -> Result<AttemptOutcome, Error> {
        let now = self.now();
        let mut metadata =
            json!({ "attempt": held.attempt, "error_code": code, "error_message": message });
        let change = |transition| {
            Change::new(held.id, transition)
                .only_if_held(held)
                .set(job::Column::ErrorCode, code.name())
                .set(job::Column::ErrorMessage, message)
        };
        if let Some(pause) = self.rules.retries.pause(code, held.attempt) {
            let due = now + pause;
            let change = change(Transition::RETRY).set(job::Column::NextAttemptAt, due);
            metadata["next_attempt_at"] = json!(due);
            return Ok(match self.enqueue(transaction, change, metadata, now, due).await? {
                Some(_) => AttemptOutcome::Retrying,
                None => AttemptOutcome::Lost,
            });
        }
        let change = change(Transition::FAIL).end(now, self.rules.retention);
        let Some(job) = change.apply(transaction, |_| metadata, now).await? else {
            return Ok(AttemptOutcome::Lost);
        };
        self.write_to_outbox(transaction, &job, job.outcome_event()?, now).await?;
        Ok(AttemptOutcome::Failed)
    }
}
