//! One attempt of one worker at one job: claimed, kept alive by renewal, and ended by exactly one
//! of finish, fail and release, or by the reaper. Every step carries the fence of the claim; whose
//! fence is stale has lost the job and changes nothing.

use std::time::Duration;

use fail::fail_point;
use jobs::message::{Completed, Event, Failed};
use jobs::{FailureCode, JobId, Language, State, Time, Transition};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, UpdateMany,
};
use serde_json::json;

use crate::job::{change, record, updated};
use crate::outbox;
use crate::rows::job;
use crate::{Database, Error, Job};

/// A job that a worker has for as long as it renews its lease.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job, as it was claimed.
    pub job: Job,
}

/// What a successful attempt made.
#[derive(Debug, Clone)]
pub struct Archive {
    /// Its key in storage.
    pub path: String,
    /// Its bytes.
    pub size_bytes: u64,
    /// Pictures in it.
    pub frame_count: u64,
    /// Pictures that the video promises.
    pub expected: u64,
    /// Whether nothing is missing and nothing damaged.
    pub complete: bool,
    /// What a careful user should know of it.
    pub warnings: Vec<String>,
    /// How long the attempt took.
    pub took: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// As the worker said.
    Accordingly,
    /// Another attempt follows.
    ToBeRetried,
    /// The worker had lost the job before: to another worker, or because its user cancelled it.
    /// Nothing was changed.
    Lost,
}

impl Database {
    /// Claim a job. None if it is taken, finished, cancelled, deleted, or not due yet.
    pub async fn claim(&self, id: JobId, worker: &str) -> Result<Option<Claim>, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let mut claimed = None;
        for transition in [Transition::START, Transition::RETRY] {
            let update = change(id, transition)
                .col_expr(job::Column::Attempt, Expr::col(job::Column::Attempt).add(1))
                .col_expr(job::Column::Fence, Expr::col(job::Column::Fence).add(1))
                .col_expr(job::Column::Worker, Expr::value(worker))
                .col_expr(job::Column::LeaseUntil, Expr::value(now + self.rules.lease))
                .col_expr(job::Column::StartedAt, Expr::col(job::Column::StartedAt).if_null(now))
                .col_expr(job::Column::NextAttemptAt, Expr::value(None::<Time>))
                .col_expr(job::Column::ProgressDone, Expr::value(0))
                .filter(job::Column::LeaseUntil.is_null())
                .filter(
                    job::Column::NextAttemptAt.is_null().or(job::Column::NextAttemptAt.lte(now)),
                );
            if let Some(job) = updated(update, &transaction).await? {
                let metadata = json!({ "attempt": job.attempt, "worker": worker });
                record(&transaction, id, Some(transition.from()), transition.to(), &metadata, now)
                    .await?;
                claimed = Some(Claim { job });
                break;
            }
        }
        fail_point!("claim.before-commit");
        transaction.commit().await?;
        fail_point!("claim.after-commit");
        Ok(claimed)
    }

    /// Keep a claim alive and say how far the attempt is. False if the job is lost: the worker has
    /// to stop.
    pub async fn renew(
        &self,
        claim: &Claim,
        done: u64,
        expected: Option<u64>,
    ) -> Result<bool, Error> {
        let renewed = held(claim, job::Entity::update_many())
            .col_expr(job::Column::LeaseUntil, Expr::value(self.now() + self.rules.lease))
            .col_expr(job::Column::ProgressDone, Expr::value(done as i64))
            .col_expr(
                job::Column::ProgressExpected,
                Expr::value(expected.map(|count| count as i64)),
            )
            .exec(&self.write)
            .await?;
        Ok(renewed.rows_affected > 0)
    }

    /// The archive is in storage.
    pub async fn finish(&self, claim: &Claim, archive: &Archive) -> Result<Ended, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let update = held(claim, change(claim.job.id, Transition::FINISH))
            .col_expr(job::Column::ZipPath, Expr::value(archive.path.clone()))
            .col_expr(job::Column::ZipSizeBytes, Expr::value(archive.size_bytes as i64))
            .col_expr(job::Column::FrameCount, Expr::value(archive.frame_count as i64))
            .col_expr(job::Column::ProgressDone, Expr::value(archive.frame_count as i64))
            .col_expr(job::Column::ProgressExpected, Expr::value(archive.expected as i64))
            .col_expr(job::Column::Complete, Expr::value(archive.complete))
            .col_expr(job::Column::Warnings, Expr::value(json!(archive.warnings).to_string()))
            .col_expr(job::Column::ProcessingTimeSeconds, Expr::value(archive.took.as_secs_f64()))
            .col_expr(job::Column::ErrorCode, Expr::value(None::<String>))
            .col_expr(job::Column::ErrorMessage, Expr::value(None::<String>));
        let Some(job) = updated(self.ended(update, now), &transaction).await? else {
            return Ok(Ended::Lost);
        };
        let metadata = json!({ "attempt": job.attempt, "frame_count": archive.frame_count, "zip_size_bytes": archive.size_bytes });
        record(&transaction, job.id, Some(State::Processing), State::Done, &metadata, now).await?;
        let event = outcome(&job)
            .ok_or_else(|| Error::Corrupt(format!("the archive of job {}", job.id)))?;
        outbox::put(&transaction, self.message(&job, event), job.traceparent.as_deref(), now)
            .await?;
        fail_point!("finish.before-commit");
        transaction.commit().await?;
        fail_point!("finish.after-commit");
        self.wake_relay();
        Ok(Ended::Accordingly)
    }

    /// The attempt failed. Another follows if that may help; else the job has failed.
    pub async fn fail(
        &self,
        claim: &Claim,
        code: FailureCode,
        message: &str,
    ) -> Result<Ended, Error> {
        let transaction = self.begin().await?;
        let ended = self.fail_in(&transaction, &claim.job, code, message).await?;
        fail_point!("fail.before-commit");
        transaction.commit().await?;
        fail_point!("fail.after-commit");
        self.wake_relay();
        Ok(ended)
    }

    /// Give a job back, as if it had not been claimed: the worker has to go.
    pub async fn release(&self, claim: &Claim) -> Result<Ended, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let update = held(claim, change(claim.job.id, Transition::RETRY))
            .col_expr(job::Column::Attempt, Expr::col(job::Column::Attempt).sub(1))
            .col_expr(job::Column::LeaseUntil, Expr::value(None::<Time>))
            .col_expr(job::Column::ProgressDone, Expr::value(0));
        let Some(job) = updated(update, &transaction).await? else { return Ok(Ended::Lost) };
        record(
            &transaction,
            job.id,
            Some(State::Processing),
            State::Processing,
            &json!({ "released": true }),
            now,
        )
        .await?;
        outbox::put(&transaction, self.created(&job), job.traceparent.as_deref(), now).await?;
        transaction.commit().await?;
        self.wake_relay();
        Ok(Ended::Accordingly)
    }

    /// Fail the attempts whose lease has ended: their workers are lost. Says how many there were.
    pub async fn reap(&self) -> Result<u64, Error> {
        let (transaction, now) = (self.begin().await?, self.now());
        let lost = job::Entity::find()
            .filter(job::Column::Status.eq(State::Processing.name()))
            .filter(job::Column::LeaseUntil.lt(now))
            .limit(100)
            .lock(sea_orm::sea_query::LockType::Update)
            .all(&transaction)
            .await?;
        let mut count = 0;
        for row in lost {
            let job = Job::try_from(row)?;
            let message = "the worker gave no sign of life until its lease ended";
            if self.fail_in(&transaction, &job, FailureCode::WorkerLost, message).await?
                != Ended::Lost
            {
                count += 1;
            }
        }
        transaction.commit().await?;
        if count > 0 {
            self.wake_relay();
        }
        Ok(count)
    }

    /// End all leases. Only for a process that knows that every worker is gone: one that has the
    /// database for itself and has just started.
    pub async fn end_leases(&self) -> Result<(), Error> {
        job::Entity::update_many()
            .col_expr(job::Column::LeaseUntil, Expr::value(self.now() - Duration::from_secs(1)))
            .filter(job::Column::LeaseUntil.is_not_null())
            .exec(&self.write)
            .await?;
        Ok(())
    }

    async fn fail_in(
        &self,
        transaction: &DatabaseTransaction,
        held_job: &Job,
        code: FailureCode,
        message: &str,
    ) -> Result<Ended, Error> {
        let now = self.now();
        let claim = Claim { job: held_job.clone() };
        let mut metadata =
            json!({ "attempt": held_job.attempt, "error_code": code, "error_message": message });
        let noted = |update: UpdateMany<job::Entity>| {
            held(&claim, update)
                .col_expr(job::Column::ErrorCode, Expr::value(code.name()))
                .col_expr(job::Column::ErrorMessage, Expr::value(message))
        };
        if let Some(pause) = self.rules.retries.pause(code, held_job.attempt) {
            let at = now + pause;
            let update = noted(change(held_job.id, Transition::RETRY))
                .col_expr(job::Column::LeaseUntil, Expr::value(None::<Time>))
                .col_expr(job::Column::NextAttemptAt, Expr::value(at));
            let Some(job) = updated(update, transaction).await? else { return Ok(Ended::Lost) };
            metadata["next_attempt_at"] = json!(at);
            record(transaction, job.id, Some(State::Processing), State::Processing, &metadata, now)
                .await?;
            outbox::put(transaction, self.created(&job), job.traceparent.as_deref(), at).await?;
            return Ok(Ended::ToBeRetried);
        }
        let update = noted(change(held_job.id, Transition::FAIL));
        let Some(job) = updated(self.ended(update, now), transaction).await? else {
            return Ok(Ended::Lost);
        };
        record(transaction, job.id, Some(State::Processing), State::Failed, &metadata, now).await?;
        let event = outcome(&job)
            .ok_or_else(|| Error::Corrupt(format!("the failure of job {}", job.id)))?;
        outbox::put(transaction, self.message(&job, event), job.traceparent.as_deref(), now)
            .await?;
        Ok(Ended::Accordingly)
    }

    /// What every final state of an attempt has in common: no lease, and files for as long as the
    /// rules say.
    pub(crate) fn ended(
        &self,
        update: UpdateMany<job::Entity>,
        now: Time,
    ) -> UpdateMany<job::Entity> {
        update
            .col_expr(job::Column::LeaseUntil, Expr::value(None::<Time>))
            .col_expr(job::Column::NextAttemptAt, Expr::value(None::<Time>))
            .col_expr(job::Column::CompletedAt, Expr::value(now))
            .col_expr(job::Column::ExpiresAt, Expr::value(now + self.rules.retention))
    }
}

/// What is told of a job that its workers are done with; nothing of any other.
pub(crate) fn outcome(job: &Job) -> Option<Event> {
    let (job_id, user_id, filename) = (job.id, job.user_id, job.filename.clone());
    match job.state {
        State::Done => Some(Event::Completed(Completed {
            job_id,
            user_id,
            filename,
            zip_path: job.zip_path.clone()?,
            zip_size_bytes: job.zip_size_bytes?,
            frame_count: job.frame_count?,
            complete: job.complete?,
            processing_time_seconds: job.processing_time_seconds?,
        })),
        State::Failed => {
            let error_code = job.error_code?;
            let error_message = error_code.words(Language::En).to_owned();
            Some(Event::Failed(Failed { job_id, user_id, filename, error_code, error_message }))
        }
        _ => None,
    }
}

/// Touch the job only if the claim still holds it.
fn held(claim: &Claim, update: UpdateMany<job::Entity>) -> UpdateMany<job::Entity> {
    update
        .filter(job::Column::Id.eq(claim.job.id.0))
        .filter(job::Column::Fence.eq(claim.job.fence))
        .filter(job::Column::LeaseUntil.is_not_null())
}
